//! Why no token could be obtained: the outcome table of the login endpoints, on our codes.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::code::Code;
use crate::outbound::OutboundError;
use crate::secret::SecretError;

use super::assertion::AssertionError;

/// Refines a code for operators. Stable, never free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    SecretInvalid,
    SecretExpired,
    CredentialMissing,
    PublicClient,
    AssertionInvalid,
    /// The assertion's times do not fit: look at the broker's clock.
    AssertionTime,
    FederationNoMatch,
    AppNotFound,
    AppDisabled,
    TenantNotFound,
    WrongCloud,
    ScopeInvalid,
    MultiResource,
    ResourceNotFound,
    ConsentRequired,
    ConditionalAccess,
    InteractionRequired,
    OboNotAllowed,
    RequestMalformed,
    ManagedIdentityRefused,
    /// The TLS certificate of the endpoint was not accepted: waiting will not help.
    Tls,
    /// The endpoint has a private address that `outbound.allow_private` does not name: waiting will not help.
    AddressNotAllowed,
    Redirect,
    NotJson,
    /// The answer lacks what RFC 6749 §5.1 asks for.
    Incomplete,
    TooLarge,
    /// The private key or the certificate cannot be used.
    PrivateKeyUnusable,
    FederatedTokenFile,
    /// The permit is for another profile, tenant or resource: a mistake of ours, refused.
    PermitMismatch,
}

/// What an identity provider says about a refusal and that may be shown. Never `error_description`:
/// it holds identifiers, assertion subjects and whatever a proxy put there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// The OAuth error code (RFC 6749 §5.2), if it is spelled like one.
    pub error: Option<String>,
    pub error_codes: Vec<u32>,
    pub trace_id: Option<Uuid>,
    pub correlation_id: Option<Uuid>,
    /// What the provider wants the person to do first, as JSON for their client, word for word. Not for answers of ours.
    #[serde(skip)]
    pub claims: Option<Arc<str>>,
}

/// Why no token could be obtained.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the token endpoint did not answer in time")]
    Timeout { diagnostics: Diagnostics },
    #[error("the token endpoint cannot be used now")]
    Unavailable { detail: Option<Detail>, retry_after: Option<Duration>, diagnostics: Diagnostics },
    /// There was no answer at all.
    #[error("the token endpoint cannot be reached")]
    Unreachable(#[source] Arc<OutboundError>),
    #[error("the token endpoint asks to wait {} ms", retry_after.as_millis())]
    RateLimited { retry_after: Duration, diagnostics: Diagnostics },
    #[error("the token endpoint answered something that is not a token")]
    BadResponse { detail: Detail },
    #[error("the identity provider refused the credential")]
    Refused { detail: Option<Detail>, diagnostics: Diagnostics },
    #[error("the client assertion cannot be made")]
    Assertion(#[source] AssertionError),
    #[error("the permit is for another profile, tenant or resource")]
    PermitMismatch,
}

impl TokenError {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Secret(error) => error.code(),
            Self::Timeout { .. } => Code::ProviderTimeout,
            Self::Unavailable { .. } | Self::Unreachable(_) => Code::ProviderUnavailable,
            Self::RateLimited { .. } => Code::ProviderRateLimited,
            Self::BadResponse { .. } => Code::ProviderBadResponse,
            Self::Refused { .. } | Self::PermitMismatch => Code::ProviderAuthFailed,
            Self::Assertion(error) => error.code(),
        }
    }

    /// `None` for [`TokenError::Secret`], which has a detail of its own.
    #[must_use]
    pub fn detail(&self) -> Option<Detail> {
        match self {
            Self::Secret(_) | Self::Timeout { .. } | Self::RateLimited { .. } => None,
            Self::Unavailable { detail, .. } | Self::Refused { detail, .. } => *detail,
            Self::BadResponse { detail } => Some(*detail),
            Self::Assertion(error) => Some(error.detail()),
            Self::Unreachable(error) => match **error {
                OutboundError::Tls { .. } => Some(Detail::Tls),
                OutboundError::PrivateAddress { .. } => Some(Detail::AddressNotAllowed),
                OutboundError::Timeout { .. }
                | OutboundError::Connect { .. }
                | OutboundError::Broken { .. }
                | OutboundError::TooLarge { .. }
                | OutboundError::Compressed { .. } => None,
            },
            Self::PermitMismatch => Some(Detail::PermitMismatch),
        }
    }

    /// How long to wait before the same call may succeed, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Unavailable { retry_after, .. }
            | Self::Secret(SecretError::Unavailable { retry_after, .. }) => *retry_after,
            Self::Secret(_)
            | Self::Timeout { .. }
            | Self::BadResponse { .. }
            | Self::Refused { .. }
            | Self::Unreachable(_)
            | Self::Assertion(_)
            | Self::PermitMismatch => None,
        }
    }

    #[must_use]
    pub const fn diagnostics(&self) -> Option<&Diagnostics> {
        match self {
            Self::Timeout { diagnostics }
            | Self::Unavailable { diagnostics, .. }
            | Self::RateLimited { diagnostics, .. }
            | Self::Refused { diagnostics, .. } => Some(diagnostics),
            Self::Secret(_)
            | Self::BadResponse { .. }
            | Self::Unreachable(_)
            | Self::Assertion(_)
            | Self::PermitMismatch => None,
        }
    }

    /// Whether the same request, sent again at once, may fare better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable { detail, retry_after, .. } => {
                detail.is_none() && retry_after.is_none()
            }
            Self::Unreachable(error) => {
                matches!(**error, OutboundError::Connect { .. } | OutboundError::Broken { .. })
            }
            Self::Secret(_)
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::BadResponse { .. }
            | Self::Refused { .. }
            | Self::Assertion(_)
            | Self::PermitMismatch => false,
        }
    }

    /// The secret itself was refused, so a newer one may help.
    pub(super) fn blames_the_secret(&self) -> bool {
        let Self::Refused { detail, diagnostics } = self else { return false };
        matches!(
            detail,
            Some(Detail::SecretInvalid | Detail::SecretExpired | Detail::AssertionInvalid)
        ) || diagnostics.error.as_deref() == Some("invalid_client")
    }
}
