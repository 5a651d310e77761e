//! A client of the new era, or one without a session, before an old server: the broker is the server's client, and keeps the session.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::broker::Failure;
use crate::code::Code;
use crate::guard::{self, Message};
use crate::upstream::incoming::Incoming;

use super::aside::Joined;
use super::ask::send;
use super::detect::supported;
use super::envelope;
use super::held::{Opened, notify};
use super::input::{Askable, Question, visits};
use super::listen;
use super::message::{
    CAPABILITIES, CLIENT, LOG_LEVEL, META, Members, SERVER, VERSION, answer, raw, request,
};
use super::{Asked, Told, Translation, Way, Written, retry};
use crate::upstream::answer::json as json_response;
use crate::upstream::fault::Fault;
use crate::upstream::lost::is_lost;
use crate::upstream::reach::Reach;
use crate::upstream::reply;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
/// From the least to the most severe (RFC 5424 §6.2.1).
const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// A request that the server was asked in a session. Dropped without an answer, it is cancelled there.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four things that have nothing to do with each other"
)]
pub(in crate::upstream) struct ToOld {
    server: Arc<Server>,
    who: Who,
    opened: Arc<Opened>,
    /// Whether the session was there before.
    reused: bool,
    /// The id of the request in it.
    asked: Box<RawValue>,
    /// Whether the client is of the new era.
    modern: bool,
    /// Whether its result is one that can be cached, which it must not be.
    cacheable: bool,
    /// For what its client can be asked while it lasts.
    askable: Askable,
    /// The session's own stream, where the server may ask, too.
    aside: Option<Joined>,
    /// What is asked of the server.
    call: [u8; 32],
    progress: Progress,
    /// From which severity on log messages are wanted.
    level: Option<usize>,
    answered: bool,
}

/// Under which token its client is told of progress.
#[derive(Debug)]
enum Progress {
    /// The one that the server has.
    Same,
    /// Another, of the request that goes on with the call.
    As(Box<RawValue>),
    Untold,
}

pub(super) async fn way(server: &Arc<Server>, who: &Who, asked: &Asked<'_>) -> Result<Way, Fault> {
    let message = asked.message;
    let (Some(method), Some(id)) = (message.method.as_deref(), message.id) else {
        // Notifications of the new era are for streams that are not of HTTP.
        return Ok(Way::Here(guard::plain(StatusCode::ACCEPTED)));
    };
    let params = message.params::<&RawValue>().map(Members::of).unwrap_or_default();
    if asked.modern
        && let Some(refusal) = envelope::wrong(asked, &params)
    {
        return Ok(Way::Here(refusal));
    }
    match method {
        "server/discover" => {
            let askable = askable(server, &params);
            let (opened, _) = server.era.held.of(server, who, askable).await?;
            let result = discovered(&opened);
            Ok(Way::Here(json_response(StatusCode::OK, answer(id, "result", &result))))
        }
        "subscriptions/listen" => listen::way(server, who, (id, &params)).await,
        "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "tools/call"
        | "prompts/get"
        | "resources/read"
        | "completion/complete" => {
            if asked.modern
                && may_ask(method)
                && let Some(way) = retry::way(server, who, message, (method, &params)).await?
            {
                return Ok(way);
            }
            let mut sent = ToOld::begin(server, who, (method, &params), asked.modern).await?;
            let body = sent.written(method, params);
            let incoming = sent.send(asked.sent, body).await?;
            Ok(Way::Sent(Box::new(incoming), Box::new(Translation::Old(sent))))
        }
        _ => Ok(Way::Here(not_found(message))),
    }
}

/// One process for all callers asks none of them.
fn askable(server: &Server, params: &Members) -> Askable {
    match server.reach {
        Reach::Http(_) => Askable::of(params),
        Reach::Child(_) => Askable::default(),
    }
}

/// What may answer with a question (TR-20).
fn may_ask(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

fn level(params: &Members) -> Option<usize> {
    let wanted = params.members(META).get::<String>(LOG_LEVEL)?;
    LEVELS.iter().position(|level| *level == wanted)
}

/// TR-15.
fn not_found(message: &Message<'_>) -> Response<Body> {
    guard::error(StatusCode::NOT_FOUND, message.id, METHOD_NOT_FOUND, "Method not found", None)
}

/// What a server said in the handshake, as a `DiscoverResult` (TR-16).
fn discovered(opened: &Opened) -> Box<RawValue> {
    let said = &opened.said;
    let (offered, mut capabilities) = (said.members("capabilities"), Members::default());
    for name in ["tools", "prompts", "resources", "completions", "logging"] {
        if let Some(capability) = offered.raw(name) {
            capabilities.set(name, capability);
        }
    }
    let mut result = Members::default();
    result.set("supportedVersions", supported());
    result.set("capabilities", capabilities);
    if let Some(instructions) = said.raw("instructions") {
        result.set("instructions", instructions);
    }
    finish(&mut result, opened, true);
    result.text()
}

/// What each result of the new era says (TR-17, TR-18, TR-19).
pub(super) fn finish(result: &mut Members, opened: &Opened, cacheable: bool) {
    result.set("resultType", "complete");
    if cacheable {
        result.set("ttlMs", 0);
        result.set("cacheScope", "private");
    }
    if let Some(server) = opened.said.raw("serverInfo") {
        let mut meta = result.members(META);
        meta.set(SERVER, server);
        result.set(META, meta);
    }
}

/// What a server tells or asks.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// The answer to a question of the server: nobody can be asked.
pub(super) fn answer_to(body: &[u8]) -> Option<Bytes> {
    let said: Said<'_> = serde_json::from_slice(body).ok()?;
    let id = said.id?;
    if said.method == "ping" {
        return Some(answer(id, "result", &raw(json!({}))));
    }
    let error = json!({
        "code": METHOD_NOT_FOUND,
        "message": "Method not found: the client cannot be asked by a request of this protocol revision",
    });
    Some(answer(id, "error", &raw(error)))
}

impl ToOld {
    /// With the session of the caller.
    async fn begin(
        server: &Arc<Server>,
        who: &Who,
        (method, params): (&str, &Members),
        modern: bool,
    ) -> Result<Self, Fault> {
        let held = &server.era.held;
        let askable = if modern { askable(server, params) } else { Askable::default() };
        let (opened, reused) = held.of(server, who, askable).await?;
        Ok(Self {
            askable: if may_ask(method) { askable } else { Askable::default() },
            aside: None,
            call: retry::call(method, params),
            progress: Progress::Same,
            server: Arc::clone(server),
            who: who.clone(),
            opened,
            reused,
            modern,
            asked: held.next_id(),
            cacheable: method.ends_with("/list") || method == "resources/read",
            level: level(params),
            answered: false,
        })
    }

    /// The request without what is the new era's.
    fn written(&self, method: &str, mut params: Members) -> Bytes {
        let mut meta = params.members(META);
        for name in [VERSION, CAPABILITIES, CLIENT, LOG_LEVEL] {
            meta.take(name);
        }
        for name in [META, "inputResponses", "requestState"] {
            params.take(name);
        }
        if !meta.is_empty() {
            params.set(META, meta);
        }
        request(Some(&*self.asked), method, &params)
    }

    /// Sends it in the session; in a new one where the server has forgotten it.
    async fn send(&mut self, traces: &HeaderMap, body: Bytes) -> Result<Incoming, Fault> {
        self.join().await;
        let mut incoming = self.open(traces, body.clone()).await?;
        let has_session = self.reused && self.opened.id.is_some();
        if !has_session || !matches!(incoming.status.as_u16(), 400 | 404) {
            return Ok(incoming);
        }
        let said = incoming.rest(self.server.max_response_bytes, self.server.timeout).await?;
        if !has_lost_it(incoming.status, &said, &self.asked) {
            return Ok(incoming.with(said));
        }
        let held = &self.server.era.held;
        held.forget(&self.who, &self.opened).await;
        self.opened = held.of(&self.server, &self.who, self.opened.askable).await?.0;
        self.join().await;
        self.open(traces, body).await
    }

    async fn join(&mut self) {
        if !self.askable.is_none() {
            self.aside = Joined::to(&self.server, &self.who, &self.opened).await;
        }
    }

    pub(super) async fn asked_aside(&mut self) -> Bytes {
        match &mut self.aside {
            Some(aside) => aside.asked().await,
            None => std::future::pending().await,
        }
    }

    async fn open(&mut self, traces: &HeaderMap, body: Bytes) -> Result<Incoming, Fault> {
        let mut headers = self.opened.headers();
        super::traces(traces, &mut headers);
        let opened = self.server.open(&self.who, Method::POST, headers, body).await;
        // One that never arrived needs no cancelling.
        self.answered = opened.as_ref().is_err_and(|fault| !matches!(fault, Fault::Slow(_)));
        opened
    }

    pub(super) fn asked(&self) -> &RawValue {
        &self.asked
    }

    pub(super) fn result(&mut self, result: &RawValue) -> Written {
        self.answered = true;
        if !self.modern {
            return Written::Result(result.to_owned());
        }
        let mut result = Members::of(result);
        finish(&mut result, &self.opened, self.cacheable);
        Written::Result(result.text())
    }

    pub(super) fn error(&mut self, error: &RawValue) -> Written {
        self.answered = true;
        if !self.modern {
            return Written::Error(error.to_owned(), StatusCode::OK);
        }
        let mut error = Members::of(error);
        match error.get::<i64>("code") {
            Some(-32601) => return Written::Error(error.text(), StatusCode::NOT_FOUND),
            // TR-9: codes that the new era does not have.
            Some(-32002) => error.set("code", INVALID_PARAMS),
            Some(-32042) => {
                return match visits(&error, self.askable) {
                    Some(pages) => Written::Asks(self.asks(&pages, None)),
                    None => Written::Refused(needs_input()),
                };
            }
            Some(-32099..=-32020) => error.set("code", guard::INTERNAL_ERROR),
            _ => {}
        }
        Written::Error(error.text(), StatusCode::OK)
    }

    /// Progress, and log messages where the client wants them (TR-4, TR-22).
    pub(super) fn told(&self, body: Bytes) -> Told {
        if let Some(question) = Question::of(&body, self.askable) {
            return Told::Asks(question);
        }
        if let Some(answer) = answer_to(&body) {
            return Told::Answer(answer);
        }
        let Ok(said) = serde_json::from_slice::<Said<'_>>(&body) else { return Told::Kept };
        let wanted = match &*said.method {
            "notifications/progress" => {
                return match self.progress(said.params) {
                    None => Told::On(body),
                    Some(told) => told,
                };
            }
            "notifications/message" => said.params.is_some_and(|params| self.wants(params)),
            _ => false,
        };
        if wanted { Told::On(body) } else { Told::Kept }
    }

    fn wants(&self, params: &RawValue) -> bool {
        let level = Members::of(params).get::<String>("level");
        let level = level.and_then(|said| LEVELS.iter().position(|level| *level == said));
        self.level.is_some_and(|least| level.is_some_and(|level| level >= least))
    }

    /// As the request that the client has open now is told. `None`: as it came.
    fn progress(&self, params: Option<&RawValue>) -> Option<Told> {
        match &self.progress {
            Progress::Same => None,
            Progress::Untold => Some(Told::Kept),
            Progress::As(token) => {
                let mut params = params.map(Members::of).unwrap_or_default();
                params.set("progressToken", token);
                Some(Told::On(request(None, "notifications/progress", &params)))
            }
        }
    }

    /// What is asked of the server.
    pub(super) const fn call(&self) -> [u8; 32] {
        self.call
    }

    /// An `InputRequiredResult` (TR-20).
    pub(super) fn asks(&self, requests: &Members, state: Option<&str>) -> Box<RawValue> {
        let mut result = Members::default();
        finish(&mut result, &self.opened, false);
        result.set("resultType", "input_required");
        result.set("inputRequests", requests);
        if let Some(state) = state {
            result.set("requestState", state);
        }
        result.text()
    }

    /// It waits for another request of its client.
    pub(super) fn set_aside(&self) {
        if let Some(aside) = &self.aside {
            aside.wait(true);
        }
    }

    /// Another request of its client goes on with it.
    pub(super) fn go_on(&mut self, who: &Who, params: &Members) {
        if let Some(aside) = &self.aside {
            aside.wait(false);
        }
        self.who = who.clone();
        self.level = level(params);
        let token = params.members(META).take("progressToken");
        self.progress = token.map_or(Progress::Untold, Progress::As);
    }

    /// Hands the server what its client brought.
    pub(super) async fn hand_over(
        &self,
        question: &RawValue,
        said: &RawValue,
    ) -> Result<(), Fault> {
        let body = answer(question, "result", said);
        let call = (Method::POST, self.opened.headers(), body);
        let taken = send(&self.server, &self.who, call).await?;
        if taken.status.is_success() { Ok(()) } else { Err(Fault::Status(taken.status)) }
    }

    pub(super) async fn answer(&self, answer: Bytes) {
        notify(&self.server, &self.who, &self.opened, answer).await;
    }
}

/// Whether the session has to be opened anew. An error that answers nobody says so, too: nothing was run for it.
fn has_lost_it(status: StatusCode, body: &[u8], asked: &RawValue) -> bool {
    is_lost(status, body, asked) || (reply::has_no_id(body) && reply::is_for(body, asked).is_some())
}

fn needs_input() -> Failure {
    let message = "the server wants a page to be visited before this call, and says so in a way of MCP 2025-11-25 that cannot be translated";
    Failure::new(Code::UnsupportedOperation, message)
}

/// The client has gone, or the call took too long. A stream that breaks off cancels nothing in the old era: that is said by a message.
impl Drop for ToOld {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut params = Members::default();
        params.set("requestId", &self.asked);
        let body = request(None, "notifications/cancelled", &params);
        let (server, who, opened) =
            (Arc::clone(&self.server), self.who.clone(), Arc::clone(&self.opened));
        let held = Arc::clone(&self.server);
        held.era.held.part(async move { notify(&server, &who, &opened, body).await });
    }
}
