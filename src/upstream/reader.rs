//! Who reads a stream: one that takes nothing of what is there does not keep the server for it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::task::JoinSet;

use crate::id::RequestId;
use crate::time::Clock;

/// How long a client may take nothing of what is there for it.
const UNREAD: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Handed on at once: of a large event it is seen that somebody reads it, however slowly.
const PIECE: usize = 16 * 1024;

/// What is handed on next, and whether it is the last.
type Next = (Bytes, bool);

/// The body of an answer that comes event by event. What the stream holds (the server's answer, the caller's places) is let
/// go with its last event, and where its reader does not come for the next: a socket that is full, or a window of HTTP/2
/// that stays closed, asks for nothing, so that nothing that a stream looks at by itself would be looked at.
pub(super) struct Read {
    held: Arc<Mutex<Held>>,
    /// What is left of the last event.
    rest: Bytes,
    watching: Option<JoinSet<()>>,
    of: Of,
}

/// Whose stream it is: by which clock it is looked at, and what the log says of it.
#[derive(Clone)]
pub(super) struct Of {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) server: Box<str>,
    pub(super) request_id: RequestId,
}

struct Held {
    /// `None`: it is over, or was given up.
    stream: Option<Pin<Box<dyn Stream<Item = Next> + Send>>>,
    /// Since when its reader has something to read, and has not come for more; monotonic.
    handed: Option<Duration>,
    watched: bool,
    given_up: bool,
}

impl Read {
    pub(super) fn new(stream: impl Stream<Item = Next> + Send + 'static, of: Of) -> Self {
        let stream: Pin<Box<dyn Stream<Item = Next> + Send>> = Box::pin(stream);
        let held = Held { stream: Some(stream), handed: None, watched: false, given_up: false };
        let held = Arc::new(Mutex::new(held));
        Self { held, rest: Bytes::new(), watching: None, of }
    }

    /// The next piece. From now on its reader is waited for.
    fn hand_on(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        let mut held = lock(&self.held);
        if held.stream.is_none() {
            return piece;
        }
        held.handed = Some(self.of.clock.monotonic());
        if !std::mem::replace(&mut held.watched, true) {
            let mut watching = JoinSet::new();
            watching.spawn(watch(Arc::clone(&self.held), self.of.clone()));
            self.watching = Some(watching);
        }
        drop(held);
        piece
    }
}

impl Stream for Read {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let mut held = lock(&this.held);
            held.handed = None;
            let Some(stream) = &mut held.stream else {
                // The client must not take what it has for all.
                let cut = held.given_up.then(|| Err(io::ErrorKind::TimedOut.into()));
                return Poll::Ready(cut);
            };
            let next = ready!(stream.as_mut().poll_next(cx));
            let over = next.as_ref().is_none_or(|(_, last)| *last);
            let ended = if over { held.stream.take() } else { None };
            drop(held);
            drop(ended);
            let Some((bytes, _)) = next else { return Poll::Ready(None) };
            this.rest = bytes;
        }
        Poll::Ready(Some(Ok(this.hand_on())))
    }
}

/// Until the reader waits for the server, as it does most of the time, or is given up.
async fn watch(held: Arc<Mutex<Held>>, Of { clock, server, request_id }: Of) {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = clock.monotonic();
        let mut held = lock(&held);
        let Some(since) = held.handed else {
            held.watched = false;
            return;
        };
        if now.saturating_sub(since) < UNREAD {
            continue;
        }
        held.given_up = true;
        let stream = held.stream.take();
        drop(held);
        if stream.is_some() {
            tracing::warn!(%server, %request_id, "upstream.unread");
        }
        return;
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
