//! Identifiers as types: each is parsed once, where it comes in, and cannot be mistaken for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::random::Random;
use crate::time::{Clock, Timestamp};

/// Why a text is not an identifier. Says what is wrong with its shape, never the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is longer than allowed.
    #[error("has {length} characters, at most {max} are allowed")]
    TooLong {
        /// How long it is.
        length: usize,
        /// What is allowed.
        max: usize,
    },
    /// It has a control character.
    #[error("has a control character")]
    Control,
    /// It has a character outside letters, digits, `.`, `_` and `-`.
    #[error("has a character outside letters, digits, `.`, `_` and `-`")]
    Alphabet,
    /// It is not a UUID such as 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b.
    #[error("is not a UUID such as 0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b")]
    NotUuid,
    /// It is not a W3C trace id: 32 lower-case hex digits, not all zero.
    #[error("is not a W3C trace id: 32 lower-case hex digits, not all zero")]
    NotTraceId,
}

/// Accepts up to 512 characters without control characters: what other parties name things with.
fn foreign(text: &str) -> Result<(), IdError> {
    const MAX: usize = 512;
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX {
        return Err(IdError::TooLong { length: text.len(), max: MAX });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    Ok(())
}

/// Accepts up to 128 characters of `[A-Za-z0-9._-]`: what operators name things with.
fn named(text: &str) -> Result<(), IdError> {
    const MAX: usize = 128;
    foreign(text)?;
    if text.len() > MAX {
        return Err(IdError::TooLong { length: text.len(), max: MAX });
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Err(IdError::Alphabet);
    }
    Ok(())
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident($rule:ident);)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                $rule(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

text_id! {
    /// An OAuth client (RFC 6749 §2.2).
    ClientId(foreign);
    /// The `sub` of a token: who asks, unique within an issuer (RFC 7519 §4.1.2).
    Subject(foreign);
    /// The `iss` of a token, compared byte for byte (RFC 7519 §4.1.1).
    Issuer(foreign);
    /// An Entra tenant: a GUID or a domain name.
    TenantId(named);
    /// A policy rule.
    RuleId(named);
    /// A Graph credential profile, `graph.profile.name`.
    ProfileName(named);
    /// A Microsoft Graph permission such as `User.Read.All`.
    Permission(named);
    /// A tool's name (MCP 2026-07-28 server/tools, Tool Names).
    ToolName(named);
}

/// One request to us, from its arrival to its terminal audit event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new one, ordered by time (`UUIDv7`).
    #[must_use]
    pub fn generate(clock: &dyn Clock, random: &dyn Random) -> Self {
        Self(random.uuid_v7(clock.now()))
    }

    /// When it was made, to the millisecond; `None` for one that another made in another way (RFC 9562 §5.7).
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let seconds = i64::try_from(seconds).ok()?;
        Some(Timestamp::from_unix_millis(seconds.checked_mul(1000)? + i64::from(nanos / 1_000_000)))
    }

    /// The span of this request (Trace Context §3.2.2.4): what hangs under it knows it without being told.
    #[must_use]
    pub fn span(&self) -> u64 {
        let (_, low) = self.0.as_u64_pair();
        low | (1 << 63) // set in every UUID of RFC 9562, so never zero
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        // The hyphenated form only: `Uuid` alone would also take braces, URNs and bare hex.
        if text.len() != 36 {
            return Err(IdError::NotUuid);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| IdError::NotUuid)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, ordered by time (`UUIDv7`).
            #[must_use]
            pub fn generate(clock: &dyn Clock, random: &dyn Random) -> Self {
                Self::at(clock.now(), random)
            }

            /// The same, for a moment that was read already.
            #[must_use]
            pub fn at(now: Timestamp, random: &dyn Random) -> Self {
                Self(random.uuid_v7(now))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if text.len() != 36 {
                    return Err(IdError::NotUuid);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| IdError::NotUuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

uuid_id! {
    /// What a person allowed a client; every token of ours names one.
    GrantId;
    /// A person in our store; the `sub` of tokens for them.
    UserId;
    /// A call that waits for a person. No secret: knowing it allows nothing.
    ApprovalId;
    /// One line of the audit log. That of a `policy.decided` is the `decision_id` of the answer.
    EventId;
}

/// The address of the client, after trusted proxies were looked through. `http` puts it into each request's extensions.
///
/// For throttling and for finding out what went wrong. It is no identity: many share one, and one has many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ClientAddress(pub std::net::IpAddr);

/// Who a person is in our own tokens (RFC 9068 §2.2, `sub`).
impl From<UserId> for Subject {
    fn from(id: UserId) -> Self {
        Self(id.0.hyphenated().to_string().into())
    }
}

/// A client that acts for itself is its own subject (RFC 9068 §2.2).
impl From<&ClientId> for Subject {
    fn from(id: &ClientId) -> Self {
        Self(Arc::clone(&id.0))
    }
}

/// A W3C trace id (Trace Context §3.2.2.3): taken from `traceparent`, else made. With what came beside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId {
    id: [u8; 16],
    /// The span of whoever called us.
    parent: Option<u64>,
    /// Whether whoever called us keeps this trace.
    sampled: bool,
}

impl TraceId {
    /// A new one.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill_identifier(&mut bytes);
        bytes[0] |= 1; // all zero is forbidden
        Self { id: bytes, parent: None, sampled: true }
    }

    /// The span of whoever called us; `None` where the trace begins here.
    #[must_use]
    pub const fn parent(&self) -> Option<u64> {
        self.parent
    }

    /// Whether the trace is kept: as whoever called us says (Trace Context §3.2.2.5.1), else yes.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The part of it that is chance (Trace Context level 2, "random trace-id flag"): 56 bits.
    #[must_use]
    pub const fn chance(&self) -> u64 {
        const LAST_56_BITS: u128 = (1 << 56) - 1;
        (u128::from_be_bytes(self.id) & LAST_56_BITS) as u64
    }

    /// The `traceparent` of a request that we make for the request with this id.
    #[must_use]
    pub fn traceparent(&self, request: RequestId) -> String {
        self.traceparent_of(request.span(), self.sampled)
    }

    /// The `traceparent` of a request that another span of ours makes; `kept`: whether that span is.
    #[must_use]
    pub fn traceparent_of(&self, span: u64, kept: bool) -> String {
        format!("00-{self}-{span:016x}-{:02x}", u8::from(kept))
    }

    /// The trace id of a `traceparent` header value (Trace Context §3.2), if it is one.
    #[must_use]
    pub fn from_traceparent(unverified: &str) -> Option<Self> {
        let mut parts = unverified.split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let shaped =
            version.len() == 2 && version != "ff" && parent.len() == 16 && flags.len() == 2;
        let complete = version != "00" || parts.next().is_none();
        if !(shaped && complete) {
            return None;
        }
        let trace: Self = trace.parse().ok()?;
        // All zeros are no span, and make the whole header invalid (§3.2.2.4).
        let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { parent: Some(parent), sampled, ..trace })
    }
}

impl FromStr for TraceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let lower_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(IdError::NotTraceId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| IdError::NotTraceId)?;
        let id = number.to_be_bytes();
        if number == 0 {
            Err(IdError::NotTraceId)
        } else {
            Ok(Self { id, parent: None, sampled: true })
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.id))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl Serialize for TraceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_hyphenated_uuid_and_nothing_else() {
        assert!("0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse::<RequestId>().is_ok());
        for bad in
            ["", "1", "{0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b}", "0192f0c12d3e7a4b8c5d6e7f80910a1b"]
        {
            assert_eq!(bad.parse::<RequestId>(), Err(IdError::NotUuid), "{bad}");
        }
    }

    #[test]
    fn the_trace_id_comes_from_a_well_formed_traceparent_only() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = TraceId::from_traceparent(good).map(|id| id.to_string());
        assert_eq!(trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let came = TraceId::from_traceparent(good).unwrap();
        assert_eq!((came.parent(), came.is_sampled()), (Some(0xb7ad_6b71_6920_3331), true));
        let request: RequestId = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().unwrap();
        let ours = "00-0af7651916cd43dd8448eb211c80319c-8c5d6e7f80910a1b-01";
        assert_eq!(came.traceparent(request), ours);
        assert_eq!(came.chance(), 0x0048_eb21_1c80_319c);
        let kept_by_nobody = TraceId::from_traceparent(&good.replace("-01", "-00")).unwrap();
        assert!(
            !kept_by_nobody.is_sampled() && kept_by_nobody.traceparent(request).ends_with("-00")
        );
        for bad in [
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
            "",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(TraceId::from_traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_identifier_with_a_line_break_is_refused() {
        assert_eq!("a\nb".parse::<Subject>(), Err(IdError::Control));
        assert_eq!("a b".parse::<RuleId>(), Err(IdError::Alphabet));
    }
}
