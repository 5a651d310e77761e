//! Calls of old clients that can be cancelled by a message of their own (MCP 2025-11-25 utilities/cancellation).
//!
//! To a server of the new era a call is cancelled by closing its stream. So each call of a session of ours is kept here while it
//! lasts, in this process alone: cancelling is a courtesy, and a replica that does not know the call does nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use futures_util::StreamExt as _;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::guard::{self, Unrecorded};

/// By session, as its client names it, and request id.
type Key = (Box<str>, Box<str>);

#[derive(Clone, Debug, Default)]
pub(super) struct Cancellations(Arc<Mutex<HashMap<Key, CancellationToken>>>);

/// A call that is under way. Dropping it ends that.
#[derive(Debug)]
pub(in crate::upstream) struct Ticket {
    key: Key,
    token: CancellationToken,
    all: Cancellations,
}

impl Cancellations {
    pub(super) fn begin(&self, session: &str, id: &RawValue) -> Ticket {
        let (key, token) = (key(session, id), CancellationToken::new());
        self.all().insert(key.clone(), token.clone());
        Ticket { key, token, all: self.clone() }
    }

    pub(super) fn cancel(&self, session: &str, id: &RawValue) {
        if let Some(token) = self.all().remove(&key(session, id)) {
            token.cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(session: &str, id: &RawValue) -> Key {
    (session.into(), id.get().into())
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.all().remove(&self.key);
    }
}

impl Ticket {
    /// What `answering` gives, or nothing more once the call is cancelled: what it held is dropped then, and the audit log says
    /// `cancelled`.
    pub(in crate::upstream) async fn unless_cancelled(
        self,
        answering: impl Future<Output = Result<Response<Body>, Unrecorded>>,
    ) -> Result<Response<Body>, Unrecorded> {
        let cancelled = self.token.clone().cancelled_owned();
        let answer = tokio::select! {
            answer = answering => answer?,
            () = self.token.cancelled() => return Ok(guard::plain(StatusCode::ACCEPTED)),
        };
        // A whole answer is there already.
        let streamed = answer.headers().get(header::CONTENT_TYPE);
        if streamed.is_none_or(|content| content != "text/event-stream") {
            return Ok(answer);
        }
        Ok(answer.map(|body| {
            let data = body.into_data_stream().take_until(cancelled);
            Body::from_stream(data.inspect(move |_| {
                let _held = &self;
            }))
        }))
    }
}
