//! Scopes (RFC 6749 §3.3): parsed, ordered, with the `:*` hierarchy.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A scope is empty.
    #[error("a scope is empty")]
    Empty,
    /// A scope has a character outside %x21 %x23-5B %x5D-7E (RFC 6749 §3.3).
    #[error("a scope has a character outside %x21 %x23-5B %x5D-7E (RFC 6749 §3.3)")]
    Character,
    /// A scope is longer than 256 characters; how long it is.
    #[error("a scope has {0} characters, at most 256 are allowed")]
    TooLong(usize),
    /// More than 256 scopes.
    #[error("more than 256 scopes")]
    TooMany,
}

/// One scope token, such as `graph:read` or, for everything under it, `graph:*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeToken(Arc<str>);

impl ScopeToken {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether holding `self` is as good as holding `wanted` (MCP 2026-07-28, step-up: hierarchies).
    ///
    /// `graph:*` implies `graph:read` and `graph:mail:read`, but neither `graph` nor `graphs:read`.
    /// A bare `*` is an ordinary scope and implies nothing else.
    #[must_use]
    pub fn implies(&self, wanted: &Self) -> bool {
        if self == wanted {
            return true;
        }
        // Keep the colon, so that the prefix ends where a level ends.
        self.0.strip_suffix('*').is_some_and(|prefix| {
            prefix.ends_with(':') && wanted.0.len() > prefix.len() && wanted.0.starts_with(prefix)
        })
    }
}

impl FromStr for ScopeToken {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        if text.len() > 256 {
            return Err(ScopeError::TooLong(text.len()));
        }
        if !text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            return Err(ScopeError::Character);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ScopeToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ScopeToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of scope tokens. Prints sorted and separated by single spaces, so equal sets print equally.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(BTreeSet<ScopeToken>);

impl Scope {
    /// No scope at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self(BTreeSet::new())
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many tokens it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Its tokens, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &ScopeToken> {
        self.0.iter()
    }

    /// Whether one of our tokens is, or implies, `wanted`.
    #[must_use]
    pub fn permits(&self, wanted: &ScopeToken) -> bool {
        self.0.contains(wanted) || self.0.iter().any(|held| held.implies(wanted))
    }

    /// The tokens of `wanted` that we neither hold nor imply.
    #[must_use]
    pub fn missing(&self, wanted: &Self) -> Self {
        Self(wanted.0.iter().filter(|token| !self.permits(token)).cloned().collect())
    }

    /// Whether every one of our tokens is permitted by `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|token| other.permits(token))
    }

    /// What remains of a request when only `allowed` may be granted. Never wider than either side.
    #[must_use]
    pub fn narrow(&self, allowed: &Self) -> Self {
        Self(self.0.iter().filter(|token| allowed.permits(token)).cloned().collect())
    }

    /// Both together, for a step-up that keeps what was granted before.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }
}

/// Splits at spaces; repeated spaces and tokens are dropped (clients send both).
impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split(' ')
            .filter(|token| !token.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .and_then(bounded)
    }
}

fn bounded(tokens: BTreeSet<ScopeToken>) -> Result<Scope, ScopeError> {
    if tokens.len() > 256 { Err(ScopeError::TooMany) } else { Ok(Scope(tokens)) }
}

impl FromIterator<ScopeToken> for Scope {
    fn from_iter<I: IntoIterator<Item = ScopeToken>>(tokens: I) -> Self {
        Self(tokens.into_iter().collect())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, token) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(text: &str) -> ScopeToken {
        text.parse().unwrap()
    }

    // MCP 2026-07-28 authorization §Step-Up — RS-15
    #[test]
    fn a_star_reaches_every_level_below_it_and_no_neighbour() {
        let held = token("graph:*");
        assert!(held.implies(&token("graph:read")) && held.implies(&token("graph:mail:read")));
        for other in ["graph", "graph:", "graphs:read", "Graph:read", "mail:read"] {
            assert!(!held.implies(&token(other)), "{other}");
        }
        assert!(!token("*").implies(&token("graph:read")));
        assert!(!token("graph*").implies(&token("graph:read")));
    }

    #[test]
    fn a_scope_with_a_quote_or_control_character_is_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "ä", "a\u{7f}"] {
            assert_eq!(bad.parse::<Scope>(), Err(ScopeError::Character), "{bad:?}");
        }
    }

    fn scope() -> impl Strategy<Value = Scope> {
        // A small alphabet, so that the sets overlap and stars have something to imply.
        prop::collection::vec("[ab](:[xy*])?", 0..6)
            .prop_map(|tokens| tokens.iter().map(|text| token(text)).collect())
    }

    proptest! {
        /// No client talks its way to more than it asked for or more than may be granted.
        #[test]
        fn narrowing_never_widens(asked in scope(), allowed in scope()) {
            let granted = asked.narrow(&allowed);
            prop_assert!(granted.iter().all(|token| asked.iter().any(|other| other == token)));
            prop_assert!(granted.is_subset(&allowed));
        }

        #[test]
        fn printing_and_parsing_is_the_identity(scope in scope()) {
            prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
        }

        /// What a challenge names is exactly what turns "insufficient" into "sufficient".
        #[test]
        fn adding_what_is_missing_suffices(held in scope(), wanted in scope()) {
            let missing = held.missing(&wanted);
            prop_assert!(wanted.is_subset(&held.union(&missing)));
            prop_assert!(missing.iter().all(|token| !held.permits(token)));
        }
    }
}
