//! One server behind us: what a request to `/servers/{id}/mcp` goes through.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::{Approvals, Caller, Outages};
use crate::code::Code;
use crate::guard::{self, Decider, Door, List, Message, Presented, Thing, Unrecorded, millis};
use crate::id::ToolName;
use crate::limits::Permits;
use crate::outbound::Outbound;
use crate::policy::Decision;
use crate::resource_server::{Principal, Revocations};

use super::answer::{Exchange, Kind};
use super::ask_person;
use super::credential::Credential;
use super::era::{self, Asked as Sending, Eras, Way};
use super::fold::{self, NoList};
use super::headers::{self, SESSION};
use super::identity::Identity;
use super::reach::Reach;
use super::refused::{error, out_of_form};
use super::session::Sessions;
use super::waiting::Waiting;
use super::wanted::Wanted;
use super::watch::Watch;

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
    /// Calls that wait for what their callers were asked, of all servers.
    pub waiting: Waiting,
    pub watch: Arc<Watch>,
    /// Whether its tools stand in one list with ours, under longer names.
    pub folded: bool,
    /// Of which era the server is.
    pub era: Arc<Eras>,
    /// Ends the streams that stay open when the broker drains.
    pub closing: CancellationToken,
    /// Asked again and again about the caller of what stays open.
    pub revocations: Arc<dyn Revocations>,
    pub outages: Arc<Outages>,
    /// For the head of an answer, for a whole one in JSON, and the longest silence in the stream of a call.
    pub timeout: Duration,
    /// Of one answer, or one event of a stream.
    pub max_response_bytes: usize,
}

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
        if let Err(refusal) = self.door.within_request_limits(&caller, ("none", None)).await? {
            return Ok(refusal);
        }
        let known = matches!(method, Method::GET | Method::DELETE);
        let Some(Ok(session)) = self.session(&caller, given).filter(|_| known) else {
            let refusal = guard::plain(StatusCode::METHOD_NOT_ALLOWED);
            return self.door.refuse(&caller, "none", refusal).await;
        };
        let mut sent = headers::to_server(given);
        // Ours stand for a server that keeps none.
        if let Some(ours) = session.to_str().ok().filter(|id| era::is_ours(id)) {
            return self.in_our_session((caller, presented), (method, ours)).await;
        }
        sent.insert(SESSION, session);
        let streams = method == Method::GET;
        let place = if streams {
            self.door.within_stream_limits(&caller, ("none", None)).await?
        } else {
            Ok(Permits::default())
        };
        let place = match place {
            Ok(place) => place,
            Err(refusal) => return Ok(refusal),
        };
        let kind = if streams { Kind::Stream(None) } else { Kind::Notification };
        let mut exchange = Exchange::new(Arc::clone(&self), caller, "none", kind);
        exchange.place = place;
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
            Err(unreadable) => {
                return self.door.unreadable(&caller, unreadable.answer(&body)).await;
            }
        };
        caller.asks(message.id.map(RawValue::get));
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
        (given, presented): (&HeaderMap, Option<Presented>),
        body: Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(unreadable) => {
                let refused = ("unreadable", None);
                return self.door.malformed(&caller, refused, unreadable.answer(&body)).await;
            }
        };
        let wanted = Wanted::of(&message, headers::is_modern(given));
        let tool = match &wanted {
            Wanted::Tool { name, .. } => self.decider.tool_name(name),
            _ => None,
        };
        self.read(caller, (given, presented), (&message, wanted, tool), &body).await
    }

    /// What answers a question of ours is taken out before anybody looks at the rest.
    async fn read(
        self: Arc<Self>,
        caller: Caller,
        (given, presented): (&HeaderMap, Option<Presented>),
        (message, wanted, tool): (&Message<'_>, Wanted<'_>, Option<ToolName>),
        body: &Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        let modern = headers::is_modern(given);
        let answers =
            matches!(&wanted, Wanted::Tool { beside, .. } if modern && beside.has_responses());
        let taken_out = answers.then(|| ask_person::taken_out(message, body)).flatten();
        let Some((sent_back, body)) = taken_out else {
            return self.go_on(caller, (given, presented), (message, wanted, tool), body).await;
        };
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(unreadable) => {
                return self.door.unreadable(&caller, unreadable.answer(&body)).await;
            }
        };
        let mut wanted = Wanted::of(&message, modern);
        if let Wanted::Tool { beside, .. } = &mut wanted {
            beside.sent_back = Some(sent_back);
        }
        self.go_on(caller, (given, presented), (&message, wanted, tool), &body).await
    }

    async fn go_on(
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
                return self.door.malformed(&caller, (method, message.id), refusal).await;
            }
        }
        if let Some(refusal) = out_of_form(given, message, &wanted, sent.contains_key(SESSION)) {
            return self.door.malformed(&caller, (method, message.id), refusal).await;
        }
        let modern = headers::is_modern(given);
        if let Wanted::Tool { name, .. } = &wanted {
            self.see(name, (&caller, presented.as_ref())).await;
        }
        let admitted = match self.admit(&caller, message, (wanted, tool, modern)).await? {
            Ok(admitted) => admitted,
            Err(refusal) => return self.door.refuse(&caller, method, refusal).await,
        };
        let id = message.id.map(ToOwned::to_owned);
        let mut exchange = Exchange::new(Arc::clone(&self), caller, method, admitted.kind);
        exchange.id = id;
        exchange.presented = presented;
        exchange.modern = modern;
        exchange.session = sent.contains_key(SESSION);
        exchange.permits = admitted.permits;
        exchange.place = admitted.place;
        exchange.resources = admitted.resources;
        let ticket = self.era.begin(given, sent.get(SESSION), message.id);
        let asked = Sending { message, modern, given, sent: &sent };
        let answering = Box::pin(self.by_its_way(exchange, &asked, body));
        match ticket {
            Some(ticket) => ticket.unless_cancelled(answering).await,
            None => answering.await,
        }
    }

    /// Sends a message, written anew where client and server are of different eras.
    async fn by_its_way(
        self: &Arc<Self>,
        mut exchange: Exchange,
        asked: &Sending<'_>,
        body: &Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        match era::way(self, &exchange.who(), asked).await {
            Ok(Way::Pass) => exchange.run(Method::POST, asked.sent.clone(), body.clone()).await,
            Ok(Way::Here(response)) => exchange.answered(response).await,
            Ok(Way::Sent(incoming, translation)) => {
                exchange.translation = Some(translation);
                exchange.receive(*incoming).await
            }
            Err(fault) => exchange.failed(&fault).await,
        }
    }

    /// Sends a question of the broker's own, on somebody's behalf. Nothing is decided about it and nothing is left out of the
    /// answer, of which no caller may get anything as it is.
    pub(super) async fn asked_by_us(
        self: Arc<Self>,
        (caller, presented): (Caller, Option<Presented>),
        (given, body): (&HeaderMap, Bytes),
        kind: Kind,
    ) -> Result<Response<Body>, Unrecorded> {
        let Ok(message) = Message::parse(&body) else {
            return Ok(guard::plain(StatusCode::BAD_REQUEST));
        };
        // Whoever asks again and again on somebody's behalf does not go on after them.
        let principal = caller.principal();
        let lasts = principal.expires_at().since(self.door.clock.now());
        if lasts.is_zero() || self.revocations.is_revoked(principal) {
            return Ok(guard::plain(StatusCode::UNAUTHORIZED));
        }
        let method = guard::method_name(message.method.as_deref());
        let mut exchange = Exchange::new(Arc::clone(&self), caller, method, kind);
        exchange.id = message.id.map(ToOwned::to_owned);
        exchange.presented = presented;
        exchange.modern = true;
        let sent = headers::to_server(given);
        let asked = Sending { message: &message, modern: true, given, sent: &sent };
        Box::pin(self.by_its_way(exchange, &asked, &body)).await
    }

    /// Whether it is shown the same, whoever calls: it cannot tell callers apart.
    pub(super) fn knows_no_callers(&self) -> bool {
        self.identity.is_none() && self.credential.is_the_brokers_own()
    }

    /// Looks at the server's list before a pinned tool is called that was in none yet: after a restart, too, it is the
    /// approved one or none.
    async fn see(self: &Arc<Self>, tool: &str, caller: (&Caller, Option<&Presented>)) {
        // Who may not use it would keep others from having it looked at.
        let may_use = || self.decider.now().about(caller.0, Thing::Tool(tool)).shows_the_tool();
        if !self.watch.wants_to_see(tool) || !may_use() {
            return;
        }
        let (looked, by) = (&self.watch.looked, self.tells_apart(caller.0.principal()));
        let turn = looked.turn(by);
        let Ok(_turn) = tokio::time::timeout(fold::LIMIT, turn.lock()).await else { return };
        let lately = looked.lately(tool, by, self.door.clock.monotonic());
        if lately || !self.watch.wants_to_see(tool) {
            return;
        }
        let looking = Box::pin(fold::list(self, caller, List::Tools));
        let seen = tokio::time::timeout(fold::LIMIT, looking).await;
        let now = self.door.clock.monotonic();
        match &seen {
            Ok(Ok(_)) => looked.note(tool, by, now),
            // Who cannot ask keeps nobody else from asking.
            Ok(Err(NoList::OfTheCaller)) => {}
            _ => looked.note_in_vain(by, now),
        }
        if !matches!(seen, Ok(Ok(_))) {
            tracing::warn!(server = %self.id, tool, "upstream.pinned_tool_not_seen");
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
            obligations: decision.obligations.clone(),
            question: Some(ended.question),
        };
        Ok(caller.end(event).await?)
    }
}

/// What a terminal event says about what was asked.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) tool: Option<ToolName>,
    pub(super) question: Box<crate::policy::Recorded>,
}
