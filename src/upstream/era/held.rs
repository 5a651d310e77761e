//! The sessions that the broker has with an old server, one for each caller.
//!
//! What a server keeps in a session is its caller's alone, so callers never share one: a caller is who it is to the sessions of its own that the
//! broker gives out (issuer, subject and client).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, Method};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::OLD;
use super::aside::Aside;
use super::ask::{Answer, ask, old_headers, own_id, send};
use super::detect::initialize;
use super::input::Askable;
use super::message::{Members, raw, request};
use crate::upstream::fault::Fault;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

/// Callers whose sessions are kept; the one that was idle longest goes first.
const MOST: usize = 10_000;
/// Of what a server says in the handshake, in bytes: it is kept for each caller.
const LONGEST: usize = 64 * 1024;
/// For a last message that nobody waits for.
const LIMIT: Duration = Duration::from_secs(5);
/// Streams of sessions that are held at the same time.
const STREAMS: usize = 1_000;
/// Last messages that may be under way.
const FAREWELLS: usize = 1_000;

/// A session, or for a server without sessions what it said in the handshake.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: Option<HeaderValue>,
    /// The revision that both agreed on.
    pub(super) version: HeaderValue,
    /// Its `InitializeResult`.
    pub(super) said: Members,
    /// For what it was told that its client can be asked.
    pub(super) askable: Askable,
    /// Its own stream, where it may ask, too.
    pub(super) aside: Aside,
}

/// Issuer, subject, client; and for what that client can be asked, which a session is told once.
type Key = (Box<str>, Box<str>, Box<str>, Askable);

#[derive(Debug, Default)]
pub(super) struct Held {
    callers: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Of the last request: ids are never used twice in a session.
    last: AtomicU64,
    farewells: Mutex<JoinSet<()>>,
    streams: Mutex<JoinSet<()>>,
}

/// One opens the session, the others of the same caller wait for it.
#[derive(Debug, Default)]
struct Slot {
    session: tokio::sync::Mutex<Option<Arc<Opened>>>,
    /// Monotonic, in milliseconds.
    used: AtomicU64,
}

impl Held {
    /// The caller's session, and whether it was there already.
    pub(super) async fn of(
        &self,
        server: &Server,
        who: &Who,
        askable: Askable,
    ) -> Result<(Arc<Opened>, bool), Fault> {
        let now = server.door.clock.monotonic();
        let slot = self.slot(key(who, askable), crate::guard::millis(now));
        let mut session = slot.session.lock().await;
        if let Some(opened) = &*session {
            return Ok((Arc::clone(opened), true));
        }
        let opened = Arc::new(open(server, who, askable).await?);
        *session = Some(Arc::clone(&opened));
        Ok((opened, false))
    }

    /// The server does not know it any more.
    pub(super) async fn forget(&self, who: &Who, gone: &Arc<Opened>) {
        let slot = self.callers().get(&key(who, gone.askable)).cloned();
        let Some(slot) = slot else { return };
        let mut session = slot.session.lock().await;
        if session.as_ref().is_some_and(|held| Arc::ptr_eq(held, gone)) {
            *session = None;
        }
    }

    pub(super) fn next_id(&self) -> Box<RawValue> {
        raw(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Sends a last message that nobody waits for, as long as the server is kept. Too many of them are let go.
    pub(super) fn part(&self, last: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut farewells = self.farewells.lock().unwrap_or_else(PoisonError::into_inner);
        while farewells.try_join_next().is_some() {}
        if farewells.len() < FAREWELLS {
            farewells.spawn_on(last, &runtime);
        }
    }

    /// Holds the stream of a session, as long as the server is kept. `false`: too many are held.
    pub(super) fn listen(&self, listening: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        while streams.try_join_next().is_some() {}
        let has_room = streams.len() < STREAMS;
        if has_room {
            streams.spawn(listening);
        }
        has_room
    }

    fn slot(&self, key: Key, now: u64) -> Arc<Slot> {
        let mut callers = self.callers();
        if callers.len() >= MOST && !callers.contains_key(&key) {
            let idle = callers.iter().min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
            if let Some(idle) = idle.map(|(key, _)| key.clone()) {
                callers.remove(&idle);
            }
        }
        let slot = Arc::clone(callers.entry(key).or_default());
        slot.used.store(now, Ordering::Relaxed);
        slot
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(Who { principal: who, .. }: &Who, askable: Askable) -> Key {
    let subject = who.subject().map_or("", |subject| subject.as_str());
    let client = who.client_id().map_or("", |client| client.as_str());
    (who.issuer().as_str().into(), subject.into(), client.into(), askable)
}

/// The handshake (MCP 2025-11-25 lifecycle).
pub(super) async fn open(server: &Server, who: &Who, askable: Askable) -> Result<Opened, Fault> {
    let id = own_id();
    let body = request(Some(&*id), "initialize", &initialize(askable));
    let (answer, session) = ask(server, who, (old_headers(None, None), body, &*id)).await?;
    let said = match answer {
        Answer::Result(said) if said.get().len() > LONGEST => return Err(Fault::TooLarge),
        Answer::Result(said) => {
            let found = server.watch.cut_out(&said, server.door.clock.monotonic())?;
            let (said, news) = found.unwrap_or((said, None));
            if let Some(news) = news {
                server.watch.told.keep(news);
            }
            Members::of(&said)
        }
        Answer::Error => return Err(Fault::Handshake),
        Answer::Status(status) => return Err(Fault::Status(status)),
    };
    let version = said.get::<String>("protocolVersion");
    let version = version.filter(|version| OLD.contains(&version.as_str()));
    let version = version.and_then(|version| version.parse().ok()).ok_or(Fault::Handshake)?;
    let opened = Opened { id: session, version, said, askable, aside: Aside::default() };
    let body = request(None, "notifications/initialized", &Members::default());
    let accepted = send(server, who, (Method::POST, opened.headers(), body)).await?;
    if accepted.status.is_success() { Ok(opened) } else { Err(Fault::Handshake) }
}

impl Opened {
    pub(super) fn headers(&self) -> axum::http::HeaderMap {
        old_headers(Some(&self.version), self.id.as_ref())
    }
}

/// Ends a session. Whether the server listens is its own affair: it would forget it anyway.
pub(super) async fn farewell(
    server: &Server,
    who: &Who,
    (version, session): (Option<&HeaderValue>, &HeaderValue),
) {
    let headers = old_headers(version, Some(session));
    let ending = send(server, who, (Method::DELETE, headers, Bytes::new()));
    if let Ok(Err(fault)) = tokio::time::timeout(LIMIT, ending).await {
        tracing::debug!(server = %server.id, error = &fault as &dyn std::error::Error, "upstream.session_not_ended");
    }
}

/// Sends a notification that nobody waits for.
pub(super) async fn notify(server: &Server, who: &Who, opened: &Opened, body: Bytes) {
    let sending = send(server, who, (Method::POST, opened.headers(), body));
    if let Ok(Err(fault)) = tokio::time::timeout(LIMIT, sending).await {
        tracing::debug!(server = %server.id, error = &fault as &dyn std::error::Error, "upstream.notification_not_sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What opens the stream of a session is a part of what is held: without room the server is not even asked for it.
    #[tokio::test]
    async fn a_stream_for_which_there_is_no_room_is_not_opened() {
        let held = Held::default();
        let (ends, ended) = tokio::sync::watch::channel(false);
        for _ in 0..STREAMS {
            let mut ended = ended.clone();
            assert!(held.listen(async move { drop(ended.wait_for(|ended| *ended).await) }));
        }
        let (asks, asked) = tokio::sync::oneshot::channel();
        assert!(!held.listen(async move { asks.send(()).unwrap() }));
        assert!(asked.await.is_err(), "it was let go as it was");
        ends.send_replace(true);
        while !held.listen(std::future::ready(())) {
            tokio::task::yield_now().await;
        }
    }
}
