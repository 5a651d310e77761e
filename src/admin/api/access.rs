//! Who may call the API, and as whom a change is recorded.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, Operations};
use crate::audit::Context;
use crate::id::{RequestId, TraceId};
use crate::resource_server::Principal;
use crate::scope::ScopeToken;

use super::problem::problem;

const SCOPE: &str = "broker:admin";

/// Lets a request through only with `broker:admin` and for who administers us at this moment, on every path, also on
/// those that do not exist.
///
/// The layer before this one has checked signature, audience, dates and revocation. No answer is stored by anybody on
/// the way.
pub(super) async fn administrators_only(
    State(operations): State<Operations>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match refusal(&operations, request.extensions().get()).await {
        None => next.run(request).await,
        Some(refusal) => refusal,
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn refusal(operations: &Operations, principal: Option<&Principal>) -> Option<Response> {
    let Some(principal) = principal else {
        let detail = "an access token is needed";
        return Some(problem(StatusCode::UNAUTHORIZED, detail, None, None));
    };
    let wanted: Result<ScopeToken, _> = SCOPE.parse();
    if !wanted.is_ok_and(|wanted| principal.scopes().permits(&wanted)) {
        let hint = "administrators get it: log in as one, and ask for the scope broker:admin";
        let detail = "this needs the scope broker:admin";
        return Some(problem(StatusCode::FORBIDDEN, detail, Some(hint), None));
    }
    let administers = match principal.subject() {
        Some(subject) => operations.is_administrator(subject, principal.client_id()).await,
        None => Ok(false),
    };
    match administers {
        Ok(true) => None,
        Ok(false) => {
            let hint =
                "a local user with the role, or who authorization_server.administrators names";
            let detail = "the token is not of an administrator any more";
            Some(problem(StatusCode::FORBIDDEN, detail, Some(hint), None))
        }
        Err(error) => Some(AdminError::from(error).into_response()),
    }
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
