//! The stream and the end of a session that stands for a server without sessions (2025-11-25 and before).

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response};

use crate::broker::Caller;
use crate::guard::{self, Presented, Unrecorded};

use super::answer::{Exchange, Kind};
use super::era;
use super::server::Server;

impl Server {
    /// GET and DELETE of the session `id`. Of the caller everything is checked.
    pub(super) async fn in_our_session(
        self: Arc<Self>,
        (caller, presented): (Caller, Option<Presented>),
        (method, id): (Method, &str),
    ) -> Result<Response<Body>, Unrecorded> {
        if method == Method::DELETE {
            let ended = era::end_session(&self, id);
            return self.door.end(&caller, "none", ended).await;
        }
        let place = match self.door.within_stream_limits(&caller, ("none", None)).await? {
            Ok(place) => place,
            Err(refusal) => return Ok(refusal),
        };
        let mut exchange = Exchange::new(Arc::clone(&self), caller, "none", Kind::Stream(None));
        (exchange.place, exchange.presented) = (place, presented);
        let who = exchange.who();
        let opened = era::session_stream(&self, (&who, &exchange.caller), id).await;
        match opened {
            Ok(Ok(incoming)) => exchange.receive(incoming).await,
            Ok(Err(status)) => self.door.end(&exchange.caller, "none", guard::plain(status)).await,
            Err(fault) => exchange.failed(&fault).await,
        }
    }
}
