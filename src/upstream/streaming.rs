//! A stream of a server, handed on event by event as it comes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::stream;

use crate::audit::ResultStatus;
use crate::broker::Failure;
use crate::code::Code;
use crate::guard::Thing;

use super::answer::{Exchange, Kind};
use super::era::{Parked, Question};
use super::events::{Events, KEEP_ALIVE, event};
use super::fault::{Fault, error_message};
use super::incoming::Incoming;
use super::reader::{Of, Read};
use super::seen::refusal;
use super::session::who_takes_room;

/// The longest that one call may take, however much is heard of it.
const LONGEST_CALL: Duration = Duration::from_mins(10);

/// How often it is looked whether what stays open still may, and whether its client was told anything lately.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// After so long without anything for its client a stream says that it lives: what stands between cuts a silent one, and a
/// client that has gone without a word is noticed by what it does not take.
const QUIET: Duration = Duration::from_secs(15);

/// A stream of the server that is being handed on.
struct Streaming {
    exchange: Exchange,
    incoming: Incoming,
    events: Events,
    /// Monotonic.
    started: Duration,
    /// When it was last asked whether it may stay open; monotonic.
    asked: Duration,
    /// When its client was last sent anything; monotonic.
    sent: Duration,
    /// For how long the server has said nothing.
    silent: Duration,
    /// What comes before everything that the server says.
    first: Option<Bytes>,
    over: bool,
}

impl Exchange {
    /// Hands on event after event.
    pub(super) fn stream(self, mut incoming: Incoming) -> Response<Body> {
        // They are slices of the connection's first buffer, which a stream would keep for as long as it lasts.
        incoming.headers = HeaderMap::new();
        let events = Events::new(self.server.max_response_bytes);
        let started = self.server.door.clock.monotonic();
        let state = Streaming {
            started,
            asked: started,
            sent: started,
            silent: Duration::ZERO,
            first: self.translation.as_ref().and_then(|translation| translation.first()),
            exchange: self,
            incoming,
            events,
            over: false,
        };
        let server = &state.exchange.server;
        let of = Of {
            clock: Arc::clone(&server.door.clock),
            server: server.id.clone(),
            request_id: state.exchange.caller.request_id(),
        };
        // By itself on the heap: an idle stream would hold it twice, once for itself and once for the future of what is next.
        let stream = stream::unfold(Box::new(state), |mut state| async move {
            let next = state.next().await?;
            state.sent = state.exchange.server.door.clock.monotonic();
            Some(((next, state.over), state))
        });
        let mut response = Response::new(Body::from_stream(Read::new(stream, of)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl Streaming {
    /// What the client gets next; `None` at the end.
    ///
    /// What is done with a message is on the heap while it is done: an idle stream waits here, by the thousand.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some(event(&first));
        }
        loop {
            let Some(limit) = self.limit() else { return Box::pin(self.expired()).await };
            if self.is_refused_by_now() {
                return None;
            }
            match self.events.next() {
                Ok(Some(data)) if data.is_empty() => return Some(KEEP_ALIVE),
                Ok(Some(data)) => match Box::pin(self.message(data)).await {
                    Some(bytes) => return Some(bytes),
                    None => continue,
                },
                Ok(None) => {}
                Err(_too_large) => return Box::pin(self.fail(Fault::TooLarge)).await,
            }
            if self.is_quiet() {
                return Some(KEEP_ALIVE);
            }
            let closing = self.exchange.server.closing.clone();
            let stays_open = self.stays_open();
            let translation = self.exchange.translation.as_mut();
            let aside = async {
                match translation {
                    Some(translation) => translation.asked_aside().await,
                    None => std::future::pending().await,
                }
            };
            let chunk = tokio::select! {
                chunk = self.incoming.chunk(limit) => chunk,
                question = aside => match Box::pin(self.message(question)).await {
                    Some(bytes) => return Some(bytes),
                    None => continue,
                },
                // A call is waited for; this stream has nobody's answer.
                () = closing.cancelled(), if stays_open => return None,
                () = tokio::time::sleep(ASK_AGAIN) => {
                    self.silent = self.silent.saturating_add(ASK_AGAIN);
                    continue;
                }
            };
            self.silent = Duration::ZERO;
            match chunk {
                Ok(Some(bytes)) => self.events.add(&bytes),
                // The client opens it again if it wants to.
                Ok(None) | Err(_) if self.stays_open() => return None,
                Ok(None) => return Box::pin(self.fail(Fault::NoAnswer)).await,
                Err(fault) => return Box::pin(self.fail(fault)).await,
            }
        }
    }

    async fn message(&mut self, data: Bytes) -> Option<Bytes> {
        let seen = match self.exchange.look(data).await {
            Ok(seen) => seen,
            // On a stream of its own the server answers nobody: what looks like an answer was not looked at before.
            Err(Fault::OtherId) if self.exchange.asked().is_none() => return None,
            Err(fault) => return self.fail(fault).await,
        };
        if let Some(question) = seen.asks {
            return self.ask(question).await;
        }
        self.over = seen.last;
        if let (Some(answer), Some(translation)) = (seen.answer, &self.exchange.translation) {
            translation.answer(answer).await;
        }
        let noticed = self.exchange.notice(seen.news).await;
        if noticed.is_err() || self.exchange.end_seen(&seen.said).await.is_err() {
            self.over = true;
            return Some(self.unrecorded());
        }
        seen.bytes.map(|bytes| event(&bytes))
    }

    /// The server asks its client in the middle of the call: the client is told what to bring, and the call waits for it.
    async fn ask(&mut self, question: Question) -> Option<Bytes> {
        let server = Arc::clone(&self.exchange.server);
        let exchange = &mut self.exchange;
        let caller = exchange.caller.principal().clone();
        let bytes = self.events.waiting().saturating_add(question.id().get().len());
        let Some(place) = server.waiting.calls().place(who_takes_room(&caller), bytes) else {
            let (server, request_id) = (&server.id, exchange.caller.request_id());
            tracing::warn!(%server, %request_id, "upstream.too_many_wait_for_input");
            if let Some(translation) = &exchange.translation {
                translation.answer(question.refused()).await;
            }
            return None;
        };
        self.over = true;
        let noticed = exchange.notice(Vec::new()).await;
        if noticed.is_err() || exchange.end(ResultStatus::Ok, None).await.is_err() {
            return Some(self.unrecorded());
        }
        let (id, translation) = (exchange.id.as_deref()?, exchange.translation.take()?);
        let state = server.sessions.bind_state(&server.id, &caller, place.name());
        let result = translation.asks(&question, &state);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.get());
        let incoming = self.incoming.set_aside(self.events.rest(), exchange.secret.take());
        let call = translation.call();
        translation.set_aside();
        let parked = Parked { incoming, translation, question: question.id().to_owned() };
        place.keep((parked, call), server.closing.clone());
        Some(event(answer.as_bytes()))
    }

    fn stays_open(&self) -> bool {
        matches!(self.exchange.kind, Kind::Stream(_))
    }

    /// How long to wait for the next bytes. `None`: no longer. The stream of a session lasts as long as its token.
    fn limit(&self) -> Option<Duration> {
        let server = &self.exchange.server;
        let limit = if self.stays_open() {
            let expires_at = self.exchange.caller.principal().expires_at();
            expires_at.since(server.door.clock.now())
        } else {
            let spent = server.door.clock.monotonic().saturating_sub(self.started);
            let silence = server.timeout.saturating_sub(self.silent);
            LONGEST_CALL.saturating_sub(spent).min(silence)
        };
        (!limit.is_zero()).then_some(limit)
    }

    /// Whether its client was sent nothing for long.
    fn is_quiet(&self) -> bool {
        let now = self.exchange.server.door.clock.monotonic();
        now.saturating_sub(self.sent) >= QUIET
    }

    /// Whether what stays open may no more: its token was revoked since, or policy allows one of its resources no more.
    fn is_refused_by_now(&mut self) -> bool {
        let (exchange, clock) = (&self.exchange, &self.exchange.server.door.clock);
        let now = clock.monotonic();
        if !self.stays_open() || now.saturating_sub(self.asked) < ASK_AGAIN {
            return false;
        }
        self.asked = now;
        let deciding = exchange.server.decider.now();
        let may = |uri: &String| {
            let said = deciding.about(&exchange.caller, Thing::Resource(uri));
            said.is_allow()
        };
        let revoked = exchange.server.revocations.is_revoked(exchange.caller.principal());
        revoked || !exchange.resources.iter().all(may)
    }

    async fn expired(&mut self) -> Option<Bytes> {
        if self.stays_open() {
            return None;
        }
        self.fail(Fault::NoReply).await
    }

    /// Ends the stream with an answer that says what is wrong.
    async fn fail(&mut self, fault: Fault) -> Option<Bytes> {
        self.over = true;
        let exchange = &mut self.exchange;
        let is_tool = matches!(exchange.kind, Kind::Tool(_));
        exchange.note(&fault);
        if exchange.end(ResultStatus::Error, Some(fault.code())).await.is_err() {
            return Some(self.unrecorded());
        }
        let id = exchange.id.as_deref()?;
        Some(event(&refusal(id, (&fault.failure(), is_tool), exchange.modern)))
    }

    fn unrecorded(&self) -> Bytes {
        let failure = Failure::new(
            Code::BrokerUnavailable,
            "the broker cannot record this request; retry later",
        );
        let id = self.exchange.id.as_deref();
        id.map(|id| event(&error_message(id, &failure))).unwrap_or_default()
    }
}
