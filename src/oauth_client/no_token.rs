//! Why the broker has no token for a call.

use std::sync::Arc;

use crate::code::Code;

/// Why there is no token. Cheap to copy: everybody who waits for one token hears the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    #[error("the authorization server of the server gives the broker no token")]
    Refused,
    /// `invalid_grant`: what was to be exchanged is worth nothing there, or no more.
    #[error("the authorization server of the server gives no token for this caller")]
    GrantEnded,
    #[error("the authorization server of the server does not answer")]
    Away,
    #[error("the authorization server of the server did not answer in time")]
    Slow,
    #[error("the authorization server of the server answered something that is not a token")]
    Unreadable,
    #[error("the broker's credential for the authorization server cannot be read")]
    NoSecret,
    /// The caller's own token would have to be exchanged, and is of another issuer, or of no person.
    #[error(
        "the server can be called only for a person whose token its authorization server issued"
    )]
    NotTheirs,
    /// The identity provider wants the person to do something first. What it wants is for the client, word for word.
    #[error("the identity provider wants the person to log in anew")]
    Interaction(Option<Arc<str>>),
    /// The person has to allow it first, at this page of ours.
    #[error("the account at the server is not connected")]
    NotConnected(Arc<str>),
}

impl NoToken {
    /// What callers are told.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Away => Code::ProviderUnavailable,
            Self::Slow => Code::ProviderTimeout,
            Self::Unreadable => Code::ProviderBadResponse,
            Self::NoSecret => Code::SecretUnavailable,
            Self::Refused
            | Self::GrantEnded
            | Self::NotTheirs
            | Self::Interaction(_)
            | Self::NotConnected(_) => Code::ProviderAuthFailed,
        }
    }

    /// Whether the same question will have another answer soon, without anybody doing something.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Away | Self::Slow | Self::NoSecret)
    }
}
