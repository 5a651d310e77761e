//! A request of a client of the new era in the broker's session with an old server.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::upstream::era::aside::Joined;
use crate::upstream::era::ask::send;
use crate::upstream::era::held::{Opened, notify};
use crate::upstream::era::input::Askable;
use crate::upstream::era::message::{
    CAPABILITIES, CLIENT, LOG_LEVEL, META, Members, VERSION, answer, request,
};
use crate::upstream::era::{retry, traces};
use crate::upstream::fault::Fault;
use crate::upstream::incoming::Incoming;
use crate::upstream::lost::{is_lost, was_not_run};
use crate::upstream::reach::Reach;
use crate::upstream::reply;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

use super::back::level;

/// A request that the server was asked in a session. Dropped without an answer, it is cancelled there.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four things that have nothing to do with each other"
)]
pub(in crate::upstream) struct ToOld {
    server: Arc<Server>,
    who: Who,
    pub(super) opened: Arc<Opened>,
    /// Whether the session was there before.
    reused: bool,
    /// The id of the request in it.
    asked: Box<RawValue>,
    /// Whether the client is of the new era.
    pub(super) modern: bool,
    /// Whether its result is one that can be cached, which it must not be.
    pub(super) cacheable: bool,
    /// For what its client can be asked while it lasts.
    pub(super) askable: Askable,
    /// The session's own stream, where the server may ask, too.
    aside: Option<Joined>,
    /// What is asked of the server.
    call: [u8; 32],
    pub(super) progress: Progress,
    /// From which severity on log messages are wanted.
    pub(super) level: Option<usize>,
    pub(super) answered: bool,
}

/// Under which token its client is told of progress.
#[derive(Debug)]
pub(super) enum Progress {
    /// The one that the server has.
    Same,
    /// Another, of the request that goes on with the call.
    As(Box<RawValue>),
    Untold,
}

/// One process for all callers asks none of them.
pub(super) fn askable(server: &Server, params: &Members) -> Askable {
    match server.reach {
        Reach::Http(_) => Askable::of(params),
        Reach::Child(_) => Askable::default(),
    }
}

/// What may answer with a question (TR-20).
pub(super) fn may_ask(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

impl ToOld {
    /// With the session of the caller.
    pub(super) async fn begin(
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
    pub(super) fn written(&self, method: &str, mut params: Members) -> Bytes {
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

    /// Sends it in the session; in a new one where the server has forgotten it, and says so before it has run anything.
    pub(super) async fn send(&mut self, given: &HeaderMap, body: Bytes) -> Result<Incoming, Fault> {
        self.join().await;
        let mut incoming = self.open(given, body.clone()).await?;
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
        // The next request has a new session; this one is not run twice.
        if !was_not_run(incoming.status, &said, &self.asked) {
            return Ok(incoming.with(said));
        }
        self.opened = held.of(&self.server, &self.who, self.opened.askable).await?.0;
        self.join().await;
        self.open(given, body).await
    }

    async fn join(&mut self) {
        if !self.askable.is_none() {
            self.aside = Joined::to(&self.server, &self.who, &self.opened).await;
        }
    }

    pub(in crate::upstream::era) async fn asked_aside(&mut self) -> Bytes {
        match &mut self.aside {
            Some(aside) => aside.asked().await,
            None => std::future::pending().await,
        }
    }

    async fn open(&mut self, given: &HeaderMap, body: Bytes) -> Result<Incoming, Fault> {
        let mut headers = self.opened.headers();
        traces(given, &mut headers);
        let opened = self.server.open(&self.who, Method::POST, headers, body).await;
        // One that never arrived needs no cancelling.
        self.answered = opened.as_ref().is_err_and(|fault| !matches!(fault, Fault::Slow(_)));
        opened
    }

    pub(in crate::upstream::era) fn asked(&self) -> &RawValue {
        &self.asked
    }

    /// What is asked of the server.
    pub(in crate::upstream::era) const fn call(&self) -> [u8; 32] {
        self.call
    }

    /// It waits for another request of its client.
    pub(in crate::upstream::era) fn set_aside(&self) {
        if let Some(aside) = &self.aside {
            aside.wait(true);
        }
    }

    /// Another request of its client goes on with it.
    pub(in crate::upstream::era) fn go_on(&mut self, who: &Who, params: &Members) {
        if let Some(aside) = &self.aside {
            aside.wait(false);
        }
        self.who = who.clone();
        self.level = level(params);
        let token = params.members(META).take("progressToken");
        self.progress = token.map_or(Progress::Untold, Progress::As);
    }

    /// Hands the server what its client brought.
    pub(in crate::upstream::era) async fn hand_over(
        &self,
        question: &RawValue,
        said: &RawValue,
    ) -> Result<(), Fault> {
        let body = answer(question, "result", said);
        let call = (Method::POST, self.opened.headers(), body);
        let taken = send(&self.server, &self.who, call).await?;
        if taken.status.is_success() { Ok(()) } else { Err(Fault::Status(taken.status)) }
    }

    pub(in crate::upstream::era) async fn answer(&self, answer: Bytes) {
        notify(&self.server, &self.who, &self.opened, answer).await;
    }
}

/// Whether the session has to be opened anew. An error that answers nobody says so, too: nothing was run for it.
fn has_lost_it(status: StatusCode, body: &[u8], asked: &RawValue) -> bool {
    is_lost(status, body, asked) || (reply::has_no_id(body) && reply::is_for(body, asked).is_some())
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
