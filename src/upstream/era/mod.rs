//! Clients and servers of different eras: what one says is written as the other knows it.
//!
//! MCP has two eras. In the old one (2025-11-25 and before) a client opens with `initialize`, may be given a session, and a server asks it
//! back on its streams. In the new one (2026-07-28) each request stands alone and says in its `_meta` who asks; a server that
//! needs more answers with an `InputRequiredResult`. Where client and server share an era nothing here touches a message.
//!
//! | of an old client | to a server of 2026-07-28 alone |
//! |---|---|
//! | `initialize` | `server/discover`; its answer as an `InitializeResult`, with a session of ours by which calls can be cancelled |
//! | `ping`, `notifications/*` | answered here; `notifications/cancelled` ends the call at the server |
//! | lists, calls, prompts, resources, completions | the same with `_meta`, `Mcp-Method`, `Mcp-Name` and the `Mcp-Param-*` that the tool's schema names |
//! | `logging/setLevel` | kept in that session; each call in it says the level in its `_meta` |
//! | `resources/subscribe`, `resources/unsubscribe`, GET | `subscriptions/listen`, anew at each change, of what the session subscribed to and of the lists |
//! | a result | without `resultType`, `ttlMs`, `cacheScope` |
//! | an `InputRequiredResult`, error `-32021` | a result with `isError`, or an error, that says what is missing |
//!
//! | of a client of 2026-07-28 | to an old server |
//! |---|---|
//! | `server/discover` | `initialize` and `notifications/initialized`, once for each caller; the answer as a `DiscoverResult` |
//! | lists, calls, prompts, resources, completions | the same in that session with an id of ours, without what is the new era's in `_meta` |
//! | `subscriptions/listen` | a session of its own: its GET stream, and `resources/subscribe` for each resource |
//! | a stream that the client closes | `notifications/cancelled` |
//! | a result, a list | with `resultType`, `cacheScope: private` and `ttlMs: 0` |
//! | a question of the server in a call | an `InputRequiredResult`, where the client says that it can be asked so; the call waits, and goes on with the client's retry |
//! | any other | answered here: `ping` with nothing, all others with an error |
//!
//! A client of the old era that calls a folded tool has no session with the server: the broker's own stands for it, or the
//! new era does where the server knows both.
//!
//! Nothing of this is an opinion of a server about its caller: policy has decided about the message before, and what is sent is
//! made of the one parsed message that it decided about.

mod aside;
mod ask;
mod cancel;
mod detect;
mod envelope;
mod held;
mod in_session;
mod input;
mod listen;
mod message;
mod new_server;
mod old_server;
mod ours;
mod own;
mod parameters;
mod retry;
mod stream;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::broker::Failure;
use crate::guard::Message;
use crate::upstream::incoming::Incoming;

use super::fault::Fault;
use super::server::Server;
use super::who::Who;

pub use detect::{Era, Eras};

pub(super) use in_session::{end as end_session, stream as session_stream};
pub(super) use input::Question;
pub(super) use listen::Filter;
pub(super) use message::header_text;
pub(super) use new_server::is_ours;
pub(super) use own::{
    Probed, discovery, greeted, greeting, names_the_new, new_list, old_list, page, read_own,
    version_of,
};
pub(super) use retry::Parked;
pub(super) use stream::Read as ReadStream;

use detect::Speaks;
use listen::Listening;
use new_server::ToNew;
use old_server::ToOld;

/// The revision that begins the new era.
const NEW: &str = "2026-07-28";
/// The revisions of the old era, newest first.
const OLD: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// A message that was decided about, on its way out.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) message: &'a Message<'a>,
    /// Whether its client is of the new era.
    pub(super) modern: bool,
    /// The headers as the client sent them.
    pub(super) given: &'a HeaderMap,
    /// Those that go on.
    pub(super) sent: &'a HeaderMap,
}

/// What becomes of it.
pub(super) enum Way {
    /// Both are of one era: it goes as it came.
    Pass,
    /// The answer; nothing is sent.
    Here(Response<Body>),
    /// It was sent, written anew; so must be what comes back.
    Sent(Box<Incoming>, Box<Translation>),
}

/// How the answers to a message that was written anew are handed on.
#[derive(Debug)]
pub(super) enum Translation {
    New(ToNew),
    Old(ToOld),
    Listen(Listening),
}

/// A result or an error of the server, as the client knows it.
#[derive(Debug)]
pub(super) enum Written {
    Result(Box<RawValue>),
    /// A result that asks for something, where the server said that it failed.
    Asks(Box<RawValue>),
    /// The error, and its status outside a stream.
    Error(Box<RawValue>, axum::http::StatusCode),
    /// What cannot be said to this client.
    Refused(Failure),
}

/// What else a server sends on the stream of a call.
#[derive(Debug)]
pub(super) enum Told {
    /// For the client.
    On(Bytes),
    /// Nothing for it.
    Kept,
    /// A question: this is the answer to it.
    Answer(Bytes),
    /// A question for the client.
    Asks(Question),
}

/// The answer to a request of the new era that breaks its form, where no server of that era is asked.
pub(super) fn wrong_form(message: &Message<'_>, given: &HeaderMap) -> Option<Response<Body>> {
    let params = message.params::<&RawValue>().map(message::Members::of).unwrap_or_default();
    let asked = Asked { message, modern: true, given, sent: given };
    envelope::wrong(&asked, &params)
}

/// What ties the calls of one trace together goes on.
fn traces(sent: &HeaderMap, to: &mut HeaderMap) {
    let traces = sent.iter().filter(|(name, _)| name.as_str().starts_with("trace"));
    to.extend(traces.map(|(name, value)| (name.clone(), value.clone())));
}

/// Finds out what is to be done with a message, and does it.
pub(super) async fn way(server: &Arc<Server>, who: &Who, asked: &Asked<'_>) -> Result<Way, Fault> {
    match (asked.modern, server.era.of(server, who).await?) {
        (false, Speaks::New) => new_server::way(server, who, asked).await,
        (true, Speaks::Old) => old_server::way(server, who, asked).await,
        // Who calls at the broker's own endpoint has no session with the server behind it.
        (false, Speaks::Old) if server.folded => old_server::way(server, who, asked).await,
        (false, Speaks::Both) if server.folded => new_server::way(server, who, asked).await,
        _ => Ok(Way::Pass),
    }
}

impl Translation {
    /// The id by which the server was asked. `None`: it answers nobody on this stream.
    pub(super) fn asked<'a>(&'a self, id: Option<&'a RawValue>) -> Option<&'a RawValue> {
        match self {
            Self::New(_) => id,
            Self::Old(old) => Some(old.asked()),
            Self::Listen(_) => None,
        }
    }

    /// The id of a session that is given to the client.
    pub(super) fn session(&self) -> Option<String> {
        match self {
            Self::New(new) => new.session(),
            Self::Old(_) | Self::Listen(_) => None,
        }
    }

    /// Its call waits for what its client says to a question.
    pub(super) fn set_aside(&self) {
        if let Self::Old(old) = self {
            old.set_aside();
        }
    }

    /// What stands before everything else on a stream.
    pub(super) fn first(&self) -> Option<Bytes> {
        match self {
            Self::Listen(listening) => Some(listening.acknowledged()),
            Self::New(_) | Self::Old(_) => None,
        }
    }

    /// The server has answered.
    pub(super) fn result(&mut self, result: &RawValue) -> Written {
        match self {
            Self::New(new) => new.result(result),
            Self::Old(old) => old.result(result),
            Self::Listen(_) => Written::Result(result.to_owned()),
        }
    }

    /// The server has answered with an error.
    pub(super) fn error(&mut self, error: &RawValue) -> Written {
        match self {
            Self::New(new) => new.error(error),
            Self::Old(old) => old.error(error),
            Self::Listen(_) => Written::Error(error.to_owned(), axum::http::StatusCode::OK),
        }
    }

    /// The server tells or asks something.
    pub(super) fn told(&self, body: Bytes) -> Told {
        match self {
            Self::New(_) => Told::On(body),
            Self::Old(old) => old.told(body),
            Self::Listen(listening) => listening.told(&body),
        }
    }

    /// What its client is told to bring.
    pub(super) fn asks(&self, question: &Question, state: &str) -> Box<RawValue> {
        match self {
            Self::Old(old) => old.asks(&question.requests(), Some(state)),
            Self::New(_) | Self::Listen(_) => RawValue::NULL.to_owned(),
        }
    }

    /// What is asked of the server, so that a retry can be told from another call.
    pub(super) fn call(&self) -> [u8; 32] {
        match self {
            Self::Old(old) => old.call(),
            Self::New(_) | Self::Listen(_) => [0; 32],
        }
    }

    /// What the server asks on another stream than that of the call. Waits for ever where it asks nothing.
    pub(super) async fn asked_aside(&mut self) -> Bytes {
        match self {
            Self::Old(old) => old.asked_aside().await,
            Self::New(_) | Self::Listen(_) => std::future::pending().await,
        }
    }

    /// Hands the server the answer to its question.
    pub(super) async fn answer(&self, answer: Bytes) {
        match self {
            Self::Old(old) => old.answer(answer).await,
            Self::Listen(listening) => listening.answer(answer).await,
            Self::New(_) => {}
        }
    }
}
