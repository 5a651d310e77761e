//! Who may call the API, and as whom a change is recorded.

use axum::extract::{FromRequestParts, Request};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::operations::{Actor, Operations};
use crate::audit::Context;
use crate::id::{RequestId, TraceId};
use crate::resource_server::Principal;
use crate::scope::ScopeToken;

use super::problem::problem;

const SCOPE: &str = "broker:admin";

/// Lets a request through only with `broker:admin`, on every path, also on those that do not exist.
///
/// The scope is granted to administrators alone; the layer before this one has checked signature, audience, dates
/// and revocation. No answer is stored by anybody on the way.
pub(super) async fn administrators_only(request: Request, next: Next) -> Response {
    let wanted: Result<ScopeToken, _> = SCOPE.parse();
    let permitted = match (request.extensions().get::<Principal>(), wanted) {
        (Some(principal), Ok(wanted)) => Some(principal.scopes().permits(&wanted)),
        _ => None,
    };
    let mut response = match permitted {
        Some(true) => next.run(request).await,
        Some(false) => problem(
            StatusCode::FORBIDDEN,
            "this needs the scope broker:admin",
            Some("administrators get it: log in as one, and ask for the scope broker:admin"),
            None,
        ),
        None => problem(StatusCode::UNAUTHORIZED, "an access token is needed", None, None),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The caller, for the audit log.
impl FromRequestParts<Operations> for Actor {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        operations: &Operations,
    ) -> Result<Self, Response> {
        let Some(principal) = parts.extensions.get::<Principal>() else {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        };
        let traceparent = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace_id = traceparent.and_then(TraceId::from_traceparent);
        Ok(Self(Context {
            request_id: RequestId::generate(&*operations.clock, &*operations.random),
            trace_id: trace_id.unwrap_or_else(|| TraceId::generate(&*operations.random)),
            requester_id: principal.subject().cloned(),
            client_id: principal.client_id().cloned(),
            asserted_requester_id: None,
            redactions: Vec::new(),
        }))
    }
}
