//! What is wrong with a policy: every fault with its place, what was expected, and a hint.

use std::fmt;

use toml::Spanned;
use toml::de::DeValue;

/// One fault of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `policy.toml:12:1`, or the name of the source.
    pub place: String,
    /// The rule it is in, where it has a readable id.
    pub rule: String,
    pub message: String,
    /// How to write it.
    pub hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if self.rule != "-" {
            write!(f, "rule `{}`: ", self.rule)?;
        }
        write!(f, "{}\n  hint: {}", self.message, self.hint)
    }
}

/// Every fault that was found; the policy is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PolicyError(pub Vec<Fault>);

/// A policy file's text, for the places in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// `file:line:column`, both from one, of a byte.
    pub(super) fn place(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        format!("{}:{line}:{column}", self.name)
    }
}

/// Where a key such as `graph.paths[1]` of a rule is written: its value, else what holds it.
pub(super) fn locate(rule: &Spanned<DeValue<'_>>, key: &str) -> usize {
    let mut at = rule;
    for step in key.split(['.', '[']).filter(|step| !step.is_empty()) {
        let next = match (at.get_ref(), step.strip_suffix(']')) {
            (DeValue::Array(items), Some(index)) => {
                index.parse().ok().and_then(|index: usize| items.get(index))
            }
            (DeValue::Table(members), None) => {
                members.iter().find(|(name, _)| name.get_ref() == step).map(|(_, value)| value)
            }
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at.span().start
}

/// What the file says is repeated in faults; control characters in it are shown as their escapes, so that none steers a
/// terminal or begins a line.
pub(super) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for sign in message.chars() {
        if sign.is_control() { line.extend(sign.escape_default()) } else { line.push(sign) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_a_file_says_steers_no_terminal() {
        assert_eq!(one_line("`a\nb\u{1b}[2J`, not ü"), "`a\\nb\\u{1b}[2J`, not ü");
    }
}
