//! Whose answer a line was that is too long to be read: by its two ends.
//!
//! Only a member of the message itself counts. What a tool says is in between, and could say anything.

/// The number of ours that the message answers. `None`: it stands at neither end, or not the same at both.
pub(super) fn whose(beginning: &[u8], end: &[u8]) -> Option<u64> {
    let (beginning, end) = (String::from_utf8_lossy(beginning), String::from_utf8_lossy(end));
    match (at_the_beginning(&beginning), at_the_end(&end)) {
        (Some(one), Some(other)) if one != other => None,
        (one, other) => one.or(other),
    }
}

/// Before it only `jsonrpc` may stand: whatever else does might hold another's.
fn at_the_beginning(text: &str) -> Option<u64> {
    let mut rest = text.trim_start().strip_prefix('{')?.trim_start();
    if let Some(version) = value_of("jsonrpc", rest) {
        rest = version.strip_prefix("\"2.0\"")?.trim_start().strip_prefix(',')?.trim_start();
    }
    let id = value_of("id", rest)?;
    let after = id.trim_start_matches(|digit: char| digit.is_ascii_digit());
    if !after.trim_start().starts_with(',') {
        return None;
    }
    id.strip_suffix(after)?.parse().ok()
}

/// The last brace is the message's own, so what stands right before it is a member of the message.
fn at_the_end(text: &str) -> Option<u64> {
    let mut rest = text.trim_end().strip_suffix('}')?.trim_end();
    if let Some(before) = rest.strip_suffix("\"2.0\"") {
        rest = before_name("jsonrpc", before)?;
    }
    let before = rest.trim_end_matches(|digit: char| digit.is_ascii_digit());
    before_name("id", before)?;
    rest.strip_prefix(before)?.parse().ok()
}

fn value_of<'t>(name: &str, text: &'t str) -> Option<&'t str> {
    let rest = text.strip_prefix('"')?.strip_prefix(name)?.strip_prefix('"')?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// What stands before a member that another one precedes. A text has no quote that no backslash precedes, so after a comma
/// it can only begin a name.
fn before_name<'t>(name: &str, text: &'t str) -> Option<&'t str> {
    let rest = text.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?;
    let rest = rest.strip_suffix(name)?.strip_suffix('"')?;
    Some(rest.trim_end().strip_suffix(',')?.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(beginning: &str, end: &str) -> Option<u64> {
        whose(beginning.as_bytes(), end.as_bytes())
    }

    #[test]
    fn the_number_is_found_at_either_end_of_the_message() {
        for (beginning, end) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"x":"#, r#"x"}}"#),
            (r#" { "id" : 7 , "result":{"x":"#, r#"x"}}"#),
            (r#"{"result":{"x":"#, r#"x"},"id":7}"#),
            (r#"{"result":{"x":"#, "\u{fffd}x\"}, \"id\": 7, \"jsonrpc\": \"2.0\"} "),
            (r#"{"id":7,"result":"x"#, r#"x","id":7}"#),
        ] {
            assert_eq!(of(beginning, end), Some(7), "{beginning} {end}");
        }
    }

    #[test]
    fn what_a_tool_says_is_nobodys_number() {
        for (beginning, end) in [
            (r#"{"result":{"id":7,"x":"#, r#""id":7}}"#),
            (r#"{"result":{"x":"#, r#"{"id":7}}"#),
            (r#"{"result":"x"#, r#",\"id\":7}"}"#),
            (r#"{"result":"x"#, r#"\"id":7}"#),
            (r#"{"id":7"#, "x"),
            (r#"{"id":7,"result":"x"#, r#"x","id":8}"#),
            (r#"{"id":"7","result":"x"#, r#"x"}"#),
            ("", ""),
        ] {
            assert_eq!(of(beginning, end), None, "{beginning} {end}");
        }
    }
}
