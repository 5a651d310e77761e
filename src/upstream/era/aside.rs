//! What an old server asks on the stream of its session (GET), beside the streams of the calls in it (MCP 2025-11-25
//! transports, Listening for Messages).
//!
//! It is meant for what has nothing to do with a call, but many a server asks there in the middle of one, for `roots/list` most of
//! all. So the broker holds that stream while a call lasts whose client can be asked, and a question is the one call's that is under
//! way in the session; one that waits for its client is not, where there is another. Where there are several nobody knows whose it is,
//! and the server is told that nobody can be asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::held::{Opened, notify};
use super::input::Question;
use super::old_server::answer_to;
use crate::upstream::events::Events;
use crate::upstream::incoming::Incoming;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

/// For the server to open the stream: the first call of a session waits for it.
const OPENS: Duration = Duration::from_secs(2);
/// How long it is held after the last call.
const LINGERS: Duration = Duration::from_secs(30);
/// Questions that wait for one call, and the longest of them in bytes.
const WAITING: usize = 4;
const LARGEST: usize = 64 * 1024;
/// The stream may be silent.
const SILENCE: Duration = Duration::from_hours(24);

/// The stream of one session, and the calls for which it is held.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// One opens it, the others wait.
    opening: Arc<tokio::sync::Mutex<()>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Call>,
    last: u64,
    stream: Stream,
    /// When the last call left; monotonic.
    left: Duration,
}

#[derive(Debug)]
struct Call {
    number: u64,
    questions: mpsc::Sender<Bytes>,
    /// Whether it waits for what its client says to a question before.
    waits: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stream {
    #[default]
    Closed,
    Open,
    /// The server has none.
    Refused,
}

/// A call that can be asked. Dropped, it is no more.
#[derive(Debug)]
pub(super) struct Joined {
    number: u64,
    questions: mpsc::Receiver<Bytes>,
    opened: Arc<Opened>,
    server: Arc<Server>,
}

impl Joined {
    /// Opens the stream where it is not open. `None`: the server has none.
    pub(super) async fn to(server: &Arc<Server>, who: &Who, opened: &Arc<Opened>) -> Option<Self> {
        opened.id.as_ref()?;
        let aside = &opened.aside;
        let opening = Arc::clone(&aside.opening).lock_owned().await;
        // Before the stream is looked at: from now on it is not closed for want of calls.
        let joined = aside.join(server, opened)?;
        if aside.inner().stream == Stream::Open {
            return Some(joined);
        }
        let (server, who, opened) = (Arc::clone(server), who.clone(), Arc::clone(opened));
        let (tell, is_open) = oneshot::channel();
        let held = Arc::clone(&server);
        // Where there is no room for one more stream, none is opened.
        let has_room = held.era.held.listen(async move {
            let incoming = tokio::time::timeout(OPENS, stream_of(&server, &who, &opened)).await;
            let incoming = incoming.ok().flatten();
            let is_open = incoming.is_some();
            opened.aside.inner().stream = if is_open { Stream::Open } else { Stream::Refused };
            drop(opening);
            let _ = tell.send(is_open);
            if let Some(incoming) = incoming {
                listen((server, who), opened, incoming).await;
            }
        });
        (has_room && is_open.await == Ok(true)).then_some(joined)
    }

    /// Whether it waits for its client from now on. It may for minutes, and is not in the way of others.
    pub(super) fn wait(&self, waits: bool) {
        let mut inner = self.opened.aside.inner();
        let own = inner.calls.iter_mut().find(|call| call.number == self.number);
        if let Some(own) = own {
            own.waits = waits;
        }
    }

    /// What the server asks. Waits for ever where it asks nothing more.
    pub(super) async fn asked(&mut self) -> Bytes {
        match self.questions.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let now = self.server.door.clock.monotonic();
        let mut inner = self.opened.aside.inner();
        inner.calls.retain(|call| call.number != self.number);
        inner.left = now;
    }
}

impl Aside {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, server: &Arc<Server>, opened: &Arc<Opened>) -> Option<Joined> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut inner = self.inner();
        if inner.stream == Stream::Refused {
            return None;
        }
        inner.last += 1;
        let number = inner.last;
        inner.calls.push(Call { number, questions: sender, waits: false });
        drop(inner);
        let (opened, server) = (Arc::clone(opened), Arc::clone(server));
        Some(Joined { number, questions: receiver, opened, server })
    }

    /// Whether the one call that is under way takes it.
    fn hand_over(&self, question: Bytes) -> bool {
        let inner = self.inner();
        inner.one_under_way().is_some_and(|call| call.questions.try_send(question).is_ok())
    }

    /// Whether nobody needs the stream any more. Then it is closed.
    fn close_if_idle(&self, now: Duration) -> bool {
        let mut inner = self.inner();
        let idle = inner.calls.is_empty() && now.saturating_sub(inner.left) >= LINGERS;
        if idle {
            inner.stream = Stream::Closed;
        }
        idle
    }
}

impl Inner {
    /// The one call that a question can be of. One that waits is asked where there is no other: it may be asked two things at once.
    fn one_under_way(&self) -> Option<&Call> {
        let mut under_way = self.calls.iter().filter(|call| !call.waits);
        match (under_way.next(), under_way.next(), &*self.calls) {
            (Some(one), None, _) | (None, _, [one]) => Some(one),
            _ => None,
        }
    }
}

async fn stream_of(server: &Server, who: &Who, opened: &Opened) -> Option<Incoming> {
    let mut headers = opened.headers();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let incoming = server.open(who, Method::GET, headers, Bytes::new()).await.ok()?;
    let content = incoming.headers.get(header::CONTENT_TYPE);
    let streamed =
        content.is_some_and(|content| content.as_bytes().starts_with(b"text/event-stream"));
    (streamed && incoming.status == StatusCode::OK).then_some(incoming)
}

async fn listen((server, who): (Arc<Server>, Who), opened: Arc<Opened>, mut incoming: Incoming) {
    let (aside, clock) = (&opened.aside, &server.door.clock);
    let mut events = Events::new(LARGEST);
    loop {
        match events.next() {
            Ok(Some(data)) => {
                heard((&server, &who), &opened, data).await;
                continue;
            }
            Ok(None) => {}
            Err(_too_large) => break,
        }
        if aside.close_if_idle(clock.monotonic()) {
            return;
        }
        tokio::select! {
            chunk = incoming.chunk(SILENCE) => match chunk {
                Ok(Some(bytes)) => events.add(&bytes),
                Ok(None) | Err(_) => break,
            },
            () = server.closing.cancelled() => break,
            () = tokio::time::sleep(LINGERS) => {}
        }
    }
    aside.inner().stream = Stream::Closed;
}

/// What is no question is for nobody: whoever wants to be told of changes says so in `subscriptions/listen`.
async fn heard((server, who): (&Server, &Who), opened: &Opened, data: Bytes) {
    let Some(answer) = answer_to(&data) else { return };
    let is_asked = Question::of(&data, opened.askable).is_some() && opened.aside.hand_over(data);
    if !is_asked {
        notify(server, who, opened, answer).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_of_the_one_call_that_does_not_wait_for_its_client() {
        for (calls, wanted) in [
            (&[][..], None),
            (&[false][..], Some(0)),
            (&[true][..], Some(0)),
            (&[true, false][..], Some(1)),
            (&[false, true, true][..], Some(0)),
            (&[false, false][..], None),
            (&[true, true][..], None),
            (&[false, true, false][..], None),
        ] {
            let call = |(number, waits): (u64, &bool)| Call {
                number,
                questions: mpsc::channel(1).0,
                waits: *waits,
            };
            let calls = (0..).zip(calls).map(call).collect();
            let inner = Inner { calls, ..Inner::default() };
            assert_eq!(inner.one_under_way().map(|call| call.number), wanted, "{inner:?}");
        }
    }
}
