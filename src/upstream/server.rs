//! One server behind us: what a request to `/servers/{id}/mcp` goes through.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::{Approvals, Caller, Exactly, Failure, Outages, Wanted as Asked};
use crate::code::Code;
use crate::guard::{self, Door, Message, Unrecorded, millis};
use crate::id::ToolName;
use crate::limits::Permits;
use crate::outbound::{Call, Outbound};
use crate::policy::{Decision, Effect};
use crate::resource_server::Principal;

use super::answer::{Exchange, Kind};
use super::credential::Credential;
use super::decide::{Decider, Deciding, Thing};
use super::era::{self, Asked as Sending, Eras, Way};
use super::fault::{self, Fault};
use super::headers::{self, SESSION};
use super::identity::Identity;
use super::incoming::Incoming;
use super::presented::Presented;
use super::session::Sessions;
use super::stdio::Hosted;
use super::wanted::{Beside, Wanted, is_request_id};
use super::watch::Watch;
use super::who::Who;

const HEADER_MISMATCH: i32 = -32020;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const RESOURCE_NOT_FOUND: i32 = -32002;

/// A server behind us, under one of our names.
#[derive(Debug)]
pub struct Server {
    pub id: Box<str>,
    pub reach: Reach,
    pub credential: Credential,
    /// `None`: the server is not told who calls.
    pub identity: Option<Identity>,
    pub door: Door,
    pub decider: Decider,
    pub approvals: Approvals,
    pub outbound: Outbound,
    pub sessions: Sessions,
    pub watch: Arc<Watch>,
    /// Whether its tools stand in one list with ours, under longer names.
    pub folded: bool,
    /// Of which era the server is.
    pub era: Arc<Eras>,
    /// Ends the streams that stay open when the broker drains.
    pub closing: CancellationToken,
    pub outages: Arc<Outages>,
    /// For the head of an answer, for a whole one in JSON, and the longest silence in the stream of a call.
    pub timeout: Duration,
    /// Of one answer, or one event of a stream.
    pub max_response_bytes: usize,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Over Streamable HTTP.
    Http(Url),
    /// A child process of ours. It is shown no credential, and not told who calls.
    Child(Arc<Hosted>),
}

/// What is decided about a message before it is sent.
struct Admitted {
    permits: Permits,
    kind: Kind,
}

/// A tool by the server's name and by ours, its arguments, and what is said beside them.
type Named<'a> = (&'a str, Option<ToolName>, (Option<&'a RawValue>, Beside<'a>));

/// Why a message goes no further: an answer that is recorded already.
type Refused = Response<Body>;

impl Server {
    /// Answers one request whose token was verified.
    pub(super) async fn serve(self: Arc<Self>, mut request: Request<Body>) -> Response<Body> {
        let Some(principal) = request.extensions_mut().remove::<Principal>() else {
            tracing::error!("upstream.request_without_principal");
            return guard::unavailable();
        };
        let caller = self.door.caller(principal, request.headers());
        let served = if request.method() == Method::POST {
            self.post(request, caller).await
        } else {
            let (parts, _body) = request.into_parts();
            self.other(parts, caller).await
        };
        served.unwrap_or_else(|Unrecorded| guard::unavailable())
    }

    /// Whether it answered when it was last asked.
    pub(super) fn note_outage(&self, code: Option<Code>) {
        self.outages.note(|| format!("upstream {}", self.id), code);
    }

    /// GET and DELETE: the stream and the end of a session (2025-11-25 and before). Nothing else has them.
    async fn other(
        self: Arc<Self>,
        mut parts: Parts,
        caller: Caller,
    ) -> Result<Response<Body>, Unrecorded> {
        let presented = parts.extensions.remove();
        let (method, given) = (parts.method, &parts.headers);
        caller.owe_terminal_event("none", None).await?;
        self.door.accepted(&caller).await?;
        let known = matches!(method, Method::GET | Method::DELETE);
        let Some(Ok(session)) = self.session(&caller, given).filter(|_| known) else {
            let refusal = guard::plain(StatusCode::METHOD_NOT_ALLOWED);
            return self.door.refuse(&caller, "none", refusal).await;
        };
        let mut sent = headers::to_server(given);
        // Ours stand for a server that keeps none: there is no stream, and nothing to end.
        if session.to_str().is_ok_and(era::is_ours) {
            let ended = method == Method::DELETE;
            let status = if ended { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED };
            return self.door.end(&caller, "none", guard::plain(status)).await;
        }
        sent.insert(SESSION, session);
        let kind = if method == Method::GET { Kind::Stream(None) } else { Kind::Notification };
        let mut exchange = Exchange::new(Arc::clone(&self), caller, "none", kind);
        exchange.presented = presented;
        exchange.run(method, sent, Bytes::new()).await
    }

    async fn post(
        self: Arc<Self>,
        request: Request<Body>,
        mut caller: Caller,
    ) -> Result<Response<Body>, Unrecorded> {
        caller.owe_terminal_event("unreadable", None).await?;
        let (mut parts, body) = request.into_parts();
        let body = match self.door.read(body).await {
            Ok(body) => body,
            Err(refusal) => return self.door.unreadable(&caller, refusal).await,
        };
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(unreadable) => return self.door.unreadable(&caller, unreadable.answer()).await,
        };
        let method = guard::method_name(message.method.as_deref());
        let modern = headers::is_modern(&parts.headers);
        let wanted = Wanted::of(&message, modern);
        let tool = match &wanted {
            Wanted::Tool { name, .. } => self.decider.tool_name(name),
            _ => None,
        };
        caller.describe(method, tool.clone(), None);
        if let Some(trace) = message.trace() {
            caller.join(trace);
        }
        self.door.accepted(&caller).await?;
        let given = (&parts.headers, parts.extensions.remove());
        self.read(caller, given, (&message, wanted, tool), &body).await
    }

    /// Answers a message that came another way, by a caller whose request is described and accepted.
    pub(super) async fn sent(
        self: Arc<Self>,
        caller: Caller,
        given: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(unreadable) => {
                return self.door.refuse(&caller, "unreadable", unreadable.answer()).await;
            }
        };
        let wanted = Wanted::of(&message, headers::is_modern(given));
        let tool = match &wanted {
            Wanted::Tool { name, .. } => self.decider.tool_name(name),
            _ => None,
        };
        self.read(caller, (given, None), (&message, wanted, tool), &body).await
    }

    async fn read(
        self: Arc<Self>,
        caller: Caller,
        (given, presented): (&HeaderMap, Option<Presented>),
        (message, wanted, tool): (&Message<'_>, Wanted<'_>, Option<ToolName>),
        body: &Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        let method = guard::method_name(message.method.as_deref());
        let mut sent = headers::to_server(given);
        match self.session(&caller, given) {
            None => {}
            Some(Ok(session)) => drop(sent.insert(SESSION, session)),
            // Another's, or one that was never given (RS-32): the client starts a new one.
            Some(Err(())) => {
                let refusal = error(StatusCode::NOT_FOUND, message, "no such session");
                return self.door.refuse(&caller, method, refusal).await;
            }
        }
        if let Some(refusal) = out_of_form(given, message, &wanted, sent.contains_key(SESSION)) {
            return self.door.refuse(&caller, method, refusal).await;
        }
        let modern = headers::is_modern(given);
        let admitted = match self.admit(&caller, message, (wanted, tool, modern)).await? {
            Ok(admitted) => admitted,
            Err(refusal) => return self.door.refuse(&caller, method, refusal).await,
        };
        let id = message.id.map(ToOwned::to_owned);
        let mut exchange = Exchange::new(Arc::clone(&self), caller, method, admitted.kind);
        exchange.id = id;
        exchange.presented = presented;
        exchange.modern = modern;
        exchange.permits = admitted.permits;
        let ticket = self.era.begin(given, sent.get(SESSION), message.id);
        let asked = Sending { message, modern, given, sent: &sent };
        let answering = Box::pin(async {
            let way = era::way(&self, &exchange.who(), &asked).await;
            match way {
                Ok(Way::Pass) => exchange.run(Method::POST, sent.clone(), body.clone()).await,
                Ok(Way::Here(response)) => exchange.answered(response).await,
                Ok(Way::Sent(incoming, translation)) => {
                    exchange.translation = Some(translation);
                    exchange.receive(*incoming).await
                }
                Err(fault) => exchange.failed(&fault).await,
            }
        });
        match ticket {
            Some(ticket) => ticket.unless_cancelled(answering).await,
            None => answering.await,
        }
    }

    /// The server's own id of the session that a request names. `None`: it names none.
    fn session(&self, caller: &Caller, headers: &HeaderMap) -> Option<Result<HeaderValue, ()>> {
        let mut named = headers.get_all(SESSION).iter();
        let value = named.next()?;
        if named.next().is_some() {
            return Some(Err(()));
        }
        let id = value.to_str().ok().and_then(|bound| self.sessions.open(&self.id, caller, bound));
        Some(id.and_then(|id| HeaderValue::from_str(id).ok()).ok_or(()))
    }

    /// Decides about a message. An inner error is an answer; what is not recorded of it yet, the caller records.
    async fn admit(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        (wanted, tool, modern): (Wanted<'_>, Option<ToolName>, bool),
    ) -> Result<Result<Admitted, Refused>, Unrecorded> {
        let deciding = self.decider.now();
        let pass = |kind| Ok(Ok(Admitted { permits: Permits::default(), kind }));
        match wanted {
            Wanted::Tool { name, arguments, beside } => {
                let asked = (&*name, tool, (arguments, beside));
                self.tool(caller, message, &deciding, (asked, modern)).await
            }
            Wanted::Prompt(name) => {
                let things = [Thing::Prompt(&name)];
                self.things(caller, message, &deciding, (&things, modern)).await
            }
            Wanted::Resources(uris) => {
                let things: Vec<_> = uris.iter().map(|uri| Thing::Resource(uri)).collect();
                let things = (&*things, modern);
                let admitted = self.things(caller, message, &deciding, things).await?;
                let listens = message.method.as_deref() == Some("subscriptions/listen");
                Ok(admitted.map(|admitted| match admitted.kind {
                    Kind::Other if listens => Admitted { kind: Kind::Stream(None), ..admitted },
                    Kind::Thing(decided) if listens => {
                        Admitted { kind: Kind::Stream(Some(decided)), ..admitted }
                    }
                    _ => admitted,
                }))
            }
            Wanted::List(list) => pass(Kind::List(list)),
            Wanted::Protocol if message.id.is_some() => pass(Kind::Other),
            Wanted::Protocol | Wanted::Reply => pass(Kind::Notification),
            Wanted::Unknown | Wanted::Malformed(_) => Ok(Err(unknown_method(message, modern))),
        }
    }

    /// Decides about a tool's call: limits first, then the step-up, then what policy says.
    async fn tool(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        deciding: &Deciding<'_>,
        ((name, tool, (arguments, beside)), modern): (Named<'_>, bool),
    ) -> Result<Result<Admitted, Refused>, Unrecorded> {
        let in_full = self.in_full(name);
        let unknown = || not_there(message, INVALID_PARAMS, &format!("Unknown tool: {in_full}"));
        let Some(tool) = tool else {
            return Ok(self.within(caller, message, (name, None)).await?.and(Err(unknown())));
        };
        let (visible, decision) = deciding.call(caller, &tool, arguments);
        let permits = match self.within(caller, message, (tool.as_str(), Some(&decision))).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let thing = Thing::Tool(name);
        // Before every answer, whatever it is.
        let other = deciding.difference(caller, &tool, (arguments, &decision));
        guard::record_policy(caller, &tool, &decision, other).await?;
        if decision.can_step_up() {
            let said = (&decision, deciding.question(caller, thing));
            return Ok(Err(self.door.step_up(caller, message, tool, said).await?));
        }
        let ended = Ended { tool: Some(tool.clone()), question: deciding.question(caller, thing) };
        if !visible.shows_the_tool() || !self.watch.shows(name) {
            self.end(caller, "tools/call", (&decision, Some(Code::PolicyDenied)), ended).await?;
            return Ok(Err(unknown()));
        }
        if !decision.is_allow()
            && let Err(failure) = self
                .approved(caller, message, (&tool, beside.exactly(arguments)), &decision)
                .await?
        {
            self.end(caller, "tools/call", (&decision, Some(failure.code)), ended).await?;
            return Ok(Err(tool_refused(message, &failure, modern)));
        }
        let kind = Kind::Tool(Box::new((decision, ended)));
        Ok(Ok(Admitted { permits, kind }))
    }

    /// A tool as its caller calls it.
    fn in_full<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.folded { Cow::Owned([&*self.id, ".", name].concat()) } else { Cow::Borrowed(name) }
    }

    /// Whether a person has approved this very call.
    async fn approved(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        (tool, call): (&ToolName, Exactly),
        decision: &Decision,
    ) -> Result<Result<(), Failure>, Unrecorded> {
        let denied = || Failure::new(Code::PolicyDenied, "policy does not allow this call");
        if decision.effect != Effect::Ask {
            let code = decision.code.unwrap_or(Code::PolicyDenied);
            return Ok(Err(Failure { code, ..denied() }));
        }
        // They would be sent on, and nobody was shown them.
        if message.has_other_members() {
            let text = "a call that a person approves has jsonrpc, id, method and params, and nothing else";
            return Ok(Err(Failure::new(Code::InvalidField, text)));
        }
        let wanted = Asked { tool: tool.clone(), call, asserted: None };
        let settled = self.approvals.ask(caller, caller.context(), &wanted, decision).await?;
        Ok(settled.and_then(
            |approved| {
                if approved.fits(decision) { Ok(()) } else { Err(denied()) }
            },
        ))
    }

    /// Decides about prompts or resources: each of them must be allowed.
    async fn things(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        deciding: &Deciding<'_>,
        (things, modern): (&[Thing<'_>], bool),
    ) -> Result<Result<Admitted, Refused>, Unrecorded> {
        let method = guard::method_name(message.method.as_deref());
        let decided: Vec<_> =
            things.iter().map(|thing| (*thing, deciding.about(caller, *thing))).collect();
        let worst = decided.iter().max_by_key(|(_, said)| (!said.is_allow(), !said.can_step_up()));
        let Some((thing, decision)) = worst.cloned() else {
            let permits = Permits::default();
            return Ok(Ok(Admitted { permits, kind: Kind::Other }));
        };
        let name = deciding.name(thing);
        let permits = match self.within(caller, message, (&name, Some(&decision))).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.record_policy(caller, deciding, &decided).await?;
        let question = deciding.question(caller, thing);
        if let (true, Some(server)) = (decision.can_step_up(), self.decider.server_name()) {
            let said = (&decision, question);
            return Ok(Err(self.door.step_up(caller, message, server, said).await?));
        }
        let ended = Ended { tool: None, question };
        if decision.is_allow() {
            let kind = Kind::Thing(Box::new((decision, ended)));
            return Ok(Ok(Admitted { permits, kind }));
        }
        // What a person would have to be asked about is not offered here: there is no call to show them.
        self.end(caller, method, (&decision, Some(Code::PolicyDenied)), ended).await?;
        if let Thing::Prompt(name) = thing {
            let text = format!("Unknown prompt: {name}");
            return Ok(Err(not_there(message, INVALID_PARAMS, &text)));
        }
        // TR-9, LG-7: each era has its own code.
        let code = if modern { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
        Ok(Err(not_there(message, code, "Resource not found")))
    }

    /// Of several things at once only the first of each kind: one request is not to write a line for each.
    async fn record_policy(
        &self,
        caller: &Caller,
        deciding: &Deciding<'_>,
        decided: &[(Thing<'_>, Decision)],
    ) -> Result<(), Unrecorded> {
        let Some(server) = self.decider.server_name() else { return Ok(()) };
        let failed = decided.iter().find(|(_, said)| said.failed_conditions().next().is_some());
        if let Some((_, said)) = failed {
            guard::record_policy(caller, &server, said, None).await?;
        }
        let mut others = decided.iter().filter_map(|(thing, said)| {
            Some((said, deciding.difference_about(caller, *thing, said)?))
        });
        if let Some((said, other)) = others.next() {
            guard::record_difference(caller, &server, said, other).await?;
        }
        Ok(())
    }

    async fn within(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        asked: (&str, Option<&Decision>),
    ) -> Result<Result<Permits, Refused>, Unrecorded> {
        self.door.within_limits(caller, message, asked).await
    }

    /// Records the terminal event of what policy decided about.
    pub(super) async fn end(
        &self,
        caller: &Caller,
        method: &'static str,
        (decision, error_code): (&Decision, Option<Code>),
        ended: Ended,
    ) -> Result<(), Unrecorded> {
        let status = if error_code.is_none() { ResultStatus::Ok } else { ResultStatus::Error };
        self.end_as(caller, method, (decision, status, error_code), ended).await
    }

    pub(super) async fn end_as(
        &self,
        caller: &Caller,
        method: &'static str,
        (decision, status, error_code): (&Decision, ResultStatus, Option<Code>),
        ended: Ended,
    ) -> Result<(), Unrecorded> {
        let event = AuditEvent::ResultEmit {
            method,
            tool_name: ended.tool,
            status,
            error_code,
            duration_ms: millis(self.door.spent(caller)),
            decision: Some(decision.effect),
            reason: Some(decision.reason.clone()),
            policy_version: Some(Arc::clone(&decision.policy_version)),
            evaluated: decision.evaluated.clone(),
            question: Some(ended.question),
        };
        Ok(caller.end(event).await?)
    }

    /// Sends a message, and waits for the head of the answer.
    pub(super) async fn open(
        &self,
        who: &Who,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Incoming, Fault> {
        let url = match &self.reach {
            Reach::Http(url) => url.clone(),
            Reach::Child(child) => {
                let opened = child.open(&who.principal, &body, self.timeout).await;
                return Ok(opened.map_err(Fault::Child)?.into());
            }
        };
        self.credential.add(&mut headers, who.caller(), &self.door.clock).await?;
        if let Some(identity) = &self.identity {
            identity.add(&who.principal, &mut headers)?;
        }
        let call = Call { method, url, headers, body };
        let opened = self.outbound.open(call, self.timeout).await.map_err(Fault::from);
        self.note_outage(match &opened {
            Ok(incoming) if incoming.status.is_server_error() => Some(Code::ProviderUnavailable),
            Ok(_) => None,
            Err(fault) => Some(fault.code()),
        });
        Ok(opened?.into())
    }
}

/// What a terminal event says about what was asked.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) tool: Option<ToolName>,
    pub(super) question: Box<crate::policy::Recorded>,
}

/// What is refused before anything is decided.
fn out_of_form(
    headers: &HeaderMap,
    message: &Message<'_>,
    wanted: &Wanted<'_>,
    in_session: bool,
) -> Option<Response<Body>> {
    let notification =
        message.method.as_deref().is_some_and(|method| method.starts_with("notifications/"));
    let id_fits = match message.id {
        Some(id) => !notification && is_request_id(id),
        None => notification,
    };
    let refuse = |text| Some(error(StatusCode::BAD_REQUEST, message, text));
    match wanted {
        _ if !id_fits => {
            refuse("a request has an id, a text or a whole number; a notification has none")
        }
        Wanted::Reply if !in_session => refuse("no request was sent to you"),
        Wanted::Malformed(what) => Some(not_there(message, INVALID_PARAMS, what)),
        _ if !headers::mirror_the_body(headers, message, wanted) => Some(mirrors_wrong(message)),
        _ => None,
    }
}

/// TR-24 to TR-27.
pub(super) fn mirrors_wrong(message: &Message<'_>) -> Response<Body> {
    guard::error(
        StatusCode::BAD_REQUEST,
        message.id,
        HEADER_MISMATCH,
        "Header mismatch: Mcp-Method, Mcp-Name and Mcp-Param-* must say what the body says",
        None,
    )
}

fn error(status: StatusCode, message: &Message<'_>, text: &str) -> Response<Body> {
    guard::error(status, message.id, guard::INVALID_REQUEST, text, None)
}

/// TR-15: 404 to clients of 2026-07-28.
fn unknown_method(message: &Message<'_>, modern: bool) -> Response<Body> {
    let status = if modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
    guard::error(status, message.id, METHOD_NOT_FOUND, "Method not found", None)
}

/// The same for what does not exist and for what policy hides (RS-28).
fn not_there(message: &Message<'_>, code: i32, text: &str) -> Response<Body> {
    guard::error(StatusCode::OK, message.id, code, text, None)
}

fn tool_refused(message: &Message<'_>, failure: &Failure, modern: bool) -> Response<Body> {
    match message.id {
        Some(id) => super::answer::json(StatusCode::OK, fault::tool_error(id, failure, modern)),
        None => guard::plain(StatusCode::BAD_REQUEST),
    }
}
