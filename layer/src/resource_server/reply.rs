//! The answer to a request that was not let through (RFC 6750 §3, RFC 9728 §5.1).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};

use super::challenge::ChallengeError;
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
            headers.insert(WWW_AUTHENTICATE, challenge(guard, error));
        }
    }
    response.extensions_mut().insert(refusal);
    response
}

fn challenge(guard: &Guard, error: TokenError) -> HeaderValue {
    let code = match error {
        TokenError::Missing | TokenError::IssuerUnavailable => {
            return guard.unauthenticated.clone();
        }
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
        | TokenError::ClaimsInvalid => ChallengeError::InvalidToken,
    };
    guard.challenge.clone().error(code).description(error.description()).to_header_value()
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
