//! Why a request was not let through: the reason class, the status and what the client is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// Why a token, or the lack of one, does not give access.
///
/// What the *client* reads ([`TokenError::description`]) is coarser than this: everything that is decided before the
/// signature was checked reads the same, so that nobody learns from the answer which issuers and keys are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No bearer token.
    #[error("no bearer token")]
    Missing,
    /// The Authorization header is malformed or repeated.
    #[error("the Authorization header is malformed or repeated")]
    MalformedRequest,
    /// Not a token of a form accepted here.
    #[error("not a token of a form accepted here")]
    Malformed,
    /// The issuer is not configured.
    #[error("the issuer is not configured")]
    UnknownIssuer,
    /// The algorithm is not allowed for the issuer or its key.
    #[error("the algorithm is not allowed for the issuer or its key")]
    AlgorithmNotAllowed,
    /// No key fits.
    #[error("no key fits")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    BadSignature,
    /// Not an access token.
    #[error("not an access token")]
    WrongType,
    /// The token is for another resource.
    #[error("the token is for another resource")]
    WrongAudience,
    /// The token expired.
    #[error("the token expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The issuer says that the token is not active.
    #[error("the issuer says that the token is not active")]
    Inactive,
    /// The token, its grant, client or user is revoked.
    #[error("the token, its grant, client or user is revoked")]
    Revoked,
    /// A claim is missing or malformed.
    #[error("a claim is missing or malformed")]
    ClaimsInvalid,
    /// The issuer cannot be asked now.
    #[error("the issuer cannot be asked now")]
    IssuerUnavailable,
    /// Nothing proves that the sender holds the key that the token is bound to.
    #[error("nothing proves that the sender holds the key that the token is bound to")]
    InvalidProof,
    /// The proof of the key needs a nonce of ours.
    #[error("the proof of the key needs a nonce of ours")]
    ProofNeedsNonce,
    /// The token is bound to no key, and has to be.
    #[error("the token is bound to no key, and has to be")]
    NotBound,
    /// The token is bound to a certificate, and the connection has none or another.
    #[error("the token is bound to a certificate, and the connection has none or another")]
    WrongCertificate,
}

impl TokenError {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 19] = [
        Self::Missing,
        Self::MalformedRequest,
        Self::Malformed,
        Self::UnknownIssuer,
        Self::AlgorithmNotAllowed,
        Self::UnknownKey,
        Self::BadSignature,
        Self::WrongType,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::Inactive,
        Self::Revoked,
        Self::ClaimsInvalid,
        Self::IssuerUnavailable,
        Self::InvalidProof,
        Self::ProofNeedsNonce,
        Self::NotBound,
        Self::WrongCertificate,
    ];

    /// The reason class, stable across releases: for audit and metrics, not for the client.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::MalformedRequest => "malformed_request",
            Self::Malformed => "malformed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongType => "wrong_type",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
            Self::ClaimsInvalid => "claims_invalid",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::InvalidProof => "invalid_proof",
            Self::ProofNeedsNonce => "proof_needs_nonce",
            Self::NotBound => "not_bound",
            Self::WrongCertificate => "wrong_certificate",
        }
    }

    /// 401 for a token that gives no access, 400 for a malformed request (RFC 6750 §3.1), 503 where we cannot tell.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::IssuerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Missing
            | Self::Malformed
            | Self::UnknownIssuer
            | Self::AlgorithmNotAllowed
            | Self::UnknownKey
            | Self::BadSignature
            | Self::WrongType
            | Self::WrongAudience
            | Self::Expired
            | Self::NotYetValid
            | Self::Inactive
            | Self::Revoked
            | Self::ClaimsInvalid
            | Self::InvalidProof
            | Self::ProofNeedsNonce
            | Self::NotBound
            | Self::WrongCertificate => StatusCode::UNAUTHORIZED,
        }
    }

    /// The `error` of the challenge (RFC 6750 §3.1, RFC 9449 §7.1). None where the request carried no credentials (OAuth 2.1 §5.3.2).
    #[must_use]
    pub const fn oauth_error(self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::IssuerUnavailable => None,
            Self::MalformedRequest => Some("invalid_request"),
            Self::Malformed
            | Self::UnknownIssuer
            | Self::AlgorithmNotAllowed
            | Self::UnknownKey
            | Self::BadSignature
            | Self::WrongType
            | Self::WrongAudience
            | Self::Expired
            | Self::NotYetValid
            | Self::Inactive
            | Self::Revoked
            | Self::ClaimsInvalid
            | Self::NotBound
            | Self::WrongCertificate => Some("invalid_token"),
            Self::InvalidProof => Some("invalid_dpop_proof"),
            Self::ProofNeedsNonce => Some("use_dpop_nonce"),
        }
    }

    /// What the client is told. Only who holds a token with a good signature is told more than "not valid".
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Missing => "a bearer token is required",
            Self::MalformedRequest => "send one Authorization header with one bearer token",
            Self::Malformed
            | Self::UnknownIssuer
            | Self::AlgorithmNotAllowed
            | Self::UnknownKey
            | Self::BadSignature
            | Self::Inactive
            | Self::Revoked
            | Self::ClaimsInvalid => "the access token is not valid",
            Self::WrongType => "the token is not an access token",
            Self::WrongAudience => "the access token is for another resource",
            Self::Expired => "the access token expired",
            Self::NotYetValid => "the access token is not valid yet",
            Self::IssuerUnavailable => "the token cannot be checked now, try again later",
            Self::InvalidProof => "the DPoP proof is missing or not valid for this request",
            Self::ProofNeedsNonce => {
                "make a new DPoP proof with the nonce of the DPoP-Nonce header"
            }
            Self::NotBound => "the access token must be bound to a key (DPoP)",
            Self::WrongCertificate => {
                "the access token is bound to a certificate that this connection does not have"
            }
        }
    }

    /// When to try again, for [`TokenError::IssuerUnavailable`].
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::IssuerUnavailable => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

/// A request that was not let through. It travels in the *response's* extensions, so that an outer layer can audit it.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    error: TokenError,
    token: Option<Arc<str>>,
}

impl Refusal {
    pub(super) const fn new(error: TokenError, token: Option<Arc<str>>) -> Self {
        Self { error, token }
    }

    /// Why.
    #[must_use]
    pub const fn error(&self) -> TokenError {
        self.error
    }

    /// How logs may name the token: its `jti` once the signature was good, else 8 hex digits of its SHA-256.
    #[must_use]
    pub fn token_name(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::new(error, None)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({}, token {:?})", self.error.reason(), self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_status_and_oauth_error() {
        let table: Vec<_> = TokenError::ALL
            .iter()
            .map(|e| {
                format!("{} {} {}", e.reason(), e.status().as_u16(), e.oauth_error().unwrap_or("-"))
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r#"
        missing 401 -
        malformed_request 400 invalid_request
        malformed 401 invalid_token
        unknown_issuer 401 invalid_token
        algorithm_not_allowed 401 invalid_token
        unknown_key 401 invalid_token
        bad_signature 401 invalid_token
        wrong_type 401 invalid_token
        wrong_audience 401 invalid_token
        expired 401 invalid_token
        not_yet_valid 401 invalid_token
        inactive 401 invalid_token
        revoked 401 invalid_token
        claims_invalid 401 invalid_token
        issuer_unavailable 503 -
        invalid_proof 401 invalid_dpop_proof
        proof_needs_nonce 401 use_dpop_nonce
        not_bound 401 invalid_token
        wrong_certificate 401 invalid_token
        "#);
    }

    /// What is decided before the signature was checked must not tell which check it was.
    #[test]
    fn failures_before_the_signature_read_alike() {
        let unsigned = [
            TokenError::Malformed,
            TokenError::UnknownIssuer,
            TokenError::AlgorithmNotAllowed,
            TokenError::UnknownKey,
            TokenError::BadSignature,
        ];
        for error in unsigned {
            assert_eq!(error.description(), TokenError::BadSignature.description());
            assert_eq!(error.status(), TokenError::BadSignature.status());
            assert_eq!(error.oauth_error(), TokenError::BadSignature.oauth_error());
        }
        assert_eq!(TokenError::Revoked.description(), TokenError::Inactive.description());
    }
}
