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
            Value::String(text) => text.retain(|character| !is_hidden(character)),
            Value::Array(items) => items.iter_mut().for_each(cut),
            Value::Object(members) => {
                let all = std::mem::take(members);
                members.extend(all.into_iter().map(|(mut name, mut member)| {
                    name.retain(|character| !is_hidden(character));
                    cut(&mut member);
                    (name, member)
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
        Value::String(text) => text.chars().any(is_hidden),
        Value::Array(items) => items.iter().any(holds_hidden),
        Value::Object(members) => {
            members.iter().any(|(name, member)| name.chars().any(is_hidden) || holds_hidden(member))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What a person does not see and a model reads: control characters but line ends and tabs; characters of no width; those that turn the direction
/// of writing (Unicode Technical Report 36 §2); tags and variation selectors, in which whole texts can be hidden. The joiners and the one
/// selector that emoji and scripts need are let through.
fn is_hidden(character: char) -> bool {
    matches!(
        u32::from(character),
        0..=8 | 0xB | 0xC | 0xE..=0x1F | 0x7F..=0x9F | 0xAD | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180E
        | 0x200B | 0x200E | 0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFEFF | 0xFFA0 | 0xFFF9..=0xFFFB
        | 0xFE00..=0xFE0E | 0xE0000..=0xE0FFF
    )
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
