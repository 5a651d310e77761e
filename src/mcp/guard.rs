//! Decides on every request before rmcp sees it: reads the body once, and answers the step-up 403.
//!
//! The position matters: after the token was verified (its principal is in the extensions), before
//! rmcp, which has no way to answer 403. The decision is made on the body, because old clients send
//! no `Mcp-Name` header and because a header may lie (TR-27).

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, header};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tower::{Layer, Service};

use crate::broker::Caller;
use crate::guard::{
    Answered, Beside, BesideCall, Door, Listening, Message, OwnLimit, ToolCall, Unrecorded, call,
    method_name, record_policy, unavailable,
};
use crate::limits::Permits;
use crate::policy::Decision;
use crate::resource_server::Principal;

use super::answer::{accept_anything, in_json, is_json, is_modern, malformed, unknown_version};
use super::asker::Noted;
use super::decide::{Decider, Deciding, spelled};
use super::own::OwnTools;
use super::tools::Toolbox;

/// Bytes of a question to the caller's user.
const MAX_QUESTION: usize = 1 << 20;
const LISTEN: &str = "subscriptions/listen";

/// Guards an MCP service. Needs a [`Principal`] in the request's extensions.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    settings: Arc<Settings>,
    /// Whether clients are told of changes before the handler is asked.
    tells: bool,
}

/// What the guard works with.
#[derive(Debug)]
pub struct Settings {
    pub decider: Decider,
    pub toolbox: Toolbox,
    /// Whose tools stand beside ours.
    pub beside: Option<Arc<dyn Beside>>,
    pub door: Door,
}

impl GuardLayer {
    /// Whether a server whose tools stand beside ours is called with what the caller's own token is exchanged for.
    pub(super) fn needs_the_callers_token(&self) -> bool {
        self.settings.beside.as_ref().is_some_and(|beside| beside.need_the_callers_token())
    }

    pub(super) fn telling_of_changes(self, tells: bool) -> Self {
        Self { tells, ..self }
    }

    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), tells: false }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, settings: Arc::clone(&self.settings), tells: self.tells }
    }
}

/// The service of [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    settings: Arc<Settings>,
    tells: bool,
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
        let (settings, tells) = (Arc::clone(&self.settings), self.tells);
        Box::pin(async move { Ok(settings.guard(request, ready, tells).await) })
    }
}

impl Settings {
    async fn guard<S>(&self, mut request: Request<Body>, inner: S, tells: bool) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let Some(principal) = request.extensions_mut().remove::<Principal>() else {
            tracing::error!("mcp.request_without_principal");
            return unavailable();
        };
        let caller = self.door.caller(principal, request.headers());
        let served = if request.method() == Method::POST {
            self.post(request, (inner, tells), caller).await
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
        self.door.accepted(caller).await?;
        if let Err(refusal) = self.door.within_request_limits(caller, ("none", None)).await? {
            return Ok(refusal);
        }
        request.extensions_mut().insert(caller.clone());
        let response = in_json(call(&mut inner, request).await, None, false);
        self.door.end(caller, "none", response).await
    }

    async fn post<S>(
        &self,
        request: Request<Body>,
        (mut inner, tells): (S, bool),
        mut caller: Caller,
    ) -> Result<Response<Body>, Unrecorded>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        // Before the body is there: whoever goes away while it comes is recorded, too.
        caller.owe_terminal_event("unreadable", None).await?;
        let (mut parts, body) = request.into_parts();
        let body = match self.door.read(body).await {
            Ok(body) => body,
            Err(refusal) => return self.door.unreadable(&caller, refusal).await,
        };
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(unreadable) => {
                return self.door.unreadable(&caller, unreadable.answer(&body)).await;
            }
        };
        caller.asks(message.id.map(RawValue::get));
        let method = method_name(message.method.as_deref());
        let tool = message.tool_call();
        let graph = tool.as_ref().filter(|tool| tool.name == super::GRAPH_EXECUTE);
        let name = tool.as_ref().and_then(|tool| tool.name.parse().ok());
        caller.describe(method, name, graph.and_then(ToolCall::chosen_id));
        if let Some(trace) = message.trace() {
            caller.join(trace);
        }
        self.door.accepted(&caller).await?;
        let refusal = unknown_version(&parts.headers, &message)
            .or_else(|| malformed(&parts.headers, &message, tool.as_ref()));
        if let Some(refusal) = refusal {
            return self.door.malformed(&caller, (method, message.id), refusal).await;
        }
        if let (Some(beside), Some(tool)) = (&self.beside, &tool)
            && beside.holds(&tool.name)
            // Whoever is nobody is told so, whichever names are servers'.
            && caller.who().subject.is_some()
        {
            let (headers, presented) = (parts.headers.clone(), parts.extensions.remove());
            let limit = parts.extensions.get::<OwnLimit>().cloned();
            // Whoever may not see the tool learns nothing of it by a request that is not well formed: rmcp refuses that as
            // it refuses one for a tool that is nowhere.
            let noted = Noted::before_it_is_handed_over();
            pass(&mut parts, &caller, (self.decider.now(), &noted));
            let sent_json = is_json(&parts.headers);
            accept_anything(&mut parts.headers);
            let request = Request::from_parts(parts, Body::from(body.clone()));
            let refusal = call(&mut inner, request).await;
            if !noted.is_well_formed() {
                let refusal = in_json(refusal, message.id, sent_json);
                let asked = (&*tool.name, None);
                return match self.door.within_limits(&caller, &message, asked, || None).await? {
                    Ok(_permits) => self.door.end(&caller, method, refusal).await,
                    Err(too_much) => Ok(too_much),
                };
            }
            if let Some(limit) = limit {
                limit.begin();
            }
            let theirs = BesideCall { caller, presented, headers, body: body.clone() };
            return Arc::clone(beside).call(theirs).await;
        }
        let listens = tells && method == LISTEN && is_modern(&parts.headers);
        if let Some(beside) = &self.beside
            && (listens || beside.answers(method))
            && caller.who().subject.is_some()
        {
            let theirs = handed_over(caller, parts, body.clone());
            return if listens {
                self.listen(beside, theirs).await
            } else {
                Arc::clone(beside).call(theirs).await
            };
        }
        let deciding = self.decider.now();
        let permits = match self.admit(&caller, &message, (tool.as_ref(), &deciding)).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(refusal),
        };
        let sent_json = is_json(&parts.headers);
        accept_anything(&mut parts.headers);
        let noted = Noted::default();
        pass(&mut parts, &caller, (deciding, &noted));
        // With the work: the places are free when it ends, or when its caller goes away.
        if !permits.is_empty() {
            parts.extensions.insert(permits.clone());
        }
        let response = call(&mut inner, Request::from_parts(parts, Body::from(body.clone()))).await;
        drop(permits);
        let response = if noted.asks() { as_asked(response).await } else { response };
        let response = in_json(response, message.id, sent_json);
        self.door.end(&caller, method, response).await
    }

    /// A client that wants to be told of changes, of ours and of servers'.
    async fn listen(&self, beside: &Arc<dyn Beside>, call: BesideCall) -> Answered {
        let own = OwnTools { toolbox: self.toolbox.clone(), decider: self.decider.clone() };
        let listening = Listening { call, door: self.door.clone(), own: Arc::new(own) };
        Arc::clone(beside).listen(listening).await
    }

    /// What stands between a call and its tool: limits first (RS-26), so that a client that ignores
    /// challenges is slowed down too; then the 403 challenge, where scopes alone stand in the way (RS-21, RS-22).
    async fn admit(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        (call, deciding): (Option<&ToolCall<'_>>, &Deciding),
    ) -> Result<Result<Permits, Response<Body>>, Unrecorded> {
        let Some(call) = call else {
            let asked = (method_name(message.method.as_deref()), message.id);
            return self.door.within_request_limits(caller, asked).await;
        };
        let entry = self.toolbox.find(&call.name);
        let arguments = call.arguments.filter(|_| entry.is_some()).map(spelled);
        let arguments = arguments.as_deref();
        let decision = entry.map(|entry| deciding.call(caller, entry, arguments));
        let asked = (&*call.name, decision.as_ref());
        let question = || entry.map(|entry| deciding.question(caller, entry, arguments));
        let permits = match self.door.within_limits(caller, message, asked, question).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (Some(decision), Some(entry)) = (decision.filter(Decision::is_challenge), entry) else {
            return Ok(Ok(permits));
        };
        let Ok(tool_name) = call.name.parse() else { return Ok(Ok(permits)) };
        let other = deciding.difference_of_call(caller, (entry, arguments), &decision);
        record_policy(caller, &tool_name, &decision, other).await?;
        let question = deciding.question(caller, entry, arguments);
        let said = (&decision, question);
        Ok(Err(self.door.step_up(caller, message, tool_name, said).await?))
    }
}

/// A request for who stands beside us, in the time that they have for it.
fn handed_over(caller: Caller, mut parts: Parts, body: Bytes) -> BesideCall {
    if let Some(limit) = parts.extensions.get::<OwnLimit>() {
        limit.begin();
    }
    BesideCall { caller, presented: parts.extensions.remove(), headers: parts.headers, body }
}

/// Puts beside the request what the methods need.
fn pass(parts: &mut Parts, caller: &Caller, (deciding, noted): (Deciding, &Noted)) {
    parts.extensions.insert(caller.clone());
    parts.extensions.insert(deciding);
    parts.extensions.insert(noted.clone());
}

/// A question to the caller's user as 2026-07-28 has it: `elicitationId` is of 2025-11-25, and rmcp's type always writes it
/// (EL-8). Ours holds nothing else that could be spelled so: an invitation, an address, a sealed state.
async fn as_asked(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MAX_QUESTION).await else { return unavailable() };
    let text = String::from_utf8_lossy(&body);
    let text = text.replace(r#""elicitationId":"","#, "").replace(r#","elicitationId":"""#, "");
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(text))
}
