//! Why a secret could not be read: four codes, and a detail that names the situation.

use std::time::Duration;

use crate::code::Code;
use crate::outbound::OutboundError;
use crate::secret_ref::SecretRef;

/// Refines a code for operators. Stable, safe to show, never free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// More than one item matches the reference.
    Ambiguous,
    /// The backend's own request limit is used up.
    RateLimited,
    /// The backend is not configured (`secrets.provider`, `[secrets.vault]`, …).
    NotConfigured,
    /// The helper program cannot run: missing, not executable, no writable directory.
    CliEnvironment,
    /// The backend is sealed or still starting.
    Sealed,
    /// The TLS certificate of the backend was not accepted.
    Tls,
    /// The file may be read by others than its owner.
    Permissions,
    /// The value is empty, too large, not text, or of a kind that cannot be a secret (a one-time code).
    Malformed,
    /// Remembered from an earlier failure; the backend was not asked again.
    Cached,
    /// No connection came about: nothing was asked. Tried once more.
    Unreachable,
    /// The connection broke, or a program says that it had none: the backend may have counted the request. Tried once more.
    Broken,
    /// The backend answered that it failed.
    Faulty,
    /// The backend's answer is not one that we understand.
    Unexpected,
    /// Our own credential for the backend is missing, malformed or refused at login.
    Credential,
}

/// Why a secret could not be read. The code is the contract, the message is for people.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    #[error("no secret at {reference}")]
    NotFound { reference: SecretRef, detail: Option<Detail> },
    #[error("the provider refused to read {reference}")]
    AccessDenied { reference: SecretRef, detail: Option<Detail> },
    #[error("no answer for {reference} within {} ms", budget.as_millis())]
    Timeout { reference: SecretRef, budget: Duration },
    #[error("the provider of {reference} cannot be used now")]
    Unavailable { reference: SecretRef, detail: Option<Detail>, retry_after: Option<Duration> },
}

impl SecretError {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::SecretNotFound,
            Self::AccessDenied { .. } => Code::SecretAccessDenied,
            Self::Timeout { .. } => Code::SecretTimeout,
            Self::Unavailable { .. } => Code::SecretUnavailable,
        }
    }

    #[must_use]
    pub const fn detail(&self) -> Option<Detail> {
        match self {
            Self::NotFound { detail, .. }
            | Self::AccessDenied { detail, .. }
            | Self::Unavailable { detail, .. } => *detail,
            Self::Timeout { .. } => None,
        }
    }

    /// How long the backend, or our memory of its failure, asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::NotFound { .. } | Self::AccessDenied { .. } | Self::Timeout { .. } => None,
        }
    }
}

/// What a provider found wrong, before it is tied to a reference. It has no text to leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotFound(Option<Detail>),
    AccessDenied(Option<Detail>),
    Timeout(Duration),
    Unavailable(Detail, Option<Duration>),
}

impl Fault {
    pub(super) const MALFORMED: Self = Self::NotFound(Some(Detail::Malformed));
    pub(super) const UNEXPECTED: Self = Self::Unavailable(Detail::Unexpected, None);

    pub(super) fn at(self, reference: &SecretRef) -> SecretError {
        let reference = reference.clone();
        match self {
            Self::NotFound(detail) => SecretError::NotFound { reference, detail },
            Self::AccessDenied(detail) => SecretError::AccessDenied { reference, detail },
            Self::Timeout(budget) => SecretError::Timeout { reference, budget },
            Self::Unavailable(detail, retry_after) => {
                SecretError::Unavailable { reference, detail: Some(detail), retry_after }
            }
        }
    }
}

impl From<OutboundError> for Fault {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Timeout { limit, .. } => Self::Timeout(limit),
            OutboundError::Connect { .. } => Self::Unavailable(Detail::Unreachable, None),
            OutboundError::Broken { .. } => Self::Unavailable(Detail::Broken, None),
            OutboundError::Tls { .. } => Self::Unavailable(Detail::Tls, None),
            // Configuration: asking again cannot help until `outbound.allow_private` is set.
            OutboundError::PrivateAddress { .. } => Self::Unavailable(Detail::NotConfigured, None),
            OutboundError::TooLarge { .. } | OutboundError::Compressed { .. } => Self::UNEXPECTED,
        }
    }
}
