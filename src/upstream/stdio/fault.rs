//! What can go wrong with a child process, without a word of its own.

use crate::code::Code;

/// Why a child gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChildFault {
    #[error("the server cannot be started")]
    NotStarted,
    #[error("a secret in the environment of the server cannot be read")]
    NoSecret,
    #[error("the server did not get ready in time")]
    NotReady,
    #[error("the server does not speak MCP")]
    NoHandshake,
    #[error("the server has ended, and is started anew later")]
    Resting,
    #[error("the server ended before it answered")]
    Ended,
    #[error("the server has started more processes than it may")]
    Crowded,
    #[error("the server has given the call up")]
    GivenUp,
    #[error("the server answers as many calls as it may; retry later")]
    Busy,
    #[error("the server did not answer in time")]
    Silent,
    #[error("the answer of the server is larger than the broker hands on")]
    TooLarge,
    #[error("what the server writes is no message")]
    Garbage,
}

impl ChildFault {
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::NotStarted | Self::Resting | Self::Ended | Self::Crowded => {
                Code::ProviderUnavailable
            }
            Self::NoSecret => Code::SecretUnavailable,
            Self::NotReady | Self::Silent => Code::ProviderTimeout,
            Self::Busy => Code::ProviderRateLimited,
            Self::NoHandshake | Self::GivenUp | Self::TooLarge | Self::Garbage => {
                Code::ProviderBadResponse
            }
        }
    }
}
