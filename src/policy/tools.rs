//! Patterns for the names of tools: anchored, and compiled once however many rules have them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;

use super::below::may_begin;
use super::example::example;

/// The patterns of one rule; one that matches is enough.
#[derive(Clone, Debug)]
pub(super) struct ToolPatterns(Vec<ToolPattern>);

/// One pattern. Most are a name or everything, which need no regular expression.
#[derive(Clone, Debug)]
pub(super) enum ToolPattern {
    Name(Arc<str>),
    Any,
    Matching(Arc<Matching>),
}

/// A pattern that is an expression.
#[derive(Debug)]
pub(super) struct Matching {
    regex: Regex,
    /// What it says, as far as it can be read.
    expression: Option<Hir>,
    /// A name that it matches, if one was found.
    example: Option<Box<str>>,
}

impl ToolPatterns {
    pub(super) const fn new(patterns: Vec<ToolPattern>) -> Self {
        Self(patterns)
    }

    pub(super) fn is_match(&self, tool: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => **name == *tool,
            ToolPattern::Any => true,
            ToolPattern::Matching(matching) => matching.regex.is_match(tool),
        })
    }

    /// Whether names that begin so may be among them, as far as an example tells.
    pub(super) fn may_begin(&self, prefix: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => name.starts_with(prefix),
            ToolPattern::Any => true,
            ToolPattern::Matching(matching) => matching.example.as_ref().is_none_or(|example| {
                example.starts_with(prefix) || matching.regex.is_match(&format!("{prefix}x"))
            }),
        })
    }

    /// Whether a name that goes on after `prefix` may be among them. Never says no where one is.
    pub(super) fn may_name_below(&self, prefix: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => name.starts_with(prefix),
            ToolPattern::Any => true,
            ToolPattern::Matching(matching) => {
                matching.expression.as_ref().is_none_or(|expression| may_begin(expression, prefix))
            }
        })
    }

    /// Whether they are about every name that `other` is about, of the `tools` there are and of whatever the `servers` have:
    /// that only a server knows, so there one pattern has to say what the other says. Says no where it cannot tell.
    pub(super) fn cover(&self, other: &Self, tools: &[String], servers: &BTreeSet<String>) -> bool {
        other.0.iter().all(|pattern| match pattern {
            ToolPattern::Name(name) => self.is_match(name),
            ToolPattern::Any => self.0.iter().any(|own| matches!(own, ToolPattern::Any)),
            ToolPattern::Matching(matching) => {
                self.0.iter().any(|own| own.says(matching))
                    || (!matching.may_name_of(servers)
                        && tools
                            .iter()
                            .filter(|tool| matching.regex.is_match(tool))
                            .all(|tool| self.is_match(tool)))
            }
        })
    }

    /// Whether a name of a thing of one of these servers may be among them.
    pub(super) fn may_name_of(&self, servers: &BTreeSet<String>) -> bool {
        servers.iter().any(|id| {
            [".", "/"].iter().any(|between| self.may_name_below(&[id, *between].concat()))
        })
    }

    /// The patterns that are a name.
    pub(super) fn outright(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter_map(|pattern| match pattern {
            ToolPattern::Name(name) => Some(name),
            ToolPattern::Any | ToolPattern::Matching(..) => None,
        })
    }

    /// A name for each pattern that is about more than one, and those that are a name.
    pub(super) fn examples(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|pattern| match pattern {
            ToolPattern::Name(name) => Some(&**name),
            ToolPattern::Matching(matching) => matching.example.as_deref(),
            ToolPattern::Any => None,
        })
    }

    /// The patterns that are an expression, as they are compiled.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|pattern| match pattern {
            ToolPattern::Matching(matching) => Some(matching.regex.as_str()),
            ToolPattern::Name(_) | ToolPattern::Any => None,
        })
    }

    /// Whether one of them is about everything.
    pub(super) fn has_any(&self) -> bool {
        self.0.iter().any(|pattern| matches!(pattern, ToolPattern::Any))
    }

    /// What others have to be about to cover these, unless they are about everything.
    pub(super) fn pin<'a>(
        &'a self,
        tools: &'a [String],
        servers: &BTreeSet<String>,
    ) -> Option<Pin<'a>> {
        self.0.iter().find_map(|pattern| match pattern {
            ToolPattern::Name(name) => Some(Pin::Name(name)),
            ToolPattern::Any => None,
            ToolPattern::Matching(matching) => {
                let known = tools.iter().find(|tool| matching.regex.is_match(tool));
                // One that is about nothing is covered by whatever there is.
                let pins = known.is_some() || matching.may_name_of(servers);
                pins.then(|| Pin::Pattern(matching.regex.as_str(), known.map(String::as_str)))
            }
        })
    }

    /// The names, if the rule is about a list of names only.
    pub(super) fn names(&self) -> Option<Vec<&Arc<str>>> {
        self.0
            .iter()
            .map(|pattern| match pattern {
                ToolPattern::Name(name) => Some(name),
                ToolPattern::Any | ToolPattern::Matching(..) => None,
            })
            .collect()
    }
}

impl ToolPattern {
    /// Whether it is about all that this expression is about, whatever there is.
    fn says(&self, other: &Matching) -> bool {
        match self {
            Self::Any => true,
            Self::Matching(own) => own.regex.as_str() == other.regex.as_str(),
            Self::Name(_) => false,
        }
    }
}

impl Matching {
    fn may_name_of(&self, servers: &BTreeSet<String>) -> bool {
        let may = |beginning: &str| {
            self.expression.as_ref().is_none_or(|expression| may_begin(expression, beginning))
        };
        servers.iter().any(|id| may(&format!("{id}.")) || may(&format!("{id}/")))
    }
}

/// One of the patterns of a rule, for finding those that cover it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin<'a> {
    /// A name: they match it.
    Name(&'a str),
    /// An expression, with a tool that it is about: they have the same one, or match that tool.
    Pattern(&'a str, Option<&'a str>),
}

/// Reads patterns, each text once.
#[derive(Debug, Default)]
pub(super) struct PatternReader(HashMap<String, Option<ToolPattern>>);

impl PatternReader {
    /// `None`: the text is no regular expression, or one that is too large.
    pub(super) fn read(&mut self, text: &str) -> Option<ToolPattern> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let pattern = if text == ".*" {
            Some(ToolPattern::Any)
        } else if let Some(name) = name(text) {
            Some(ToolPattern::Name(name.into()))
        } else {
            // Anchored, so that `delete` never matches `delete_all`; the group keeps `a|b` together. It is an
            // expression by itself, too: `a)|(b` would leave the group, and with it the anchors.
            // Compiling costs most of what reading it does, so the text by itself is parsed only.
            let build = |text: &str| RegexBuilder::new(text).size_limit(1 << 20).build().ok();
            regex_syntax::parse(text).ok().and_then(|expression| {
                let regex = build(&format!("^(?:{text})$"))?;
                let example = example(&expression);
                let expression = Some(expression);
                let example = example.filter(|name| regex.is_match(name)).map(Into::into);
                Some(ToolPattern::Matching(Arc::new(Matching { regex, expression, example })))
            })
        };
        self.0.insert(text.to_owned(), pattern.clone());
        pattern
    }
}

/// Why a text is no pattern, in words that follow it, and what to do.
pub(super) fn why_none(text: &str) -> (String, &'static str) {
    const TOML: &str = "in TOML a backslash is written twice: \"auth\\\\.graph\\\\..*\"";
    match RegexBuilder::new(text).size_limit(1 << 20).build() {
        Err(regex::Error::CompiledTooBig(_)) => {
            let hint = "write the names out, or use fewer and smaller repetitions";
            ("is a regular expression that is too large".to_owned(), hint)
        }
        Err(error) => {
            // The last line of the reader's says what is wrong, the others where.
            let told = error.to_string();
            let reason = told.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            (format!("is not a regular expression: {reason}"), TOML)
        }
        Ok(_) => ("is not a regular expression with `^(?:` and `)$` around it".to_owned(), TOML),
    }
}

/// The one name a pattern stands for: letters, digits, `_` and `-`, and a dot with its backslash.
fn name(pattern: &str) -> Option<String> {
    let mut name = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(sign) = rest.next() {
        match sign {
            '\\' => match rest.next() {
                Some(escaped @ ('.' | '-')) => name.push(escaped),
                _ => return None,
            },
            sign if sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-') => name.push(sign),
            _ => return None,
        }
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_without_an_expression_and_only_whole() {
        let mut reader = PatternReader::default();
        let patterns = ToolPatterns::new(vec![reader.read("auth\\.graph\\.v1").unwrap()]);
        assert!(patterns.names().is_some() && patterns.is_match("auth.graph.v1"));
        for other in ["authxgraph.v1", "auth.graph.v10", "xauth.graph.v1", ""] {
            assert!(!patterns.is_match(other), "{other}");
        }
    }

    #[test]
    fn an_alternative_stays_within_its_anchors() {
        let mut reader = PatternReader::default();
        let patterns = ToolPatterns::new(vec![reader.read("delete|drop").unwrap()]);
        assert!(patterns.is_match("drop") && !patterns.is_match("drop_all"));
        for text in ["(", "a{9999}{9999}", "a)|(?:b"] {
            assert!(reader.read(text).is_none(), "{text}");
        }
    }
}
