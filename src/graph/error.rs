//! Why a Graph call has no answer to hand on, on the codes of the contract. Never holds Graph's words.

use std::time::Duration;

use serde::Serialize;

use crate::code::Code;
use crate::id::Permission;
use crate::outbound::OutboundError;

/// Refines a code for people. Stable, never free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Graph refused the token: a new one may do.
    TokenRefused,
    /// Graph wants a token made under other conditions (continuous access evaluation).
    ClaimsChallenge,
    /// The app lacks a permission, or the tenant forbids this to apps.
    InsufficientPrivileges,
    /// The token is not for what the permit allows: a mistake of ours, refused before sending.
    TokenMismatch,
    /// The TLS certificate was not accepted: waiting will not help.
    Tls,
    ResponseTooLarge,
    /// Compressed, although we did not offer that.
    Compressed,
    InvalidJson,
    /// The URL would not be the one that was decided on.
    AddressChanged,
}

/// What went wrong in one attempt, or in the call as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("Microsoft Graph refused the broker's token")]
    Unauthorized { claims_challenge: bool },
    #[error("the app lacks the permission for this operation")]
    Forbidden { least_permissions: Vec<Permission> },
    #[error("Microsoft Graph limits the rate of calls")]
    RateLimited { retry_after: Option<Duration> },
    #[error("Microsoft Graph did not answer in time")]
    Timeout,
    #[error("the time of the call was over before Microsoft Graph was asked")]
    NoTimeLeft,
    #[error("Microsoft Graph cannot serve the call now")]
    Unavailable { retry_after: Option<Duration> },
    #[error("Microsoft Graph cannot be reached")]
    Unreachable(#[source] OutboundError),
    #[error("the answer of Microsoft Graph{} is larger than {limit} bytes", stated(*size))]
    TooLarge { size: Option<u64>, limit: usize },
    #[error("the answer of Microsoft Graph is compressed, which was not asked for")]
    Compressed,
    #[error("the answer of Microsoft Graph says it is JSON and is not")]
    InvalidJson,
    #[error("the token is for another tenant or resource than the permit")]
    TokenMismatch,
    #[error("the address of the call is not the one that was decided on")]
    AddressChanged,
}

/// A call without an answer. Graph's own error body is withheld: it may hold anything.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct GraphError {
    #[source]
    pub(super) problem: Problem,
    pub(super) http_status: Option<u16>,
    pub(super) provider_request_id: Option<String>,
    pub(super) attempts: u32,
}

impl Problem {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::TokenMismatch => {
                Code::ProviderAuthFailed
            }
            Self::RateLimited { .. } => Code::ProviderRateLimited,
            Self::Timeout | Self::NoTimeLeft => Code::ProviderTimeout,
            Self::Unavailable { .. } | Self::Unreachable(_) => Code::ProviderUnavailable,
            Self::TooLarge { .. } | Self::Compressed | Self::InvalidJson => {
                Code::ProviderBadResponse
            }
            Self::AddressChanged => Code::InvalidField,
        }
    }

    #[must_use]
    pub const fn detail(&self) -> Option<Detail> {
        match self {
            Self::Unauthorized { claims_challenge: false } => Some(Detail::TokenRefused),
            Self::Unauthorized { claims_challenge: true } => Some(Detail::ClaimsChallenge),
            Self::Forbidden { .. } => Some(Detail::InsufficientPrivileges),
            Self::Unreachable(OutboundError::Tls { .. }) => Some(Detail::Tls),
            Self::TooLarge { .. } => Some(Detail::ResponseTooLarge),
            Self::Compressed => Some(Detail::Compressed),
            Self::InvalidJson => Some(Detail::InvalidJson),
            Self::TokenMismatch => Some(Detail::TokenMismatch),
            Self::AddressChanged => Some(Detail::AddressChanged),
            Self::RateLimited { .. }
            | Self::Timeout
            | Self::NoTimeLeft
            | Self::Unavailable { .. }
            | Self::Unreachable(_) => None,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => *retry_after,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Timeout
            | Self::NoTimeLeft
            | Self::Unreachable(_)
            | Self::TooLarge { .. }
            | Self::Compressed
            | Self::InvalidJson
            | Self::TokenMismatch
            | Self::AddressChanged => None,
        }
    }

    /// Whether the same request, sent again, may fare better.
    pub(super) const fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Timeout | Self::Unavailable { .. } => true,
            Self::Unreachable(error) => {
                matches!(error, OutboundError::Connect { .. } | OutboundError::Broken { .. })
            }
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::TooLarge { .. }
            | Self::Compressed
            | Self::InvalidJson
            | Self::TokenMismatch
            | Self::NoTimeLeft
            | Self::AddressChanged => false,
        }
    }
}

/// As Graph said it; an answer in chunks says nothing, and is not read to its end to find out.
fn stated(size: Option<u64>) -> String {
    size.map(|size| format!(" of {size} bytes")).unwrap_or_default()
}

impl From<OutboundError> for Problem {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Timeout { .. } => Self::Timeout,
            OutboundError::TooLarge { size, limit, .. } => Self::TooLarge { size, limit },
            OutboundError::Compressed { .. } => Self::Compressed,
            OutboundError::Connect { .. }
            | OutboundError::Tls { .. }
            | OutboundError::Broken { .. }
            | OutboundError::PrivateAddress { .. } => Self::Unreachable(error),
        }
    }
}

impl GraphError {
    /// Of an answer that is too large: how many bytes it says it has, and how many are read.
    #[must_use]
    pub const fn too_large(&self) -> Option<(Option<u64>, usize)> {
        match self.problem {
            Problem::TooLarge { size, limit } => Some((size, limit)),
            _ => None,
        }
    }

    #[must_use]
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    #[must_use]
    pub const fn code(&self) -> Code {
        self.problem.code()
    }

    #[must_use]
    pub const fn detail(&self) -> Option<Detail> {
        self.problem.detail()
    }

    /// How long Graph asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.problem.retry_after()
    }

    /// The least permission that would do, where Graph said 403 and the catalogue knows.
    #[must_use]
    pub fn least_permissions(&self) -> &[Permission] {
        match &self.problem {
            Problem::Forbidden { least_permissions } => least_permissions,
            _ => &[],
        }
    }

    /// Graph refused the token (401): drop it, and try once more with a new one.
    #[must_use]
    pub const fn token_refused(&self) -> bool {
        matches!(self.problem, Problem::Unauthorized { .. })
    }

    /// The status of the last attempt, if there was an answer.
    #[must_use]
    pub const fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    /// Graph's `request-id`, for a support case with Microsoft.
    #[must_use]
    pub fn provider_request_id(&self) -> Option<&str> {
        self.provider_request_id.as_deref()
    }

    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}
