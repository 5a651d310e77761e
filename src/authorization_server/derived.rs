//! What a token says that was made from another one (RFC 8693): who acts, and what it ends with.

use serde::{Deserialize, Serialize};

use crate::id::{ClientId, Subject};

/// Who acts, the last one first (RFC 8693 §4.1). It names; it gives nobody any right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Actor {
    pub(super) sub: Subject,
    /// For whom, in turn, it was asked to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) act: Option<Box<Self>>,
}

impl Actor {
    /// How many act, one for the other.
    pub(super) fn depth(&self) -> usize {
        let mut depth = 1;
        let mut next = self.act.as_deref();
        while let Some(actor) = next {
            depth += 1;
            next = actor.act.as_deref();
        }
        depth
    }
}

/// A token that another was made from: what ends it ends that one too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) jti: String,
    pub(super) client_id: ClientId,
    /// Seconds since 1970.
    pub(super) iat: i64,
    /// What it was for; without one in tokens of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8693 §4.1
    #[test]
    fn actors_nest_and_are_counted() {
        let text = r#"{"sub":"third","act":{"sub":"second","act":{"sub":"first"}}}"#;
        let actor: Actor = serde_json::from_str(text).unwrap();
        assert_eq!(actor.depth(), 3);
        assert_eq!(serde_json::to_string(&actor).unwrap(), text);
    }
}
