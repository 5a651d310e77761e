//! Who may call the API, and as whom a change is recorded.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, Operations};
use crate::audit::{AdminRefusal, AuditEvent, Context, TokenName};
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
/// the way. What ends without an event of its own is recorded here, refusals too.
///
/// # Errors
///
/// `401` without a principal, which no layer in front lets happen; `403`; `503`
pub(super) async fn administrators_only(
    State(operations): State<Operations>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(principal) = request.extensions().get::<Principal>().cloned() else {
        let detail = "an access token is needed";
        return unstored(problem(StatusCode::UNAUTHORIZED, detail, None, None));
    };
    let actor = actor(&operations, &principal, request.headers());
    let asked = Asked::of(&request);
    let admitted = match accepted(&operations, &actor, &principal).await {
        Ok(()) => admit(&operations, &principal, request.uri().path()).await,
        Err(error) => Err(Refused::Unknown(error)),
    };
    let (response, refusal) = match admitted {
        Ok(administers) => {
            request.extensions_mut().insert(administers);
            request.extensions_mut().insert(actor.clone());
            (next.run(request).await, None)
        }
        Err(Refused::Unknown(error)) => (error.into_response(), None),
        Err(Refused::For(refusal)) => (refused(refusal, request.uri().path()), Some(refusal)),
    };
    let ended = asked.ended(&operations, &actor, (response.status(), refusal)).await;
    unstored(ended.map_or_else(IntoResponse::into_response, |()| response))
}

fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Those that a route of ours takes.
pub(super) const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What is asked, in words of our own.
struct Asked {
    method: Option<&'static str>,
    route: Option<Arc<str>>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let method = request.method().as_str();
        let route = request.extensions().get::<MatchedPath>();
        Self {
            method: METHODS.into_iter().find(|known| *known == method),
            route: route.map(|route| route.as_str().into()),
        }
    }

    /// Records how a request ended that no other event ended.
    async fn ended(
        self,
        operations: &Operations,
        actor: &Actor,
        (status, refusal): (StatusCode, Option<AdminRefusal>),
    ) -> Result<(), AdminError> {
        if actor.has_ended() {
            return Ok(());
        }
        let Self { method, route } = self;
        let status = status.as_u16();
        let method = method.map(Cow::Borrowed);
        let event = AuditEvent::AdminRequestEnd { method, route, status, refusal };
        operations.auditor.record(&actor.context, event).await?;
        Ok(())
    }
}

/// Records that the token was verified, unless it was found in the cache.
async fn accepted(
    operations: &Operations,
    actor: &Actor,
    principal: &Principal,
) -> Result<(), AdminError> {
    if principal.is_fresh() {
        let event = AuditEvent::TokenAccept {
            token: TokenName(Arc::clone(principal.token_name())),
            issuer: principal.issuer().clone(),
            scopes: principal.scopes().clone(),
        };
        operations.auditor.record(&actor.context, event).await?;
    }
    Ok(())
}

/// Why nobody is let in.
enum Refused {
    For(AdminRefusal),
    /// Whether they may could not be found out or recorded.
    Unknown(AdminError),
}

fn refused(why: AdminRefusal, path: &str) -> Response {
    let (detail, hint) = match why {
        AdminRefusal::ScopeMissing if is_about_approvals(path) => (
            "this needs the scope broker:approve",
            "whoever a rule lets approve may allow it to a client that an operator registered; for administrators broker:admin does as well",
        ),
        AdminRefusal::ScopeMissing => (
            "this needs the scope broker:admin",
            "administrators get it: log in as one, and ask for the scope broker:admin",
        ),
        AdminRefusal::NotAdministrator => (
            "the token is not of an administrator any more",
            "a local user with the role, or who authorization_server.administrators names",
        ),
    };
    problem(StatusCode::FORBIDDEN, detail, Some(hint), None)
}

/// Whether the caller administers us.
async fn admit(
    operations: &Operations,
    principal: &Principal,
    path: &str,
) -> Result<Administers, Refused> {
    if holds(principal, SCOPE) {
        return administrator(operations, principal).await;
    }
    if is_about_approvals(path) && holds(principal, APPROVE) {
        return Ok(Administers(false));
    }
    Err(Refused::For(AdminRefusal::ScopeMissing))
}

fn is_about_approvals(path: &str) -> bool {
    path == APPROVALS || path.starts_with("/api/v1/approvals/")
}

fn holds(principal: &Principal, scope: &str) -> bool {
    let wanted: Result<ScopeToken, _> = scope.parse();
    wanted.is_ok_and(|wanted| principal.scopes().permits(&wanted))
}

async fn administrator(
    operations: &Operations,
    principal: &Principal,
) -> Result<Administers, Refused> {
    let Some(subject) = principal.subject() else {
        return Err(Refused::For(AdminRefusal::NotAdministrator));
    };
    match operations.is_administrator(subject, principal.client_id()).await {
        Ok(true) => Ok(Administers(true)),
        Ok(false) => Err(Refused::For(AdminRefusal::NotAdministrator)),
        Err(error) => Err(Refused::Unknown(error.into())),
    }
}

/// The caller, for the audit log.
fn actor(operations: &Operations, principal: &Principal, headers: &HeaderMap) -> Actor {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let trace_id = traceparent.and_then(TraceId::from_traceparent);
    Actor::new(Context {
        request_id: RequestId::generate(&*operations.clock, &*operations.random),
        trace_id: trace_id.unwrap_or_else(|| TraceId::generate(&*operations.random)),
        requester_id: principal.subject().cloned(),
        client_id: principal.client_id().cloned(),
        asserted_requester_id: None,
        redactions: Vec::new(),
    })
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

/// The caller, as the door has found out.
impl FromRequestParts<Operations> for Actor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Operations) -> Result<Self, Response> {
        let actor = parts.extensions.get::<Self>().cloned();
        actor.ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())
    }
}
