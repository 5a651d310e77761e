//! A call as a person reads it before they answer: all of it, and nothing that hides or turns the text.

use std::fmt::Write as _;

/// Pretty JSON in which every sign that is neither ASCII, a letter nor a digit is written as its escape. Laid out as text, for
/// numbers that are read are rounded, and the one that is sent is not.
pub(super) fn shown(json: &str) -> String {
    let mut shown = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut signs = json.chars().peekable();
    while let Some(sign) = signs.next() {
        if in_text {
            plainly(sign, &mut shown);
            in_text = escaped || sign != '"';
            escaped = sign == '\\' && !escaped;
            continue;
        }
        match sign {
            '{' | '[' => {
                shown.push(sign);
                if let Some(end) = signs.next_if(|next| matches!(next, '}' | ']')) {
                    shown.push(end);
                } else {
                    depth += 1;
                    line(depth, &mut shown);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(depth, &mut shown);
                shown.push(sign);
            }
            ',' => {
                shown.push(',');
                line(depth, &mut shown);
            }
            ':' => shown.push_str(": "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => {
                in_text = sign == '"';
                plainly(sign, &mut shown);
            }
        }
    }
    shown
}

fn line(depth: usize, shown: &mut String) {
    shown.push('\n');
    shown.extend(std::iter::repeat_n("  ", depth));
}

fn plainly(sign: char, shown: &mut String) {
    if sign.is_ascii() && sign != '\u{7f}' || (sign.is_alphanumeric() && !is_filler(sign)) {
        return shown.push(sign);
    }
    // Within JSON such signs stand in texts only, where this is how they may be written (RFC 8259 §7).
    for unit in sign.encode_utf16(&mut [0; 2]) {
        write!(shown, "\\u{unit:04x}").ok();
    }
}

/// Letters that are blank.
const fn is_filler(sign: char) -> bool {
    matches!(sign, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    // N93
    #[test]
    fn nothing_in_the_arguments_hides_or_turns_around() {
        let read = |text: &str| shown(&json!(text).to_string());
        assert_eq!(read("a\u{202e}b\u{200b}"), r#""a\u202eb\u200b""#);
        assert_eq!(read("\u{3164}\u{1b}[31m\u{7f}"), r#""\u3164\u001b[31m\u007f""#);
        assert_eq!(read("Zürich 天気"), "\"Zürich 天気\"");
        assert_eq!(read("😀"), r#""\ud83d\ude00""#);
    }

    #[test]
    fn what_is_shown_is_what_was_asked() {
        let asked = json!({ "a": ["\u{202e}x", 1, null, "\\\"{,:"], "ü\u{0}": { "b": true, "c": {}, "d": [] } });
        let text = shown(&asked.to_string());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), asked);
        assert_eq!(
            text.matches('\n').count(),
            serde_json::to_string_pretty(&asked).unwrap().matches('\n').count()
        );
        assert_eq!(shown(r#"{"n":123456789012345678901}"#), "{\n  \"n\": 123456789012345678901\n}");
    }
}
