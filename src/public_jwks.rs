//! The public keys of a client, as an operator or the client itself registers them (RFC 7517 §5, RFC 7591 §2 `jwks`).

use std::fmt;

use serde_json::{Map, Value};

const MAX_BYTES: usize = 32 * 1024;
const MAX_KEYS: usize = 16;

/// Members that a public key does not have (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What may be registered, in few words.
pub const ALLOWED: &str =
    "{\"keys\": […]} with 1 to 16 public keys of kty RSA, EC or OKP, 32 KiB at most";

/// Why a key set cannot be registered. None quotes it: it may hold what must not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicJwksError {
    TooLong,
    NotKeySet,
    Empty,
    TooMany,
    Private,
    OtherKind,
}

impl fmt::Display for PublicJwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem())
    }
}

impl std::error::Error for PublicJwksError {}

impl PublicJwksError {
    /// Follows the name of the setting or field.
    #[must_use]
    pub const fn problem(self) -> &'static str {
        match self {
            Self::TooLong => "is longer than 32 KiB",
            Self::NotKeySet => "is not a JSON Web Key Set",
            Self::Empty => "has no key",
            Self::TooMany => "has more than 16 keys",
            Self::Private => "has a private or a shared key: whoever reads it can be the client",
            Self::OtherKind => "has a key of another kty than RSA, EC and OKP",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Private => {
                "make a new key, because this one has been shown; register its public half and leave the private one with the client"
            }
            Self::TooLong | Self::NotKeySet | Self::Empty | Self::TooMany | Self::OtherKind => {
                ALLOWED
            }
        }
    }
}

/// A set of public keys, and of nothing else.
///
/// Does *not* say that each key is one: whether numbers are points of a curve shows who verifies with them.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicJwks(Map<String, Value>);

impl PublicJwks {
    /// # Errors
    ///
    /// [`PublicJwksError`]
    pub fn parse(unverified: &str) -> Result<Self, PublicJwksError> {
        if unverified.len() > MAX_BYTES {
            return Err(PublicJwksError::TooLong);
        }
        let value = serde_json::from_str(unverified).map_err(|_| PublicJwksError::NotKeySet)?;
        Self::from_value(value)
    }

    /// # Errors
    ///
    /// [`PublicJwksError`]; what is too long in sum is found by whoever bounds the request.
    pub fn from_value(unverified: Value) -> Result<Self, PublicJwksError> {
        let Value::Object(set) = unverified else { return Err(PublicJwksError::NotKeySet) };
        let keys = set.get("keys").and_then(Value::as_array).ok_or(PublicJwksError::NotKeySet)?;
        match keys.len() {
            0 => return Err(PublicJwksError::Empty),
            1..=MAX_KEYS => {}
            _ => return Err(PublicJwksError::TooMany),
        }
        for key in keys {
            let key = key.as_object().ok_or(PublicJwksError::NotKeySet)?;
            let kind = key.get("kty").and_then(Value::as_str);
            if kind == Some("oct") || PRIVATE.iter().any(|name| key.contains_key(*name)) {
                return Err(PublicJwksError::Private);
            }
            if !matches!(kind, Some("RSA" | "EC" | "OKP")) {
                return Err(PublicJwksError::OtherKind);
            }
        }
        Ok(Self(set))
    }

    /// As metadata has it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// The JSON of it.
impl fmt::Display for PublicJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_value())
    }
}

impl fmt::Debug for PublicJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.get("keys").and_then(Value::as_array).map_or(0, Vec::len);
        write!(f, "PublicJwks({keys})")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(set: Value) -> PublicJwksError {
        PublicJwks::from_value(set).unwrap_err()
    }

    // RFC 7517 §9.2 — N98
    #[test]
    fn a_private_or_shared_key_is_refused_whatever_else_is_there() {
        for name in PRIVATE {
            let mut private = json!({ "kty": "RSA", "n": "AQ", "e": "AQAB" });
            private[name] = json!("AQ");
            let set = json!({ "keys": [{ "kty": "EC", "x": "AQ", "y": "AQ" }, private] });
            assert_eq!(wrong(set), PublicJwksError::Private, "{name}");
        }
        assert_eq!(wrong(json!({ "keys": [{ "kty": "oct" }] })), PublicJwksError::Private);
    }

    // RFC 7517 §5
    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        for set in [json!([]), json!({}), json!({ "keys": {} }), json!({ "keys": ["x"] })] {
            assert_eq!(wrong(set), PublicJwksError::NotKeySet);
        }
        let keys = |count| json!({ "keys": vec![json!({ "kty": "EC" }); count] });
        assert_eq!(wrong(keys(0)), PublicJwksError::Empty);
        assert_eq!(wrong(keys(17)), PublicJwksError::TooMany);
        assert!(PublicJwks::from_value(keys(16)).is_ok());
        assert_eq!(wrong(json!({ "keys": [{ "kty": "AKP" }] })), PublicJwksError::OtherKind);
        assert_eq!(PublicJwks::parse("{").unwrap_err(), PublicJwksError::NotKeySet);
        assert_eq!(PublicJwks::parse(&" ".repeat(40_000)).unwrap_err(), PublicJwksError::TooLong);
    }
}
