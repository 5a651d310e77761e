//! What the endpoints for clients answer when they refuse (RFC 6749 §5.2 and its extensions).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::audit::AuditError;
use crate::id::RequestId;
use crate::store::StoreError;

use super::access_token::MintError;

/// Why a request of a client was refused. The code is the protocol's; the description is ours and constant,
/// so that nothing of the request is reflected (N23).
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// `400 invalid_request`
    #[error("invalid_request: {0}")]
    InvalidRequest(&'static str),
    /// `400 invalid_request`: a token that is to be exchanged is not acceptable (RFC 8693 §2.2.2). Recorded, unlike a
    /// request that cannot be read: somebody who proved who they are brought it.
    #[error("invalid_request: {0}")]
    InvalidSubjectToken(&'static str),
    /// `413 invalid_request`
    #[error("invalid_request: the request is too large")]
    TooLarge,
    /// `401 invalid_client`: unknown, or not authenticated as it is registered. Clients register again on this.
    #[error("invalid_client: {0}")]
    InvalidClient(&'static str),
    /// `400 invalid_grant`: clients throw the code or the refresh token away on this.
    #[error("invalid_grant: {0}")]
    InvalidGrant(&'static str),
    /// `400 invalid_grant`: an assertion of nobody we know, for somebody else, late, used, or of another kind. The claim or
    /// rule that is broken is for our log; the answer is the same for all.
    #[error("invalid_grant: the assertion breaks the rule {0}")]
    InvalidAssertion(&'static str),
    /// `400 unauthorized_client`
    #[error("unauthorized_client: {0}")]
    UnauthorizedClient(&'static str),
    /// `400 unsupported_grant_type`
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// `400` with a code of another specification: `authorization_pending` and its like (RFC 8628 §3.5), or what an
    /// authorization request is refused with where it was pushed (RFC 9126 §2.3).
    #[error("{code}: {description}")]
    Extension { code: &'static str, description: &'static str },
    /// `400 invalid_dpop_proof` (RFC 9449 §5): none where one must be, or one that proves nothing.
    #[error("invalid_dpop_proof: {0}")]
    InvalidDpopProof(&'static str),
    /// `400 use_dpop_nonce` (RFC 9449 §8) with the nonce.
    #[error("use_dpop_nonce")]
    UseDpopNonce(HeaderValue),
    /// `400 invalid_scope`
    #[error("invalid_scope: {0}")]
    InvalidScope(&'static str),
    /// `400 invalid_target` (RFC 8707 §2)
    #[error("invalid_target: {0}")]
    InvalidTarget(&'static str),
    /// `400 invalid_redirect_uri` (RFC 7591 §3.2.2)
    #[error("invalid_redirect_uri: {0}")]
    InvalidRedirectUri(&'static str),
    /// `400 invalid_client_metadata` (RFC 7591 §3.2.2)
    #[error("invalid_client_metadata: {0}")]
    InvalidClientMetadata(&'static str),
    /// `403 access_denied`: switched off, or not for this caller.
    #[error("access_denied: {0}")]
    AccessDenied(&'static str),
    /// `401 invalid_token` of a protected endpoint such as `/userinfo` (RFC 6750 §3.1).
    #[error("invalid_token: {0}")]
    InvalidToken(&'static str),
    /// `403 insufficient_scope` of a protected endpoint (RFC 6750 §3.1).
    #[error("insufficient_scope: {0}")]
    InsufficientScope(&'static str),
    /// `429 temporarily_unavailable` with `Retry-After`
    #[error("too many requests")]
    TooManyRequests { retry_after: Duration },
    /// `503 temporarily_unavailable`: never `invalid_grant`, which would cost the client its tokens.
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    /// `503 temporarily_unavailable`: what cannot be recorded does not happen.
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditError),
    /// `503 temporarily_unavailable`
    #[error("no token could be signed")]
    Mint(#[from] MintError),
    /// `503 temporarily_unavailable`: something that we have to ask does not answer, such as a client's key set.
    #[error("temporarily_unavailable: {0}")]
    Unavailable(&'static str),
    /// A refusal that is on record: the answer says where an administrator finds why.
    #[error("{0}")]
    Recorded(#[source] Box<OAuthError>, RecordedAt),
}

/// Where a refusal is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAt {
    pub(super) request_id: RequestId,
    /// A page for administrators (RFC 6749 §5.2, `error_uri`).
    pub(super) uri: String,
}

impl OAuthError {
    /// The refusal without where it is on record.
    const fn plain(&self) -> &Self {
        match self {
            Self::Recorded(error, _) => error.plain(),
            other => other,
        }
    }

    /// The `error` member.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Recorded(error, _) => error.code(),
            Self::InvalidRequest(_) | Self::InvalidSubjectToken(_) | Self::TooLarge => {
                "invalid_request"
            }
            Self::InvalidClient(_) => "invalid_client",
            Self::InvalidGrant(_) | Self::InvalidAssertion(_) => "invalid_grant",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::Extension { code, .. } => code,
            Self::InvalidDpopProof(_) => "invalid_dpop_proof",
            Self::UseDpopNonce(_) => "use_dpop_nonce",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget(_) => "invalid_target",
            Self::InvalidRedirectUri(_) => "invalid_redirect_uri",
            Self::InvalidClientMetadata(_) => "invalid_client_metadata",
            Self::AccessDenied(_) => "access_denied",
            Self::InvalidToken(_) => "invalid_token",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::TooManyRequests { .. }
            | Self::Store(_)
            | Self::Audit(_)
            | Self::Mint(_)
            | Self::Unavailable(_) => "temporarily_unavailable",
        }
    }

    /// The `error_description` member: a constant of ours in the characters of RFC 6749 §5.2.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        match self {
            Self::Recorded(error, _) => error.description(),
            Self::InvalidRequest(text)
            | Self::InvalidSubjectToken(text)
            | Self::InvalidClient(text)
            | Self::InvalidGrant(text)
            | Self::UnauthorizedClient(text)
            | Self::InvalidScope(text)
            | Self::InvalidTarget(text)
            | Self::InvalidRedirectUri(text)
            | Self::InvalidClientMetadata(text)
            | Self::AccessDenied(text)
            | Self::InvalidToken(text)
            | Self::InsufficientScope(text)
            | Self::Unavailable(text)
            | Self::InvalidDpopProof(text)
            | Self::Extension { description: text, .. } => text,
            Self::InvalidAssertion(_) => {
                "the assertion is not valid here, not for this client, or used up"
            }
            Self::TooLarge => "the request is too large",
            Self::UseDpopNonce(_) => "make a new proof with the nonce of the DPoP-Nonce header",
            Self::UnsupportedGrantType => {
                "grant_type is none of the metadata's grant_types_supported"
            }
            Self::TooManyRequests { .. } => "too many requests; wait as Retry-After says",
            Self::Store(_) | Self::Audit(_) | Self::Mint(_) => {
                "this server cannot answer now; the same request may succeed later"
            }
        }
    }

    /// Which rule it was, where the client is not told.
    pub(super) const fn rule(&self) -> Option<&'static str> {
        match self.plain() {
            Self::InvalidAssertion(rule) => Some(rule),
            _ => None,
        }
    }

    /// Whether the request was decided, and so has its line in the audit log: not where something of ours was away, where it
    /// was one of too many or is to come again, and not the polls of a device (RFC 8628 §3.5).
    pub(super) fn is_decision(&self) -> bool {
        match self {
            Self::Extension { code, .. } => !matches!(*code, "authorization_pending" | "slow_down"),
            Self::Recorded(..)
            | Self::TooLarge
            | Self::UseDpopNonce(_)
            | Self::TooManyRequests { .. }
            | Self::Store(_)
            | Self::Audit(_)
            | Self::Mint(_)
            | Self::Unavailable(_) => false,
            Self::InvalidRequest(_)
            | Self::InvalidSubjectToken(_)
            | Self::InvalidClient(_)
            | Self::InvalidGrant(_)
            | Self::InvalidAssertion(_)
            | Self::UnauthorizedClient(_)
            | Self::UnsupportedGrantType
            | Self::InvalidDpopProof(_)
            | Self::InvalidScope(_)
            | Self::InvalidTarget(_)
            | Self::InvalidRedirectUri(_)
            | Self::InvalidClientMetadata(_)
            | Self::AccessDenied(_)
            | Self::InvalidToken(_)
            | Self::InsufficientScope(_) => true,
        }
    }

    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Recorded(error, _) => error.status(),
            Self::InvalidClient(_) | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::AccessDenied(_) => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Store(_) | Self::Audit(_) | Self::Mint(_) | Self::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::InvalidRequest(_)
            | Self::InvalidSubjectToken(_)
            | Self::InvalidGrant(_)
            | Self::InvalidAssertion(_)
            | Self::UnauthorizedClient(_)
            | Self::UnsupportedGrantType
            | Self::Extension { .. }
            | Self::InvalidDpopProof(_)
            | Self::UseDpopNonce(_)
            | Self::InvalidScope(_)
            | Self::InvalidTarget(_)
            | Self::InvalidRedirectUri(_)
            | Self::InvalidClientMetadata(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// A 401 needs a challenge (RFC 9110 §15.5.2); which scheme says whose credentials were missing.
    fn challenge(&self) -> Option<HeaderValue> {
        let bearer = |text: &str| HeaderValue::try_from(text).ok();
        match self.plain() {
            Self::InvalidClient(_) => {
                Some(HeaderValue::from_static("Basic realm=\"mcp-auth-broker\", charset=\"UTF-8\""))
            }
            Self::InvalidToken(_) | Self::InsufficientScope(_) => bearer(&format!(
                "Bearer error=\"{}\", error_description=\"{}\"",
                self.code(),
                self.description()
            )),
            _ => None,
        }
    }
}

/// `Cache-Control: no-store` on everything (RFC 6749 §5.1).
impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            tracing::error!(error = &self as &dyn std::error::Error, "oauth.unavailable");
        }
        let (error, description) = (self.code(), self.description());
        let body = match &self {
            Self::Recorded(_, at) => {
                json!({ "error": error, "error_description": description, "error_uri": at.uri.as_str() })
            }
            _ => json!({ "error": error, "error_description": description }),
        };
        let mut response = (self.status(), json_headers(), body.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Self::Recorded(_, at) = &self
            && let Ok(id) = HeaderValue::try_from(at.request_id.to_string())
        {
            headers.insert(REQUEST_ID, id);
        }
        if let Self::UseDpopNonce(nonce) = self.plain() {
            headers.insert(DPOP_NONCE, nonce.clone());
        }
        let wait = match self.plain() {
            Self::TooManyRequests { retry_after } => Some(retry_after.as_secs().max(1)),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(5),
            _ => None,
        };
        if let Some(seconds) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Under which a refusal is on record.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// RFC 9449 §8.1
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Of every JSON answer to a client (RFC 6749 §5.1).
pub(super) const fn json_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_down() -> OAuthError {
        StoreError::Corrupt("code.expires_at").into()
    }

    // RFC 6749 §5.2 — N43
    #[test]
    fn an_unknown_client_is_401_with_a_challenge_and_nothing_is_cached() {
        let response = OAuthError::InvalidClient("the client is not known here").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers()[header::WWW_AUTHENTICATE].as_bytes().starts_with(b"Basic "));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn a_store_that_is_down_never_looks_like_a_dead_grant() {
        let response = store_down().into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        assert_eq!(store_down().code(), "temporarily_unavailable");
    }
}
