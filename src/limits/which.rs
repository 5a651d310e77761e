//! Which limit, and who is counted in it.

use std::fmt;

use crate::id::{ClientId, Subject};
use crate::store::Digest;

use super::LimitFacts;

/// Which limit. Prints as its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    Client,
    User,
    Tenant,
    ToolClient,
    ToolUser,
    Tool,
    RequestClient,
    RequestUser,
    StreamClient,
    StreamUser,
}

/// Who is counted: an issuer, whether the name is of the kind that the limit is about, and the name.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Counted<'a>(pub(super) &'a str, pub(super) bool, pub(super) &'a str);

impl Counted<'_> {
    /// The same in every replica. `limit` tells the limits apart.
    pub(super) fn digest(&self, limit: &str) -> Digest {
        let parts = [limit, self.0, if self.1 { "1" } else { "0" }, self.2];
        // Lengths first: no two different lists of parts are the same bytes.
        let lengths = parts.iter().flat_map(|part| (part.len() as u64).to_be_bytes());
        let bytes: Vec<u8> = lengths.chain(parts.iter().flat_map(|part| part.bytes())).collect();
        Digest::of_bytes(&bytes)
    }
}

impl Which {
    /// What is too much of.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::RequestClient | Self::RequestUser => "requests",
            Self::StreamClient | Self::StreamUser => "streams",
            _ => "calls",
        }
    }

    pub(super) fn who<'a>(self, facts: &LimitFacts<'a>) -> Option<Counted<'a>> {
        let issuer = facts.issuer.as_str();
        let client = facts.client.map(ClientId::as_str);
        let user = facts.user.map(Subject::as_str);
        Some(match self {
            // A token that names no client is counted by its user, and the other way about: none goes free.
            Self::Client | Self::ToolClient | Self::RequestClient | Self::StreamClient => {
                Counted(issuer, client.is_some(), client.or(user).unwrap_or_default())
            }
            Self::User | Self::ToolUser | Self::RequestUser | Self::StreamUser => {
                Counted(issuer, user.is_some(), user.or(client).unwrap_or_default())
            }
            Self::Tenant => Counted("", true, facts.tenant?.as_str()),
            Self::Tool => Counted("", true, ""),
        })
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the limit of the client",
            Self::User => "the limit of the user",
            Self::Tenant => "the limit of the tenant",
            Self::ToolClient => "the client's limit for this tool",
            Self::ToolUser => "the user's limit for this tool",
            Self::Tool => "the limit of this tool",
            Self::RequestClient => "the client's limit for requests that are no calls",
            Self::RequestUser => "the user's limit for requests that are no calls",
            Self::StreamClient => "the client's limit for streams",
            Self::StreamUser => "the user's limit for streams",
        })
    }
}
