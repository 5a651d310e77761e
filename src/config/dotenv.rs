//! The `.env` file: `NAME=value` lines, `#` comments, single and double quotes, an optional `export`.

use crate::secret_text::SecretText;

/// One line of a `.env` file.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: SecretText,
    pub(super) line: usize,
}

/// Reads a `.env` file.
///
/// Double quotes know `\n`, `\t`, `\"`, `\\` and `\$`; nothing is substituted, and a value ends with its line.
///
/// # Errors
///
/// The numbers of lines that are no assignment. What is on them is not repeated.
pub(super) fn parse(text: &str) -> Result<Vec<Variable>, Vec<usize>> {
    let mut variables = Vec::new();
    let mut wrong = Vec::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match assignment(text) {
            Some((name, value)) => {
                variables.push(Variable { name: name.to_owned(), value: value.into(), line });
            }
            None => wrong.push(line),
        }
    }
    if wrong.is_empty() { Ok(variables) } else { Err(wrong) }
}

fn assignment(text: &str) -> Option<(&str, String)> {
    let text = text.strip_prefix("export ").unwrap_or(text);
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !plain {
        return None;
    }
    Some((name, unquote(value.trim())?))
}

fn unquote(value: &str) -> Option<String> {
    let rest_is_comment = |rest: &str| rest.trim().is_empty() || rest.trim_start().starts_with('#');
    if let Some(inner) = value.strip_prefix('\'') {
        let (inner, rest) = inner.split_once('\'')?;
        return rest_is_comment(rest).then(|| inner.to_owned());
    }
    if let Some(inner) = value.strip_prefix('"') {
        let mut out = String::new();
        let mut characters = inner.chars();
        loop {
            match characters.next()? {
                '"' => return rest_is_comment(characters.as_str()).then_some(out),
                '\\' => out.push(match characters.next()? {
                    'n' => '\n',
                    't' => '\t',
                    other @ ('"' | '\\' | '$') => other,
                    _ => return None,
                }),
                other => out.push(other),
            }
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    value.get(..end).map(|plain| plain.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let variables = parse(text).unwrap_or_default();
        variables
            .into_iter()
            .map(|variable| (variable.name, variable.value.expose().to_owned()))
            .collect()
    }

    #[test]
    fn values_are_read_as_shells_write_them() {
        let text = "# c\nA=1 # one\nexport B='x # y'\nC=\"a\\n\\\"b\\\"\" # c\nD=a#b\nE=\n";
        let wanted = [("A", "1"), ("B", "x # y"), ("C", "a\n\"b\""), ("D", "a#b"), ("E", "")];
        assert_eq!(read(text), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn lines_that_assign_nothing_are_named_by_number() {
        let wrong = parse("A=1\nhunter2\nB-C=1\nD='open\nE=\"open\nF='a'b").err();
        assert_eq!(wrong, Some(vec![2, 3, 4, 5, 6]));
    }
}
