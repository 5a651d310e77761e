//! Where a sign of a text is written that stands in quotes in a TOML file.

/// The byte of `quoted`, which begins with the quotes of a text that says `value`, at which sign `number` of it is written; of
/// the one past the end, where the quotes close. `None`: it begins with no quotes, or says something else.
pub(super) fn written(quoted: &str, value: &str, number: usize) -> Option<usize> {
    let several_lines = quoted.starts_with("\"\"\"") || quoted.starts_with("'''");
    let escapes = quoted.starts_with('"');
    if !escapes && !quoted.starts_with('\'') {
        return None;
    }
    let mut at = if several_lines { 3 } else { 1 };
    // The first line end is none of it.
    at += line_end(quoted.get(at..)?).filter(|_| several_lines).unwrap_or_default();
    let left_out = |at: usize| -> Option<usize> {
        let rest = quoted.get(at..)?;
        Some(if escapes && several_lines { joined_lines(rest) } else { 0 })
    };
    for sign in value.chars().take(number) {
        at += left_out(at)?;
        at += length(quoted.get(at..)?, sign, escapes)?;
    }
    Some(at + left_out(at)?)
}

/// In how many bytes one sign is written.
fn length(rest: &str, sign: char, escapes: bool) -> Option<usize> {
    let mut signs = rest.chars();
    let first = signs.next()?;
    if escapes && first == '\\' {
        return Some(match signs.next()? {
            'x' => 4,
            'u' => 6,
            'U' => 10,
            _ => 2,
        });
    }
    Some(if sign == '\n' { line_end(rest)? } else { first.len_utf8() })
}

fn line_end(rest: &str) -> Option<usize> {
    let ends = [("\r\n", 2), ("\n", 1)];
    ends.into_iter().find(|(end, _)| rest.starts_with(end)).map(|(_, length)| length)
}

/// How long what is left out at the beginning is: a backslash at the end of a line, and all white space until the next sign.
fn joined_lines(rest: &str) -> usize {
    let mut left = rest;
    while let Some(after) = left.strip_prefix('\\') {
        let after = after.trim_start_matches([' ', '\t']);
        if line_end(after).is_none() {
            break;
        }
        left = after.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    rest.len() - left.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde::Deserialize;

    use super::written;

    #[derive(Deserialize)]
    struct One {
        a: String,
    }

    /// Ways to write a sign, and what is written for it.
    const SIGNS: [&str; 12] = [
        "a",
        "é",
        "𝄞",
        " ",
        "\\\"",
        "\\\\",
        "\\n",
        "\\u00e9",
        "\\U0001D11E",
        "\n",
        "\r\n",
        "\\ \n  ",
    ];

    proptest! {
        #[test]
        fn each_sign_is_found_where_it_is_written(
            signs in proptest::collection::vec(select(&SIGNS[..]), 0..20), lines in any::<bool>(), first in any::<bool>(),
        ) {
            let fits = |sign: &&str| lines || !sign.contains('\n');
            let signs: Vec<&str> = signs.into_iter().filter(fits).collect();
            let quotes = if lines { "\"\"\"" } else { "\"" };
            let begin = if lines && first { "\n" } else { "" };
            let quoted = format!("{quotes}{begin}|{}|{quotes}", signs.join("|"));
            let One { a } = toml::from_str(&format!("a = {quoted}")).unwrap();
            let count = a.chars().count();
            let mut bars = quoted.match_indices('|').map(|(at, _)| at);
            for number in (0..count).filter(|number| a.chars().nth(*number) == Some('|')) {
                prop_assert_eq!(written(&quoted, &a, number), bars.next(), "{} {:?}", number, quoted);
            }
            prop_assert_eq!(written(&quoted, &a, count), Some(quoted.len() - quotes.len()));
        }
    }

    #[test]
    fn what_is_not_escaped_is_as_long_as_it_looks() {
        assert_eq!(written(r"'a\nb' # c", r"a\nb", 4), Some(5));
        assert_eq!(written("'''\r\na\nb'''", "a\nb", 2), Some(7));
        assert_eq!(written("7", "7", 0), None);
    }
}
