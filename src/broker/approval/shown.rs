//! The arguments of a call as a person reads them before they answer: all of them, and nothing that hides or turns the text.

use std::fmt::Write as _;

use serde_json::Value;

/// Pretty JSON in which every sign that is neither ASCII, a letter nor a digit is written as its escape.
pub(super) fn shown(arguments: &Value) -> String {
    let text = serde_json::to_string_pretty(arguments).unwrap_or_default();
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        if sign.is_ascii() && sign != '\u{7f}' || (sign.is_alphanumeric() && !is_filler(sign)) {
            shown.push(sign);
            continue;
        }
        // Within JSON such signs stand in texts only, where this is how they may be written (RFC 8259 §7).
        for unit in sign.encode_utf16(&mut [0; 2]) {
            write!(shown, "\\u{unit:04x}").ok();
        }
    }
    shown
}

/// Letters that are blank.
const fn is_filler(sign: char) -> bool {
    matches!(sign, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // N93
    #[test]
    fn nothing_in_the_arguments_hides_or_turns_around() {
        let read = |text: &str| shown(&json!(text));
        assert_eq!(read("a\u{202e}b\u{200b}"), r#""a\u202eb\u200b""#);
        assert_eq!(read("\u{3164}\u{1b}[31m\u{7f}"), r#""\u3164\u001b[31m\u007f""#);
        assert_eq!(read("Zürich 天気"), "\"Zürich 天気\"");
        assert_eq!(read("😀"), r#""\ud83d\ude00""#);
    }

    #[test]
    fn what_is_shown_is_what_was_asked() {
        let asked = json!({ "a": ["\u{202e}x", 1, null], "ü\u{0}": { "b": true } });
        assert_eq!(serde_json::from_str::<Value>(&shown(&asked)).unwrap(), asked);
    }
}
