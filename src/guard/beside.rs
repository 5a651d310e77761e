//! Servers whose tools stand in one list with ours, and their prompts and resources where ours would be.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::policy::InForce;

use super::door::{Door, Unrecorded};
use super::presented::Presented;

/// Tools of others beside ours. `mcp` shows and sends, `upstream` knows them: neither knows the other.
pub trait Beside: fmt::Debug + Send + Sync {
    /// Whether a tool of this name would be one of theirs.
    fn holds(&self, tool: &str) -> bool;

    /// The definitions that `caller` may see, each under the name that [`Beside::holds`]. A server that does not answer has none.
    fn tools<'a>(
        &'a self,
        caller: &'a Caller,
        presented: Option<&'a Presented>,
    ) -> BoxFuture<'a, Shown>;

    /// Whether a request of this method is theirs to answer: about prompts and resources the broker itself has nothing to say.
    fn answers(&self, method: &str) -> bool;

    /// Whether there are any.
    fn are_any(&self) -> bool;

    /// Whether one of them gets its credential with the caller's own token, so that it has to be noted.
    fn need_the_callers_token(&self) -> bool;

    /// Answers a call of one of these tools, or a request that is [theirs](Beside::answers), by a caller who owes its terminal event. Decides about it.
    fn call(self: Arc<Self>, call: BesideCall) -> BoxFuture<'static, Answered>;

    /// Answers a client that wants to be told of changes, by a caller who owes the request's terminal event.
    fn listen(self: Arc<Self>, listening: Listening) -> BoxFuture<'static, Answered>;
}

/// What the broker itself has at the endpoint.
pub trait Own: fmt::Debug + Send + Sync {
    /// The tools that `caller` sees by these rules.
    fn seen(&self, caller: &Caller, rules: &Arc<InForce>) -> Vec<String>;
}

/// A `subscriptions/listen`, and what it takes to tell of the broker's own.
#[derive(Debug)]
pub struct Listening {
    pub call: BesideCall,
    /// Of the endpoint: there may be no server beside us.
    pub door: Door,
    pub own: Arc<dyn Own>,
}

/// Beside a request: whether who answers it has a time limit of their own, so that no other ends it.
#[derive(Clone, Debug, Default)]
pub struct OwnLimit(Arc<AtomicBool>);

impl OwnLimit {
    /// From now on.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a call comes to.
pub type Answered = Result<Response<Body>, Unrecorded>;

/// A call as it came.
#[derive(Debug)]
pub struct BesideCall {
    pub caller: Caller,
    /// Noted where [`Beside::need_the_callers_token`].
    pub presented: Option<Presented>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What one caller sees.
#[derive(Debug, Default)]
pub struct Shown {
    pub tools: Vec<Box<RawValue>>,
}
