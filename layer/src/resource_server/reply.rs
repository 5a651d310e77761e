//! The answer to a request that was not let through (RFC 6750 §3, RFC 9728 §5.1).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};

use super::challenge::ChallengeError;
use super::dpop::{DpopGuard, NONCE_HEADER};
use super::error::{Refusal, TokenError};
use super::layer::Guard;

/// Status, challenge and a small JSON body; the [`Refusal`] goes into the response's extensions.
pub(super) fn refusal<ResBody: From<Bytes>>(guard: &Guard, refusal: Refusal) -> Response<ResBody> {
    let error = refusal.error();
    let mut response = Response::new(ResBody::from(body(error)));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match error.retry_after() {
        Some(wait) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        None => {
            for challenge in challenges(guard, error).into_iter().flatten() {
                headers.append(WWW_AUTHENTICATE, challenge);
            }
        }
    }
    let about_proof = matches!(error, TokenError::InvalidProof | TokenError::ProofNeedsNonce);
    if let Some(nonce) = guard.dpop.as_ref().filter(|_| about_proof).and_then(DpopGuard::nonce) {
        headers.insert(NONCE_HEADER, nonce);
    }
    response.extensions_mut().insert(refusal);
    response
}

/// For whoever sends plain tokens first: some clients read the first challenge alone. Where those are refused there is no
/// such challenge.
fn challenges(guard: &Guard, error: TokenError) -> [Option<HeaderValue>; 2] {
    let about_proof = matches!(
        error,
        TokenError::InvalidProof | TokenError::ProofNeedsNonce | TokenError::NotBound
    );
    let Some(dpop) = &guard.dpop else { return [Some(challenge(guard, error)), None] };
    let bearer = if about_proof { TokenError::Missing } else { error };
    let bearer = (!dpop.is_required()).then(|| challenge(guard, bearer));
    let with_error = match code(error) {
        Some(code) => guard.challenge.clone().error(code).description(error.description()),
        None => guard.challenge.clone(),
    };
    [bearer, Some(with_error.to_dpop_header_value())]
}

fn challenge(guard: &Guard, error: TokenError) -> HeaderValue {
    let Some(code) = code(error) else { return guard.unauthenticated.clone() };
    guard.challenge.clone().error(code).description(error.description()).to_header_value()
}

const fn code(error: TokenError) -> Option<ChallengeError> {
    Some(match error {
        TokenError::Missing | TokenError::IssuerUnavailable => return None,
        TokenError::InvalidProof => ChallengeError::InvalidDpopProof,
        TokenError::ProofNeedsNonce => ChallengeError::UseDpopNonce,
        TokenError::MalformedRequest => ChallengeError::InvalidRequest,
        TokenError::Malformed
        | TokenError::UnknownIssuer
        | TokenError::AlgorithmNotAllowed
        | TokenError::UnknownKey
        | TokenError::BadSignature
        | TokenError::WrongType
        | TokenError::WrongAudience
        | TokenError::Expired
        | TokenError::NotYetValid
        | TokenError::Inactive
        | TokenError::Revoked
        | TokenError::ClaimsInvalid
        | TokenError::NotBound
        | TokenError::WrongCertificate => ChallengeError::InvalidToken,
    })
}

/// Texts of our own only, so nothing needs escaping.
fn body(error: TokenError) -> Bytes {
    let code = match error {
        TokenError::Missing => "unauthorized",
        TokenError::IssuerUnavailable => "temporarily_unavailable",
        other => other.oauth_error().unwrap_or("unauthorized"),
    };
    format!(r#"{{"error":"{code}","error_description":"{}"}}"#, error.description()).into()
}
