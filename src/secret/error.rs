//! Why a secret could not be read: four codes, and a detail that names the situation.

use std::time::Duration;

use crate::code::Code;
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
    /// The value is empty, too large or not text.
    Malformed,
    /// Remembered from an earlier failure; the backend was not asked again.
    Cached,
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
}
