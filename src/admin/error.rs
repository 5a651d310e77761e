//! Why an administrator's wish was not done.

use crate::audit::AuditError;
use crate::broker::{ApprovalError, ExplainError};
use crate::store::StoreError;

/// Each names what is wrong and what is allowed; none quotes what was sent.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// `422`
    #[error("{field} {problem}\n  hint: {allowed}")]
    Invalid { field: &'static str, problem: &'static str, allowed: &'static str },
    /// `404`
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// `409`
    #[error("{field} is taken\n  hint: {hint}")]
    Taken { field: &'static str, hint: &'static str },
    /// `403`
    #[error("{problem}\n  hint: {hint}")]
    Forbidden { problem: &'static str, hint: &'static str },
    /// `409`
    #[error("it was answered before, or its time is over")]
    TooLate,
    /// `409`
    #[error("the rules have changed since it was asked, so no answer opens it")]
    OtherRules,
    /// `409`: what was looked at is another by now.
    #[error("{problem}\n  hint: {hint}")]
    Outdated { problem: &'static str, hint: &'static str },
    /// `422`: the rules in force stay.
    #[error("the policy has faults")]
    Policy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `422`: it was not added.
    #[error(
        "nobody could log in at the identity provider\n  hint: mend it and try again, or add it unseen (no_check, --no-check)"
    )]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `503`. The change may or may not have happened.
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    /// `503`. Before the change: nothing happened. After it, it happened and its end is not recorded.
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditError),
    /// `503`
    #[error("the audit log cannot be read")]
    Log(#[source] std::io::Error),
}

impl AdminError {
    /// Whether it is certain that nothing was changed.
    #[must_use]
    pub const fn changed_nothing(&self) -> bool {
        match self {
            Self::Invalid { .. }
            | Self::NotFound(_)
            | Self::Taken { .. }
            | Self::Forbidden { .. }
            | Self::TooLate
            | Self::OtherRules
            | Self::Outdated { .. }
            | Self::Policy(_)
            | Self::Provider(_) => true,

            Self::Store(_) | Self::Audit(_) | Self::Log(_) => false,
        }
    }
}

impl From<ExplainError> for AdminError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Log(error) => Self::Log(error),
            ExplainError::Store(error) => Self::Store(error),
        }
    }
}

impl From<ApprovalError> for AdminError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Store(error) => Self::Store(error),
            ApprovalError::Audit(error) => Self::Audit(error),
        }
    }
}
