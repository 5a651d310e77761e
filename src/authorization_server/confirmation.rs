//! `cnf` (RFC 7800): what a token of ours is bound to, so that whoever has it and nothing else has nothing.

use serde::{Deserialize, Serialize};

/// A key that clients prove (RFC 9449 §6.1), or the certificate of the connection that asked (RFC 8705 §3.1). Of a token
/// that is bound to both, some reader would check one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Confirmation<T> {
    #[serde(rename = "jkt")]
    Key(T),
    #[serde(rename = "x5t#S256")]
    Certificate(T),
}

/// In the store, and wherever else it is one text: what stands before the thumbprint of a certificate. That of a key stands
/// alone, and has no such character.
const CERTIFICATE: &str = "x5t#S256:";

/// The certificate with this thumbprint, as one text.
pub(super) fn certificate_as_text(thumbprint: &str) -> String {
    format!("{CERTIFICATE}{thumbprint}")
}

impl<'a> Confirmation<&'a str> {
    /// As [`certificate_as_text`] writes it, or the thumbprint of a key.
    pub(super) fn of_text(text: &'a str) -> Self {
        text.strip_prefix(CERTIFICATE).map_or(Self::Key(text), Self::Certificate)
    }
}

impl<T> Confirmation<T> {
    pub(super) const fn is_key(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    /// How a token that is bound like this is sent (RFC 9449 §5): with a certificate it is a bearer token to look at.
    pub(super) const fn token_type(&self) -> &'static str {
        if self.is_key() { "DPoP" } else { "Bearer" }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // RFC 8705 §3.1, RFC 9449 §6.1
    #[test]
    fn each_has_its_member_and_comes_back_from_its_text() {
        let text = certificate_as_text("abc");
        assert_eq!(json!(Confirmation::of_text(&text)), json!({ "x5t#S256": "abc" }));
        assert_eq!(json!(Confirmation::of_text("abc")), json!({ "jkt": "abc" }));
        let read = serde_json::from_value::<Confirmation<String>>;
        assert!(read(json!({ "jkt": "a", "x5t#S256": "b" })).is_err());
        assert!(read(json!({ "x5t": "a" })).is_err());
    }
}
