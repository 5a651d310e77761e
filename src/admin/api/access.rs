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
/// For the calls that wait for this very person, and nothing else.
const APPROVE: &str = "broker:approve";
const APPROVALS: &str = "/api/v1/approvals";

/// What the door found out.
#[derive(Clone, Copy, Debug)]
struct Administers(bool);

/// Lets a request through only with `broker:admin` and for who administers us at this moment, on every path, also on
/// those that do not exist; to approvals also with `broker:approve`, and then the operations look who it is.
///
/// The layer before this one has checked signature, audience, dates and revocation. No answer is stored by anybody on
/// the way.
pub(super) async fn administrators_only(
    State(operations): State<Operations>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response =
        match admit(&operations, request.extensions().get(), request.uri().path()).await {
            Ok(administers) => {
                request.extensions_mut().insert(administers);
                next.run(request).await
            }
            Err(refusal) => refusal,
        };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether the caller administers us, or the answer that it gets instead.
async fn admit(
    operations: &Operations,
    principal: Option<&Principal>,
    path: &str,
) -> Result<Administers, Response> {
    let Some(principal) = principal else {
        let detail = "an access token is needed";
        return Err(problem(StatusCode::UNAUTHORIZED, detail, None, None));
    };
    if holds(principal, SCOPE) {
        return administrator(operations, principal).await;
    }
    let about_approvals = path == APPROVALS || path.starts_with("/api/v1/approvals/");
    if about_approvals && holds(principal, APPROVE) {
        return Ok(Administers(false));
    }
    let hint = "administrators get it: log in as one, and ask for the scope broker:admin";
    let detail = "this needs the scope broker:admin";
    Err(problem(StatusCode::FORBIDDEN, detail, Some(hint), None))
}

fn holds(principal: &Principal, scope: &str) -> bool {
    let wanted: Result<ScopeToken, _> = scope.parse();
    wanted.is_ok_and(|wanted| principal.scopes().permits(&wanted))
}

async fn administrator(
    operations: &Operations,
    principal: &Principal,
) -> Result<Administers, Response> {
    let administers = match principal.subject() {
        Some(subject) => operations.is_administrator(subject, principal.client_id()).await,
        None => Ok(false),
    };
    match administers {
        Ok(true) => Ok(Administers(true)),
        Ok(false) => {
            let hint =
                "a local user with the role, or who authorization_server.administrators names";
            let detail = "the token is not of an administrator any more";
            Err(problem(StatusCode::FORBIDDEN, detail, Some(hint), None))
        }
        Err(error) => Err(AdminError::from(error).into_response()),
    }
}

/// Who asks, and whether they administer us. Without the door in front of it, nobody does.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) actor: Actor,
    pub(super) administers: bool,
}

impl FromRequestParts<Operations> for Asker {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        operations: &Operations,
    ) -> Result<Self, Response> {
        let actor = Actor::from_request_parts(parts, operations).await?;
        let known = parts.extensions.get::<Administers>();
        Ok(Self { actor, administers: known.is_some_and(|Administers(is)| *is) })
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
