//! What an old client listens on before a server of the new era: one stream, whatever becomes of what it subscribed to meanwhile.
//!
//! To such a server one says once, in `subscriptions/listen`, what one wants to be told of. So each change is another
//! request: the stream of the one before is read on for a moment, so that nothing is lost between the two, and then left. A
//! change may be told twice; what is told is that something changed, and nothing else.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Filter;
use super::ask::{Answer, LONGEST, new_request, read, send};
use super::message::{META, Members, SUBSCRIPTION, request};
use super::ours::Session;
use crate::guard::millis;
use crate::time::Clock;
use crate::upstream::events::Events;
use crate::upstream::fault::Fault;
use crate::upstream::incoming::Incoming;
use crate::upstream::reply::Reply;
use crate::upstream::server::Server;
use crate::upstream::shown::Shown;
use crate::upstream::who::Who;

/// Messages that wait for a client.
const WAITING: usize = 16;
/// Of one message, in bytes.
const LARGEST: usize = 64 * 1024;
/// How long a stream is read on after the next one has begun.
const LINGERS: Duration = Duration::from_secs(2);
/// A server may be silent: the stream ends with its client's token.
const SILENCE: Duration = Duration::from_hours(24);

/// It is over with its client, which holds what it reads.
#[derive(Debug)]
pub(in crate::upstream) struct Stream {
    messages: mpsc::Sender<Bytes>,
    over: CancellationToken,
    reading: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    tasks: JoinSet<()>,
    /// Ends what is read now, after a moment.
    left: CancellationToken,
}

/// What its client reads. Dropped, the server is left.
#[derive(Debug)]
pub(in crate::upstream) struct Read {
    messages: mpsc::Receiver<Bytes>,
    stream: Arc<Stream>,
    /// Whose it is, and what tells when it ends.
    of: Option<(Weak<Session>, Arc<dyn Clock>)>,
}

/// An answer to `subscriptions/listen`.
pub(super) struct Heard {
    incoming: Incoming,
    events: Events,
    secret: Option<Shown>,
    id: Box<RawValue>,
}

/// Asks to be told. `None`: the server tells of nothing.
pub(super) async fn listen(
    server: &Server,
    who: &Who,
    wanted: &Filter,
) -> Result<Option<(Filter, Heard)>, Fault> {
    let id = server.era.held.next_id();
    let mut params = Members::default();
    params.set("notifications", wanted);
    let (headers, body) = new_request(&id, ("subscriptions/listen", None), params);
    let opening = async {
        let mut incoming = send(server, who, (Method::POST, headers, body)).await?;
        if !is_stream(&incoming) {
            let limits = (LARGEST, server.timeout);
            return match read(limits, &mut incoming, &id).await? {
                Answer::Error | Answer::Status(_) => Ok(None),
                Answer::Result(_) => Err(Fault::NoAnswer),
            };
        }
        let secret = incoming.secret.take();
        let mut heard = Heard { incoming, events: Events::new(LARGEST), secret, id };
        let honored = heard.acknowledged(server.timeout).await?;
        Ok(honored.map(|honored| (honored, heard)))
    };
    match tokio::time::timeout(LONGEST.min(server.timeout), opening).await {
        Ok(opened) => opened,
        Err(_elapsed) => Err(Fault::NoReply),
    }
}

fn is_stream(incoming: &Incoming) -> bool {
    let content = incoming.headers.get(header::CONTENT_TYPE);
    let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default();
    incoming.status == StatusCode::OK && content.starts_with("text/event-stream")
}

impl Heard {
    /// What comes first (MCP 2026-07-28 basic/patterns/subscriptions, Acknowledgment).
    async fn acknowledged(&mut self, limit: Duration) -> Result<Option<Filter>, Fault> {
        let data = self.message(limit).await?.ok_or(Fault::NoAnswer)?;
        match Reply::of(&data, Some(&*self.id))? {
            Reply::Error(_) => return Ok(None),
            Reply::Result(_) => return Err(Fault::NoAnswer),
            Reply::Other => {}
        }
        let said: Members = serde_json::from_slice(&data).unwrap_or_default();
        let method = said.get::<String>("method").unwrap_or_default();
        let honored = said.members("params").get::<Filter>("notifications");
        let honored = honored.filter(|_| method == "notifications/subscriptions/acknowledged");
        honored.map(Some).ok_or(Fault::NoAnswer)
    }

    /// The next message; `None` at the end.
    async fn message(&mut self, limit: Duration) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.events.next() {
                Ok(Some(data)) if data.is_empty() => {}
                Ok(Some(data)) if self.secret.as_ref().is_some_and(|own| own.is_in(&data)) => {
                    return Err(Fault::RepeatsCredential);
                }
                Ok(Some(data)) => return Ok(Some(data)),
                Ok(None) => match self.incoming.chunk(limit).await? {
                    Some(bytes) => self.events.add(&bytes),
                    None => return Ok(None),
                },
                Err(_too_large) => return Err(Fault::TooLarge),
            }
        }
    }
}

impl Stream {
    /// Nothing is told yet.
    pub(super) fn new() -> (Arc<Self>, Read) {
        let (sender, messages) = mpsc::channel(WAITING);
        let over = CancellationToken::new();
        let stream = Arc::new(Self { messages: sender, over, reading: Mutex::default() });
        let read = Read { messages, stream: Arc::clone(&stream), of: None };
        (stream, read)
    }

    /// From now on this is what is told; what was before, for a moment more.
    pub(super) fn tells(&self, heard: Heard, session: &Arc<Session>, server: &Arc<Server>) {
        let (messages, over) = (self.messages.clone(), self.over.clone());
        let (session, server) = (Arc::downgrade(session), Arc::clone(server));
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        while reading.tasks.try_join_next().is_some() {}
        std::mem::take(&mut reading.left).cancel();
        let left = reading.left.clone();
        reading.tasks.spawn(async move {
            let tells = Tells { heard, session, messages };
            if let Err(fault) = tells.on(&left).await {
                let (server, hint) = (&server.id, fault.hint());
                let error: &(dyn std::error::Error + 'static) = &fault;
                tracing::warn!(%server, method = "subscriptions/listen", error, hint, "upstream.failed");
            }
            if !left.is_cancelled() {
                over.cancel();
            }
        });
    }

    pub(super) fn end(&self) {
        self.over.cancel();
    }
}

struct Tells {
    heard: Heard,
    session: Weak<Session>,
    messages: mpsc::Sender<Bytes>,
}

impl Tells {
    /// Until the server ends it, or a moment after it was left.
    async fn on(mut self, left: &CancellationToken) -> Result<(), Fault> {
        let mut lingers = std::pin::pin!(async {
            left.cancelled().await;
            tokio::time::sleep(LINGERS).await;
        });
        loop {
            let data = tokio::select! {
                data = self.heard.message(SILENCE) => data,
                () = &mut lingers => return Ok(()),
            };
            let data = match data {
                Ok(Some(data)) => data,
                Err(fault @ (Fault::RepeatsCredential | Fault::TooLarge)) => return Err(fault),
                // Its client opens it again if it wants to.
                Ok(None) | Err(_) => return Ok(()),
            };
            let Some(session) = self.session.upgrade() else { return Ok(()) };
            if let Some(message) = told(&session, &data)
                && self.messages.send(message).await.is_err()
            {
                return Ok(());
            }
        }
    }
}

/// What an old client is told of it.
fn told(session: &Session, data: &Bytes) -> Option<Bytes> {
    let said: Members = serde_json::from_slice(data).ok()?;
    let (method, mut params) = (said.get::<String>("method")?, said.members("params"));
    let uri = params.get::<String>("uri");
    if said.has("id") || !session.hears(&method, uri.as_deref()) {
        return None;
    }
    let mut meta = params.members(META);
    meta.take(SUBSCRIPTION);
    params.take(META);
    if !meta.is_empty() {
        params.set(META, meta);
    }
    Some(request(None, &method, &params))
}

impl Read {
    /// The session's client is there for as long as this is.
    pub(super) fn is_for(&mut self, session: &Arc<Session>, clock: Arc<dyn Clock>) {
        self.of = Some((Arc::downgrade(session), clock));
    }

    /// The next message; `None` at the end, or where none comes within `limit`.
    pub(in crate::upstream) async fn next(&mut self, limit: Duration) -> Option<Bytes> {
        let next = async {
            tokio::select! {
                biased;
                message = self.messages.recv() => message,
                () = self.stream.over.cancelled() => None,
            }
        };
        tokio::time::timeout(limit, next).await.ok().flatten()
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let Some((session, clock)) = self.of.take() else { return };
        if let Some(session) = session.upgrade() {
            session.is_used_at(millis(clock.monotonic()));
        }
    }
}
