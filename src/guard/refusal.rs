//! Records the requests that the token check refused, before their answer leaves.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response};
use tower::Service;

use crate::audit::{AuditEvent, Auditor, Context, TokenFailure};
use crate::id::{ClientAddress, RequestId, TraceId};
use crate::random::Random;
use crate::resource_server::{Refusal, TokenError};
use crate::time::Clock;

use super::door::Unrecorded;

/// What recording needs.
#[derive(Clone, Debug)]
pub struct Recorder {
    pub auditor: Auditor,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// Wraps the token check: what it refused is annotated on the response, and becomes the terminal event here.
pub async fn record_refusals<S>(recorder: &Recorder, guarded: S, request: Request) -> Response<Body>
where
    S: Service<Request, Response = Response<Body>, Error = Infallible>,
{
    let answered = try_record_refusals(recorder, guarded, request).await;
    answered.unwrap_or_else(|Unrecorded| super::answer::unavailable())
}

/// The same for an endpoint that does not speak JSON-RPC, which says in its own words that nothing can be recorded.
///
/// # Errors
///
/// [`Unrecorded`]
pub async fn try_record_refusals<S>(
    recorder: &Recorder,
    mut guarded: S,
    request: Request,
) -> Result<Response<Body>, Unrecorded>
where
    S: Service<Request, Response = Response<Body>, Error = Infallible>,
{
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace_id = traceparent.and_then(TraceId::from_traceparent);
    let client_address = request.extensions().get::<ClientAddress>().copied();
    let endpoint = endpoint(request.uri().path()).unwrap_or_default();
    let mut response = super::door::call(&mut guarded, request).await;
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else {
        return Ok(response);
    };
    let address = client_address.map(|ClientAddress(address)| address);
    if !recorder.auditor.admit_refusal(address) {
        return Ok(response);
    }
    let context = Context {
        request_id: RequestId::generate(&*recorder.clock, &*recorder.random),
        trace_id: trace_id.unwrap_or_else(|| TraceId::generate(&*recorder.random)),
        requester_id: None,
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    };
    let token = refusal.token_name().map(super::door::token_name);
    let reason = failure(refusal.error());
    let event = AuditEvent::TokenReject { reason, token, client_address, endpoint };
    recorder.auditor.record(&context, event).await?;
    name(&mut response, context.request_id);
    Ok(response)
}

/// Says under which id a refusal is on record: whoever asks an administrator why has something to give them.
pub(super) fn name(response: &mut Response<Body>, request_id: RequestId) {
    if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What was asked for, in words of our own: never a caller's text. The path of `public_url` may be before it.
fn endpoint(path: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 5] = [
        ("/servers/", "/servers/{id}/mcp"),
        ("/forward-auth/", "/forward-auth/{server_id}"),
        ("/ext-authz/", "/ext-authz/{server_id}"),
        ("/api/", "/api"),
        ("/metrics", "/metrics"),
    ];
    let path = path.strip_suffix('/').unwrap_or(path);
    let below = || KNOWN.into_iter().find(|(part, _)| path.contains(part)).map(|(_, name)| name);
    if path.ends_with("/mcp") && !path.contains("/servers/") { Some("/mcp") } else { below() }
}

/// The class of a refusal in the words of the audit log.
const fn failure(error: TokenError) -> TokenFailure {
    match error {
        TokenError::Missing => TokenFailure::Missing,
        TokenError::MalformedRequest | TokenError::Malformed => TokenFailure::Malformed,
        TokenError::UnknownIssuer => TokenFailure::UnknownIssuer,
        TokenError::AlgorithmNotAllowed => TokenFailure::AlgorithmNotAllowed,
        TokenError::UnknownKey => TokenFailure::UnknownKey,
        TokenError::BadSignature => TokenFailure::BadSignature,
        TokenError::WrongType => TokenFailure::WrongType,
        TokenError::WrongAudience => TokenFailure::WrongAudience,
        TokenError::Expired => TokenFailure::Expired,
        TokenError::NotYetValid => TokenFailure::NotYetValid,
        TokenError::Inactive => TokenFailure::Inactive,
        TokenError::Revoked => TokenFailure::Revoked,
        TokenError::ClaimsInvalid => TokenFailure::ClaimsInvalid,
        TokenError::IssuerUnavailable => TokenFailure::IssuerUnavailable,
        TokenError::InvalidProof => TokenFailure::InvalidProof,
        TokenError::ProofNeedsNonce => TokenFailure::ProofNeedsNonce,
        TokenError::NotBound => TokenFailure::NotBound,
        TokenError::WrongCertificate => TokenFailure::WrongCertificate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_said_by_its_name_with_a_last_slash_and_below_a_path_too() {
        for (path, said) in [
            ("/mcp", "/mcp"),
            ("/mcp/", "/mcp"),
            ("/broker/mcp/", "/mcp"),
            ("/servers/CANARY/mcp", "/servers/{id}/mcp"),
            ("/servers/CANARY/mcp/", "/servers/{id}/mcp"),
            ("/api/v1/users/CANARY", "/api"),
            ("/metrics", "/metrics"),
        ] {
            assert_eq!(endpoint(path), Some(said), "{path}");
        }
        assert_eq!(endpoint("/CANARY"), None);
    }
}
