//! Decides on every request before rmcp sees it: reads the body once, and answers the step-up 403.
//!
//! The position matters: after the token was verified (its principal is in the extensions), before
//! rmcp, which has no way to answer 403. The decision is made on the body, because old clients send
//! no `Mcp-Name` header and because a header may lie (TR-27).

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use futures_util::future::BoxFuture;
use tower::{Layer, Service};
use url::Url;

use crate::audit::{AuditError, AuditEvent, Auditor, ResultStatus};
use crate::broker::Caller;
use crate::code::Code;
use crate::id::{RequestId, TraceId};
use crate::limits::{Limits, Permits};
use crate::policy::Decision;
use crate::random::Random;
use crate::resource_server::{Challenge, ChallengeError, Principal};
use crate::scope::Scope;
use crate::time::Clock;

use super::answer::{method_name, plain, unavailable, unknown_version};
use super::decide::Decider;
use super::jsonrpc::{self, Message, ToolCall};
use super::limit;
use super::tools::Toolbox;

/// Guards an MCP service. Needs a [`Principal`] in the request's extensions.
#[derive(Clone, Debug)]
pub struct GuardLayer(Arc<Settings>);

/// What the guard works with.
#[derive(Debug)]
pub struct Settings {
    pub decider: Decider,
    pub toolbox: Toolbox,
    pub limits: Limits,
    pub auditor: Auditor,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Where the protected resource metadata of this endpoint is (RFC 9728 §5.1).
    pub metadata_url: Url,
    pub max_body_bytes: usize,
    /// For the body to arrive.
    pub body_timeout: Duration,
}

impl GuardLayer {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, settings: Arc::clone(&self.0) }
    }
}

/// The service of [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // `poll_ready` reserved `self.inner`, so that one must serve this request.
        let spare = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, spare);
        let settings = Arc::clone(&self.settings);
        Box::pin(async move { Ok(settings.guard(request, ready).await) })
    }
}

impl Settings {
    async fn guard<S>(&self, mut request: Request<Body>, inner: S) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let Some(principal) = request.extensions_mut().remove::<Principal>() else {
            tracing::error!("mcp.request_without_principal");
            return unavailable();
        };
        let caller = self.caller(principal, request.headers());
        let served = if request.method() == Method::POST {
            self.post(request, inner, caller).await
        } else {
            self.other(request, inner, &caller).await
        };
        served.unwrap_or_else(|Unrecorded| unavailable())
    }

    /// GET and DELETE: rmcp says that there is no such thing here.
    async fn other<S>(
        &self,
        mut request: Request<Body>,
        mut inner: S,
        caller: &Caller,
    ) -> Result<Response<Body>, Unrecorded>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        caller.owe_terminal_event("none", None).await?;
        self.accepted(caller).await?;
        request.extensions_mut().insert(caller.clone());
        let response = call(&mut inner, request).await;
        self.end(caller, "none", response).await
    }

    async fn post<S>(
        &self,
        request: Request<Body>,
        mut inner: S,
        mut caller: Caller,
    ) -> Result<Response<Body>, Unrecorded>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        // Before the body is there: whoever goes away while it comes is recorded, too.
        caller.owe_terminal_event("unreadable", None).await?;
        let (mut parts, body) = request.into_parts();
        let body = match self.read(body).await {
            Ok(body) => body,
            Err(refusal) => return self.unreadable(&caller, refusal).await,
        };
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(unreadable) => return self.unreadable(&caller, unreadable.answer()).await,
        };
        let method = method_name(message.method.as_deref());
        let tool = message.tool_call();
        let graph = tool.as_ref().filter(|tool| tool.name == super::GRAPH_EXECUTE);
        let name = tool.as_ref().and_then(|tool| tool.name.parse().ok());
        caller.describe(method, name, graph.and_then(ToolCall::chosen_id));
        self.accepted(&caller).await?;
        if let Some(refusal) = unknown_version(&parts.headers, &message) {
            return self.refuse(&caller, method, refusal).await;
        }
        let permits = match self.admit(&caller, &message, tool.as_ref()).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(refusal),
        };
        parts.extensions.insert(caller.clone());
        // With the work: the places are free when it ends, or when its caller goes away.
        if !permits.is_empty() {
            parts.extensions.insert(permits.clone());
        }
        let response = call(&mut inner, Request::from_parts(parts, Body::from(body.clone()))).await;
        drop(permits);
        self.end(&caller, method, response).await
    }

    /// Ends a request whose body is no message.
    async fn unreadable(
        &self,
        caller: &Caller,
        refusal: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        self.accepted(caller).await?;
        self.refuse(caller, "unreadable", refusal).await
    }

    async fn read(&self, body: Body) -> Result<Bytes, Response<Body>> {
        match tokio::time::timeout(self.body_timeout, to_bytes(body, self.max_body_bytes)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(self.unreadable_body(&error)),
            Err(_elapsed) => Err(plain(StatusCode::REQUEST_TIMEOUT)),
        }
    }

    fn caller(&self, principal: Principal, headers: &HeaderMap) -> Caller {
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace_id = traceparent
            .and_then(TraceId::from_traceparent)
            .unwrap_or_else(|| TraceId::generate(&*self.random));
        let request_id = RequestId::generate(&*self.clock, &*self.random);
        Caller::new(principal, request_id, trace_id, self.clock.monotonic(), self.auditor.clone())
    }

    /// Records that the token was verified, unless it was found in the cache.
    async fn accepted(&self, caller: &Caller) -> Result<(), Unrecorded> {
        let principal = caller.principal();
        if !principal.is_fresh() {
            return Ok(());
        }
        let event = AuditEvent::TokenAccept {
            token: super::token_name(principal.token_name()),
            issuer: principal.issuer().clone(),
            scopes: principal.scopes().clone(),
        };
        caller.record(caller.context(), event).await?;
        Ok(())
    }

    /// Ends a request that goes no further.
    async fn refuse(
        &self,
        caller: &Caller,
        method: &'static str,
        refusal: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        caller.end(self.ended(caller, method, ResultStatus::Error)).await?;
        Ok(refusal)
    }

    /// Ends a request that nobody ended on the way: refused by rmcp, or a method that decides nothing.
    async fn end(
        &self,
        caller: &Caller,
        method: &'static str,
        response: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        if caller.is_open() {
            let failed = response.status().is_client_error() || response.status().is_server_error();
            let status = if failed { ResultStatus::Error } else { ResultStatus::Ok };
            caller.end(self.ended(caller, method, status)).await?;
        }
        Ok(response)
    }

    fn ended(&self, caller: &Caller, method: &'static str, status: ResultStatus) -> AuditEvent {
        AuditEvent::ResultEmit {
            method,
            tool_name: None,
            status,
            error_code: (status == ResultStatus::Error).then_some(Code::InvalidField),
            duration_ms: millis(self.clock.monotonic().saturating_sub(caller.started())),
            decision: None,
            reason: None,
            policy_version: None,
            question: None,
        }
    }

    /// What stands between a call and its tool: limits first (RS-26), so that a client that ignores
    /// challenges is slowed down too; then the 403 challenge, where scopes alone stand in the way (RS-21, RS-22).
    async fn admit(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        call: Option<&ToolCall<'_>>,
    ) -> Result<Result<Permits, Response<Body>>, Unrecorded> {
        let Some(call) = call else { return Ok(Ok(Permits::default())) };
        let entry = self.toolbox.find(&call.name);
        let decision = entry.map(|entry| self.decider.call(caller, entry, call.arguments));
        let facts = limit::facts(caller, &call.name, decision.as_ref());
        let permits = match self.limits.check(&facts).await {
            Ok(permits) => permits,
            Err(refused) => {
                let spent = self.clock.monotonic().saturating_sub(caller.started());
                let event = limit::event(&call.name, decision.as_ref(), (refused.code(), spent));
                caller.end(event).await?;
                return Ok(Err(limit::answer(message, &refused)));
            }
        };
        let (Some(decision), Some(entry)) = (decision.filter(Decision::can_step_up), entry) else {
            return Ok(Ok(permits));
        };
        let Ok(tool_name) = call.name.parse() else { return Ok(Ok(permits)) };
        let event = AuditEvent::ScopeInsufficient {
            tool_name,
            missing_scopes: decision.missing_scopes.clone(),
            reason: decision.reason.clone(),
            policy_version: Arc::clone(&decision.policy_version),
            question: self.decider.question(caller, entry, call.arguments),
        };
        caller.end(event).await?;
        Ok(Err(self.challenge(message, &decision.missing_scopes)))
    }

    fn challenge(&self, message: &Message<'_>, missing: &Scope) -> Response<Body> {
        let text = format!("this call needs the scope {missing}");
        let data = serde_json::json!({ "missing_scopes": missing });
        // In the body too: some clients show it and drop the header.
        let mut response = jsonrpc::error(
            StatusCode::FORBIDDEN,
            message.id,
            jsonrpc::INVALID_REQUEST,
            &format!("insufficient_scope: {text}"),
            Some(data),
        );
        let challenge = Challenge::new(&self.metadata_url)
            .error(ChallengeError::InsufficientScope)
            .scope(missing)
            .description(&text);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.to_header_value());
        response
    }

    fn unreadable_body(&self, error: &axum::Error) -> Response<Body> {
        let too_large = std::error::Error::source(error)
            .is_some_and(<dyn std::error::Error + 'static>::is::<http_body_util::LengthLimitError>);
        if too_large {
            let message = format!("the body is larger than {} bytes", self.max_body_bytes);
            return jsonrpc::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                None,
                jsonrpc::INVALID_REQUEST,
                &message,
                None,
            );
        }
        plain(StatusCode::BAD_REQUEST)
    }
}

/// The audit log cannot take the event, so nothing is done and nothing is said.
struct Unrecorded;

impl From<AuditError> for Unrecorded {
    fn from(error: AuditError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "audit.record_failed");
        Self
    }
}

/// Calls a service that is always ready, as all of ours are.
pub(super) async fn call<S>(inner: &mut S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    match inner.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
