//! One exchange with a server: what comes back is looked at, recorded, and only then handed on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use serde_json::value::RawValue;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::{Caller, Failure};
use crate::code::Code;
use crate::guard::{self, Unrecorded, millis};
use crate::limits::Permits;
use crate::outbound::Answer;
use crate::policy::Decision;

use super::caller_tokens::For;
use super::decide::Thing;
use super::era::{Told, Translation, Written};
use super::events::{Events, KEEP_ALIVE, event};
use super::fault::{Fault, error_message, tool_error};
use super::headers::SESSION;
use super::incoming::Incoming;
use super::list::{self, Filtered};
use super::presented::Presented;
use super::reply::{self, Reply};
use super::server::{Ended, Server};
use super::wanted::List;
use super::watch::News;
use super::who::Who;

/// The longest that one call may take, however much is heard of it.
const LONGEST_CALL: Duration = Duration::from_mins(10);

/// What was asked, as far as the answer is treated differently.
#[derive(Debug)]
pub(super) enum Kind {
    Tool(Box<(Decision, Ended)>),
    /// A prompt or a resource.
    Thing(Box<(Decision, Ended)>),
    List(List),
    /// The protocol's own requests.
    Other,
    /// A stream that stays open: recorded when it opens, with what was decided about the resources it tells of.
    Stream(Option<Box<(Decision, Ended)>>),
    /// Has no answer.
    Notification,
}

/// A message on its way, and what is held for it: its caller's terminal event and its places.
#[derive(Debug)]
pub(super) struct Exchange {
    server: Arc<Server>,
    caller: Caller,
    method: &'static str,
    kind: Kind,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) modern: bool,
    pub(super) permits: Permits,
    /// The caller's own token, where the server's credential is obtained with it.
    pub(super) presented: Option<Presented>,
    /// `None`: client and server are of one era.
    pub(super) translation: Option<Box<Translation>>,
}

impl Exchange {
    pub(super) fn new(
        server: Arc<Server>,
        caller: Caller,
        method: &'static str,
        kind: Kind,
    ) -> Self {
        let permits = Permits::default();
        let (id, presented, translation) = (None, None, None);
        let modern = false;
        Self { server, caller, method, kind, id, modern, permits, presented, translation }
    }

    pub(super) fn who(&self) -> Who {
        let presented = self.presented.clone();
        Who { principal: self.caller.principal().clone(), presented }
    }

    /// Sends the message, and gives the answer or a stream of them.
    pub(super) async fn run(
        mut self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        match self.server.open(&self.who(), method, headers, body).await {
            Ok(incoming) => self.receive(incoming).await,
            Err(fault) => self.failed(&fault).await,
        }
    }

    /// Ends an exchange that needs no server.
    pub(super) async fn answered(
        mut self,
        response: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        let failed = response.status().is_client_error();
        let (status, code) = if failed {
            (ResultStatus::Error, Some(Code::InvalidField))
        } else {
            (ResultStatus::Ok, None)
        };
        self.end(status, code).await?;
        Ok(response)
    }

    fn for_whom(&self) -> For<'_> {
        For { principal: self.caller.principal(), presented: self.presented.as_ref() }
    }

    /// Hands on what the server answers.
    pub(super) async fn receive(
        mut self,
        mut incoming: Incoming,
    ) -> Result<Response<Body>, Unrecorded> {
        let form = match self.form(&incoming) {
            Ok(form) => form,
            Err(fault) => {
                if let (Fault::Credential, StatusCode::FORBIDDEN) = (&fault, incoming.status)
                    && let Some(wanted) =
                        self.server.credential.wants_more(self.for_whom(), &incoming.headers)
                {
                    return self.failed(&Fault::NoToken(wanted)).await;
                }
                if matches!(fault, Fault::Credential) {
                    self.server.credential.refused(self.for_whom()).await;
                }
                return self.failed(&fault).await;
            }
        };
        let session = match &self.translation {
            None => self.session(&incoming.headers),
            Some(translation) => translation.session().and_then(|id| self.bind(&id)),
        };
        let mut response = match form {
            Form::Nothing(status) => {
                self.end(ResultStatus::Ok, None).await?;
                guard::plain(status)
            }
            Form::Json(status) => {
                let server = Arc::clone(&self.server);
                let whole = incoming.rest(server.max_response_bytes, server.timeout).await;
                match whole.and_then(|body| self.look(body)) {
                    Ok(Seen { bytes: Some(bytes), last: true, said, news, http, .. }) => {
                        self.notice(news).await?;
                        self.end_seen(&said).await?;
                        json(http.unwrap_or(status), bytes)
                    }
                    Ok(_) => return self.failed(&Fault::NoAnswer).await,
                    Err(fault) => return self.failed(&fault).await,
                }
            }
            Form::Events => {
                if matches!(self.kind, Kind::Stream(_)) {
                    self.end(ResultStatus::Ok, None).await?;
                }
                self.stream(incoming)
            }
        };
        if let Some(session) = session {
            response.headers_mut().insert(SESSION, session);
        }
        Ok(response)
    }

    /// What the head of the answer promises.
    fn form(&self, incoming: &Incoming) -> Result<Form, Fault> {
        let status = incoming.status;
        let content = incoming.headers.get(header::CONTENT_TYPE);
        let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (&self.kind, status.as_u16()) {
            (_, 401 | 403) => Err(Fault::Credential),
            (_, 429) => Err(Fault::Busy(retry_after(incoming, &self.server))),
            (_, 300..=399) => Err(Fault::Redirect),
            (Kind::Notification, 200..=299) => Ok(Form::Nothing(StatusCode::ACCEPTED)),
            (Kind::Notification | Kind::Stream(_), 404 | 405) if self.id.is_none() => {
                Ok(Form::Nothing(status))
            }
            (_, 200 | 400 | 404) if media == "application/json" && self.id.is_some() => {
                Ok(Form::Json(status))
            }
            (_, 200) if media == "text/event-stream" => Ok(Form::Events),
            // A session that the server has forgotten (2025-11-25 transports): the client starts a new one.
            (_, 404) if self.translation.is_none() => Ok(Form::Nothing(status)),
            (_, 200) => Err(Fault::NotJson),
            _ => Err(Fault::Status(status)),
        }
    }

    /// The id of a session that the server opened, bound to the caller.
    fn session(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.bind(headers.get(SESSION)?.to_str().ok()?)
    }

    fn bind(&self, id: &str) -> Option<HeaderValue> {
        let bound = self.server.sessions.bind(&self.server.id, &self.caller, id);
        HeaderValue::from_str(&bound).ok()
    }

    /// The id of the request that the server answers. `None`: it answers nobody.
    fn asked(&self) -> Option<&RawValue> {
        let id = self.id.as_deref();
        match &self.translation {
            None => id,
            Some(translation) => translation.asked(id),
        }
    }

    /// Looks at one message of the server.
    fn look(&mut self, body: Bytes) -> Result<Seen, Fault> {
        let reply = Reply::of(&body, self.asked())?;
        let (result, said, news) = match reply {
            Reply::Other => return Ok(self.told(body)),
            Reply::Error(error) => {
                let Some(translation) = &mut self.translation else {
                    return Ok(Seen::last(body, Said::Failed));
                };
                let written = translation.error(error);
                return Ok(self.written(written, Said::Failed, Vec::new()));
            }
            Reply::Result(result) => self.look_at(result)?,
        };
        let written = match (&mut self.translation, result) {
            // Nothing was changed: it goes on as it came.
            (None, Cow::Borrowed(_)) => None,
            (None, Cow::Owned(result)) => Some(Written::Result(result)),
            (Some(translation), result) => Some(translation.result(&result)),
        };
        Ok(match written {
            None => Seen { news, ..Seen::last(body, said) },
            Some(written) => self.written(written, said, news),
        })
    }

    /// Looks at a result: a list is filtered.
    fn look_at<'a>(&self, result: &'a RawValue) -> Result<Looked<'a>, Fault> {
        let mut news = Vec::new();
        let (result, said) = match &self.kind {
            Kind::List(list) => {
                let filtered = self.filter(*list, result, &mut news)?;
                let said = Said::Listed(*list, filtered.listed, filtered.hidden);
                (Cow::Owned(filtered.result), said)
            }
            Kind::Tool(_) if reply::is_error(result) => (Cow::Borrowed(result), Said::Failed),
            _ => (Cow::Borrowed(result), Said::Done),
        };
        Ok((result, said, news))
    }

    /// What a server tells beside its answer.
    fn told(&self, body: Bytes) -> Seen {
        let told = match &self.translation {
            None => Told::On(body),
            Some(translation) => translation.told(body),
        };
        let (bytes, answer) = match told {
            Told::On(body) => (Some(body), None),
            Told::Kept => (None, None),
            Told::Answer(answer) => (None, Some(answer)),
        };
        Seen { bytes, last: false, said: Said::Nothing, news: Vec::new(), http: None, answer }
    }

    /// The answer as the client gets it.
    fn written(&self, written: Written, said: Said, news: Vec<News>) -> Seen {
        let Some(id) = &self.id else { return Seen::last(Bytes::new(), said) };
        let message = |member: &str, value: &RawValue| {
            let (id, value) = (id.get(), value.get());
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{value}}}"#).into()
        };
        let (bytes, said, http) = match written {
            Written::Result(result) => (message("result", &result), said, None),
            Written::Error(error, status) => (message("error", &error), said, Some(status)),
            Written::Refused(failure) => {
                let is_tool = matches!(self.kind, Kind::Tool(_));
                let message = refusal(id, (&failure, is_tool), self.modern);
                (message.into(), Said::Refused(failure.code), Some(StatusCode::OK))
            }
        };
        Seen { news, http, ..Seen::last(bytes, said) }
    }

    fn filter(
        &self,
        list: List,
        result: &RawValue,
        news: &mut Vec<News>,
    ) -> Result<Filtered, Fault> {
        let (decider, watch) = (&self.server.decider, &self.server.watch);
        let deciding = decider.now();
        let found = RefCell::new(news);
        list::filter(list, result, |thing, definition| {
            let named = decider.is_nameable(thing);
            if !named || !deciding.about(&self.caller, thing).shows_the_tool() {
                return false;
            }
            let Thing::Tool(tool) = thing else { return true };
            found.borrow_mut().extend(watch.look(tool, definition));
            watch.shows(tool)
        })
    }

    /// Records what was noticed about tools.
    async fn notice(&self, news: Vec<News>) -> Result<(), Unrecorded> {
        for News { tool, flaw, digest, hidden } in news {
            let Some(tool_name) = self.server.decider.tool_name(&tool) else { continue };
            tracing::warn!(%tool_name, ?flaw, digest, hidden, "upstream.tool_flawed");
            let event = AuditEvent::ToolFlawed { tool_name, flaw, digest, hidden };
            self.caller.record(self.caller.context(), event).await?;
        }
        Ok(())
    }

    /// Records how the exchange ended. Of several calls the first counts.
    async fn end_seen(&mut self, said: &Said) -> Result<(), Unrecorded> {
        match said {
            Said::Nothing => Ok(()),
            Said::Failed => self.end(ResultStatus::Error, None).await,
            Said::Refused(code) => self.end(ResultStatus::Error, Some(*code)).await,
            Said::Listed(List::Tools, listed, hidden) => {
                let policy_version = Arc::clone(self.server.decider.now().version());
                let (listed, hidden) = (*listed, *hidden);
                let event = AuditEvent::ToolsList { listed, hidden, policy_version };
                Ok(self.caller.end(event).await?)
            }
            Said::Done | Said::Listed(..) => self.end(ResultStatus::Ok, None).await,
        }
    }

    async fn end(&mut self, status: ResultStatus, code: Option<Code>) -> Result<(), Unrecorded> {
        if !self.caller.is_open() {
            return Ok(());
        }
        match std::mem::replace(&mut self.kind, Kind::Other) {
            Kind::Tool(decided) | Kind::Thing(decided) => {
                self.end_decided(*decided, (status, code)).await
            }
            Kind::Stream(Some(decided)) => {
                self.kind = Kind::Stream(None);
                self.end_decided(*decided, (status, code)).await
            }
            kind => {
                self.kind = kind;
                let event = AuditEvent::ResultEmit {
                    method: self.method,
                    tool_name: self.server.decider.server_name(),
                    status,
                    error_code: code,
                    duration_ms: millis(self.server.door.spent(&self.caller)),
                    decision: None,
                    reason: None,
                    policy_version: None,
                    evaluated: Vec::new(),
                    question: None,
                };
                Ok(self.caller.end(event).await?)
            }
        }
    }

    async fn end_decided(
        &self,
        (decision, ended): (Decision, Ended),
        (status, code): (ResultStatus, Option<Code>),
    ) -> Result<(), Unrecorded> {
        let how = (&decision, status, code);
        self.server.end_as(&self.caller, self.method, how, ended).await
    }

    /// The answer to a message that the server did not answer properly.
    pub(super) async fn failed(&mut self, fault: &Fault) -> Result<Response<Body>, Unrecorded> {
        let is_tool = matches!(self.kind, Kind::Tool(_));
        self.note(fault);
        self.end(ResultStatus::Error, Some(fault.code())).await?;
        if let Some(challenge) = fault.challenge(&self.server.door.metadata_url) {
            let mut response = fault.answer(self.id.as_deref());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return Ok(response);
        }
        Ok(match (&self.id, is_tool) {
            (Some(id), true) => json(StatusCode::OK, tool_error(id, &fault.failure(), self.modern)),
            (id, _) => fault.answer(id.as_deref()),
        })
    }

    /// For the operator.
    fn note(&self, fault: &Fault) {
        self.server.era.doubt(self.server.door.clock.monotonic());
        let (server, request_id) = (&self.server.id, self.caller.request_id());
        let fault: &(dyn std::error::Error + 'static) = fault;
        tracing::warn!(%server, method = self.method, error = fault, %request_id, "upstream.failed");
    }

    /// Hands on event after event.
    fn stream(self, mut incoming: Incoming) -> Response<Body> {
        // They are slices of the connection's first buffer, which a stream would keep for as long as it lasts.
        incoming.headers = HeaderMap::new();
        let events = Events::new(self.server.max_response_bytes);
        let state = Streaming {
            started: self.server.door.clock.monotonic(),
            first: self.translation.as_ref().and_then(|translation| translation.first()),
            exchange: self,
            incoming,
            events,
            over: false,
        };
        let stream = stream::unfold(state, |mut state| async move {
            let next = state.next().await?;
            Some((Ok::<_, std::convert::Infallible>(next), state))
        });
        let mut response = Response::new(Body::from_stream(stream));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

/// What the head of an answer promises.
enum Form {
    /// No message: a status alone.
    Nothing(StatusCode),
    Json(StatusCode),
    Events,
}

/// A result as it is handed on, what it says about the request, and what was noticed.
type Looked<'a> = (Cow<'a, RawValue>, Said, Vec<News>);

/// One message of the server, as it is handed on.
struct Seen {
    /// `None`: it is not.
    bytes: Option<Bytes>,
    /// Whether it answers the request.
    last: bool,
    said: Said,
    news: Vec<News>,
    /// The status outside a stream, where it is not the server's.
    http: Option<StatusCode>,
    /// What the server is answered.
    answer: Option<Bytes>,
}

impl Seen {
    fn last(bytes: Bytes, said: Said) -> Self {
        Self { bytes: Some(bytes), last: true, said, news: Vec::new(), http: None, answer: None }
    }
}

/// What a message says about the request.
enum Said {
    Nothing,
    Done,
    Failed,
    Refused(Code),
    Listed(List, usize, usize),
}

/// A stream of the server that is being handed on.
struct Streaming {
    exchange: Exchange,
    incoming: Incoming,
    events: Events,
    /// Monotonic.
    started: Duration,
    /// What comes before everything that the server says.
    first: Option<Bytes>,
    over: bool,
}

impl Streaming {
    /// What the client gets next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some(event(&first));
        }
        loop {
            let Some(limit) = self.limit() else { return self.expired().await };
            match self.events.next() {
                Ok(Some(data)) if data.is_empty() => return Some(KEEP_ALIVE),
                Ok(Some(data)) => match self.message(data).await {
                    Some(bytes) => return Some(bytes),
                    None => continue,
                },
                Ok(None) => {}
                Err(_too_large) => return self.fail(Fault::TooLarge).await,
            }
            let closing = self.exchange.server.closing.clone();
            let stays_open = self.stays_open();
            let chunk = tokio::select! {
                chunk = self.incoming.chunk(limit) => chunk,
                // A call is waited for; this stream has nobody's answer.
                () = closing.cancelled(), if stays_open => return None,
            };
            match chunk {
                Ok(Some(bytes)) => self.events.add(&bytes),
                // The client opens it again if it wants to.
                Ok(None) | Err(_) if self.stays_open() => return None,
                Ok(None) => return self.fail(Fault::NoAnswer).await,
                Err(fault) => return self.fail(fault).await,
            }
        }
    }

    async fn message(&mut self, data: Bytes) -> Option<Bytes> {
        let seen = match self.exchange.look(data) {
            Ok(seen) => seen,
            // On a stream of its own the server answers nobody: what looks like an answer was not looked at before.
            Err(Fault::OtherId) if self.exchange.asked().is_none() => return None,
            Err(fault) => return self.fail(fault).await,
        };
        self.over = seen.last;
        if let (Some(answer), Some(translation)) = (seen.answer, &self.exchange.translation) {
            translation.answer(answer).await;
        }
        let noticed = self.exchange.notice(seen.news).await;
        if noticed.is_err() || self.exchange.end_seen(&seen.said).await.is_err() {
            self.over = true;
            return Some(self.unrecorded());
        }
        seen.bytes.map(|bytes| event(&bytes))
    }

    fn stays_open(&self) -> bool {
        matches!(self.exchange.kind, Kind::Stream(_))
    }

    /// How long to wait for the next bytes. `None`: no longer. The stream of a session lasts as long as its token.
    fn limit(&self) -> Option<Duration> {
        let server = &self.exchange.server;
        let limit = if self.stays_open() {
            let expires_at = self.exchange.caller.principal().expires_at();
            expires_at.since(server.door.clock.now())
        } else {
            let spent = server.door.clock.monotonic().saturating_sub(self.started);
            LONGEST_CALL.saturating_sub(spent).min(server.timeout)
        };
        (!limit.is_zero()).then_some(limit)
    }

    async fn expired(&mut self) -> Option<Bytes> {
        if self.stays_open() {
            return None;
        }
        self.fail(Fault::NoReply).await
    }

    /// Ends the stream with an answer that says what is wrong.
    async fn fail(&mut self, fault: Fault) -> Option<Bytes> {
        self.over = true;
        let exchange = &mut self.exchange;
        let is_tool = matches!(exchange.kind, Kind::Tool(_));
        exchange.note(&fault);
        if exchange.end(ResultStatus::Error, Some(fault.code())).await.is_err() {
            return Some(self.unrecorded());
        }
        let id = exchange.id.as_deref()?;
        Some(event(&refusal(id, (&fault.failure(), is_tool), exchange.modern)))
    }

    fn unrecorded(&self) -> Bytes {
        let failure = Failure::new(
            Code::BrokerUnavailable,
            "the broker cannot record this request; retry later",
        );
        let id = self.exchange.id.as_deref();
        id.map(|id| event(&error_message(id, &failure))).unwrap_or_default()
    }
}

/// A call that failed, as a message.
fn refusal(id: &RawValue, (failure, is_tool): (&Failure, bool), modern: bool) -> Vec<u8> {
    if is_tool { tool_error(id, failure, modern) } else { error_message(id, failure) }
}

fn retry_after(incoming: &Incoming, server: &Server) -> Option<Duration> {
    let (status, headers) = (incoming.status, incoming.headers.clone());
    Answer { status, headers, body: Bytes::new() }.retry_after(server.door.clock.now())
}

/// One message as JSON.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
