//! The broker's own credential, looked for in what the server answers: a server that repeats its request's headers shows
//! it to nobody.

use axum::http::HeaderMap;

use crate::secret_text::SecretText;

/// Shorter ones could stand in an answer by chance.
const LEAST: usize = 16;
/// JSON within JSON is escaped so often.
const LAYERS: usize = 2;

/// What a request showed the server.
#[derive(Clone, Debug)]
pub(super) struct Shown(SecretText);

impl Shown {
    /// What stands in the headers `after` that did not stand in them before, without the name of its scheme. `None`: nothing
    /// that is long enough to be known again.
    pub(super) fn of(before: &HeaderMap, after: &HeaderMap) -> Option<Self> {
        let mut added = after.iter().filter(|(name, _)| !before.contains_key(*name));
        let (_, value) = added.next()?;
        let secret = value.to_str().ok()?.rsplit(' ').next()?;
        (secret.len() >= LEAST).then(|| Self(SecretText::new(secret.to_owned())))
    }

    /// Whether it stands in this text, as it is or as JSON escapes it. *Not* looked for: other codings of it, such as Base64.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        if text.contains(self.0.expose()) {
            return true;
        }
        let mut text = text.to_owned();
        for _ in 0..LAYERS {
            if !text.contains('\\') {
                return false;
            }
            text = unescaped(&text);
            if text.contains(self.0.expose()) {
                return true;
            }
        }
        false
    }
}

/// The text with the escapes of JSON undone, as far as they stand for characters of tokens (RFC 8259 §7, RFC 6750 §2.1).
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('\\');
    plain.push_str(parts.next().unwrap_or_default());
    let mut after_backslash = false;
    for part in parts {
        let digits = part.strip_prefix('u').and_then(|rest| rest.get(..4));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code.and_then(char::from_u32) {
            _ if after_backslash => {
                after_backslash = false;
                plain.push_str(part);
            }
            // Two of them: the first escapes the second.
            _ if part.is_empty() => {
                after_backslash = true;
                plain.push('\\');
            }
            Some(character) => {
                plain.push(character);
                plain.push_str(part.get(5..).unwrap_or_default());
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    const TOKEN: &str = "0123/456+789=abcdef";

    fn shown(value: &str) -> Option<Shown> {
        let mut after = HeaderMap::new();
        after.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        Shown::of(&HeaderMap::new(), &after)
    }

    #[test]
    fn a_credential_is_found_as_it_is_and_as_json_escapes_it() {
        let shown = shown(&format!("Bearer {TOKEN}")).unwrap();
        let slash = TOKEN.replace('/', "\\/");
        let code = TOKEN.replace('=', "\\u003d").replace('+', "\\u002B");
        let twice = slash.replace('\\', "\\\\");
        for text in [TOKEN, &slash, &code, &twice] {
            assert!(shown.is_in(format!(r#"{{"text":"Bearer {text}"}}"#).as_bytes()), "{text}");
        }
        for text in ["0123/456", "0123\\\\/456+789=abcdeX", "\\", "\\u00", ""] {
            assert!(!shown.is_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        assert!(shown("Bearer 0123456789abcde").is_none());
        assert!(shown("0123456789abcdef").is_some());
    }
}
