//! What one definition of a server says: by its digest, and whether people see all of it.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::guard::Unique;

/// What a definition says.
#[derive(Debug)]
pub(super) struct Examined {
    /// Of what it says without `_meta`, whatever the order of members and the white space.
    pub(super) digest: String,
    /// What that is of.
    pub(super) text: String,
    /// Whether some of it cannot be seen.
    pub(super) hides_text: bool,
}

/// Reads a definition. `None`: it cannot be read, or two readers could read it differently. So nothing is known of it.
pub(super) fn examine(definition: &RawValue) -> Option<Examined> {
    let unique = serde_json::from_str::<Unique>(definition.get());
    let value = unique.and_then(|Unique| serde_json::from_str::<Value>(definition.get()));
    let mut value = value.ok()?;
    if let Some(members) = value.as_object_mut() {
        members.remove("_meta");
    }
    value.sort_all_objects();
    let text = value.to_string();
    let hash = sha256(text.as_bytes());
    let digest = hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 0xf)]);
        text
    });
    Some(Examined { digest, text, hides_text: holds_hidden(&value) })
}

/// The same without the characters that people do not see.
pub(super) fn without_hidden(text: &RawValue) -> Option<Box<RawValue>> {
    fn cut(value: &mut Value) {
        match value {
            Value::String(text) => *text = seen(text),
            Value::Array(items) => items.iter_mut().for_each(cut),
            Value::Object(members) => {
                let all = std::mem::take(members);
                members.extend(all.into_iter().map(|(name, mut member)| {
                    cut(&mut member);
                    (seen(&name), member)
                }));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut value: Value = serde_json::from_str(text.get()).ok()?;
    cut(&mut value);
    to_raw_value(&value).ok()
}

fn holds_hidden(value: &Value) -> bool {
    match value {
        Value::String(text) => hides(text),
        Value::Array(items) => items.iter().any(holds_hidden),
        Value::Object(members) => {
            members.iter().any(|(name, member)| hides(name) || holds_hidden(member))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn hides(text: &str) -> bool {
    marked(text).any(|(_, hidden)| hidden)
}

/// What people see of a text.
fn seen(text: &str) -> String {
    marked(text).filter(|(_, hidden)| !hidden).map(|(character, _)| character).collect()
}

/// Makes the character before it an emoji.
const SELECTOR: char = '\u{fe0f}';

/// Each character, and whether it hides something.
///
/// The joiners and the one selector are let through where scripts and emoji need them, each alone: of a run of them nothing is
/// seen, and any text can be written in two of them.
fn marked(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut characters = text.chars().peekable();
    // The last that is no selector, and whether one stands behind it.
    let (mut base, mut selected) = (None, false);
    std::iter::from_fn(move || {
        let character = characters.next()?;
        let next = characters.peek().copied();
        let hidden = match character {
            _ if is_joiner(character) => {
                let between = base.is_some_and(joins) && next.is_some_and(joins);
                let closes = base.is_some_and(is_virama) && !next.is_some_and(is_joiner);
                !between && !closes
            }
            SELECTOR => selected || !(base.is_some_and(joins) || is_key(base, next)),
            _ => is_hidden(character),
        };
        selected = character == SELECTOR;
        if !selected {
            base = Some(character);
        }
        Some((character, hidden))
    })
}

const fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// What a joiner can stand between: a letter that is not of ASCII, or an emoji.
fn joins(character: char) -> bool {
    let plain = character.is_ascii() || character.is_whitespace();
    !plain && !is_joiner(character) && character != SELECTOR && !is_hidden(character)
}

/// Takes the vowel from an Indic letter: a joiner behind it is spelling, at the end of a word, too (Unicode Standard Annex 31 §2.3).
const fn is_virama(character: char) -> bool {
    matches!(
        character,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{a4d}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{bcd}'
            | '\u{c4d}'
            | '\u{ccd}'
            | '\u{d4d}'
            | '\u{dca}'
    )
}

/// An emoji of a key: one of these, the selector, the frame.
fn is_key(base: Option<char>, next: Option<char>) -> bool {
    matches!(base, Some('0'..='9' | '#' | '*')) && next == Some('\u{20e3}')
}

/// What a person does not see and a model reads: control characters but line ends and tabs; what is by Unicode ignored where it is not
/// supported (`Default_Ignorable_Code_Point`: characters of no width, tags and variation selectors, in which whole texts can be hidden); those that
/// turn the direction of writing (Unicode Technical Report 36 §2); notes between the lines, controls of hieroglyphs, and the braille blank.
fn is_hidden(character: char) -> bool {
    matches!(
        u32::from(character),
        0..=8 | 0xB | 0xC | 0xE..=0x1F | 0x7F..=0x9F | 0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5
        | 0x180B..=0x180F | 0x200B | 0x200E | 0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164
        | 0xFE00..=0xFE0E | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF
    )
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tables of the Unicode Character Database.
    #[test]
    fn every_character_that_unicode_says_is_not_seen_is_hidden() {
        let all = r"[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Cc}--[\t\n\r\x{200c}\x{200d}\x{fe0f}]]";
        let class = regex::Regex::new(all).unwrap();
        let mut text = String::new();
        let missed = ('\0'..=char::MAX).filter(|character| {
            text.clear();
            text.push(*character);
            class.is_match(&text) && !is_hidden(*character)
        });
        let missed: Vec<char> = missed.collect();
        assert!(missed.is_empty(), "{missed:?}");
    }

    #[test]
    fn joiners_and_selectors_hide_nothing_only_where_a_script_needs_them() {
        for seen in [
            "\u{1f468}\u{200d}\u{1f469}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{d28}\u{d4d}\u{200d} x",
            "1\u{fe0f}\u{20e3}",
        ] {
            assert!(!hides(seen), "{seen:?}");
        }
        for (hidden, left) in [
            ("Sends.\u{200c}\u{200d}\u{200c}", "Sends."),
            ("\u{645}\u{200c}\u{200d}\u{627}", "\u{645}\u{627}"),
            ("\u{200d}\u{645}", "\u{645}"),
            ("a\u{200c}b", "ab"),
            ("a\u{fe0f}\u{200d}\u{645}", "a\u{645}"),
            ("\u{2764}\u{fe0f}\u{fe0f}", "\u{2764}\u{fe0f}"),
            ("\u{d4d}\u{200d}\u{200d}", "\u{d4d}"),
            ("a\u{fe0f}", "a"),
        ] {
            assert!(hides(hidden), "{hidden:?}");
            assert_eq!(seen(hidden), left, "{hidden:?}");
        }
    }
}
