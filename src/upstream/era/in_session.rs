//! What an old client asks for in a session of the broker's, before a server of the new era: to be told of resources, of lists, and
//! of what the server logs (MCP 2025-11-25 resources, transports, utilities/logging).

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;

use crate::guard::{self, Thing};

use super::message::{Members, answer, raw};
use super::new_server::{is_ours, not_found};
use super::old_server::LEVELS;
use super::ours::Session;
use super::stream::{Stream, listen};
use super::{Asked, Way};
use crate::broker::Caller;
use crate::upstream::answer::json as json_response;
use crate::upstream::fault::Fault;
use crate::upstream::headers::SESSION;
use crate::upstream::incoming::Incoming;
use crate::upstream::refused::{INVALID_PARAMS, error, not_there};
use crate::upstream::server::Server;
use crate::upstream::who::Who;

/// The session of ours that a request names, where it is here.
fn session(server: &Server, named: Option<&HeaderValue>) -> Option<Result<Arc<Session>, ()>> {
    let id = named?.to_str().ok().filter(|id| is_ours(id))?;
    let now = guard::millis(server.door.clock.monotonic());
    Some(server.era.ours.of(id, now).ok_or(()))
}

/// From which severity on the client of a request wants to be told what the server logs.
pub(super) fn level(server: &Server, asked: &Asked<'_>) -> Option<&'static str> {
    session(server, asked.sent.get(SESSION))?.ok()?.level()
}

/// `logging/setLevel`, `resources/subscribe`, `resources/unsubscribe`.
pub(super) async fn way(
    server: &Arc<Server>,
    who: &Who,
    (asked, method, params): (&Asked<'_>, &str, &Members),
) -> Result<Way, Fault> {
    let message = asked.message;
    let session = match session(server, asked.sent.get(SESSION)) {
        Some(Ok(session)) => session,
        // LG-3: the client starts a new one.
        Some(Err(())) => {
            return Ok(Way::Here(error(StatusCode::NOT_FOUND, message, "no such session")));
        }
        None => return Ok(Way::Here(not_found(message))),
    };
    let done = |id: &RawValue| {
        Ok(Way::Here(json_response(StatusCode::OK, answer(id, "result", &raw(json!({}))))))
    };
    let refused = |text: &str| Ok(Way::Here(not_there(message, INVALID_PARAMS, text)));
    let Some(id) = message.id else { return Ok(Way::Here(not_found(message))) };
    if method == "logging/setLevel" {
        if !session.offers.logging {
            return Ok(Way::Here(not_found(message)));
        }
        let wanted = params.get::<String>("level").unwrap_or_default();
        let Some(level) = LEVELS.into_iter().find(|level| *level == wanted) else {
            return refused(
                "level is one of debug, info, notice, warning, error, critical, alert, emergency",
            );
        };
        session.wants(level);
        return done(id);
    }
    let Some(uri) = params.get::<String>("uri").filter(|_| session.offers.subscribe) else {
        return Ok(Way::Here(not_found(message)));
    };
    let _changing = session.changing.lock().await;
    if method == "resources/unsubscribe" {
        unsubscribe(server, who, (&session, uri.as_str())).await;
        return done(id);
    }
    if session.has(&uri) {
        return done(id);
    }
    if let Some(full) = server.era.ours.is_full(&session, &uri) {
        return refused(full);
    }
    if subscribe(server, who, (&session, uri.as_str())).await? {
        return done(id);
    }
    refused("the server tells of no changes of this resource")
}

/// Whether the server tells of it. It does by then.
async fn subscribe(
    server: &Arc<Server>,
    who: &Who,
    (session, uri): (&Arc<Session>, &str),
) -> Result<bool, Fault> {
    let mut wanted = session.filter();
    wanted.resource_subscriptions.push(uri.to_owned());
    let Some((honored, heard)) = listen(server, who, &wanted).await? else { return Ok(false) };
    if !honored.resource_subscriptions.iter().any(|honored| honored == uri) {
        return Ok(false);
    }
    session.add(uri);
    if let Some(stream) = session.stream() {
        stream.tells(heard, session, server);
    }
    Ok(true)
}

/// Its client is told no more of it in any case; the server is asked for less, as far as it can be.
async fn unsubscribe(server: &Arc<Server>, who: &Who, (session, uri): (&Arc<Session>, &str)) {
    if !session.remove(uri) {
        return;
    }
    let Some(stream) = session.stream() else { return };
    if let Ok(Some((_, heard))) = listen(server, who, &session.filter()).await {
        stream.tells(heard, session, server);
    }
}

/// What the client of a session listens on: its GET. A status says why there is nothing.
pub(in crate::upstream) async fn stream(
    server: &Arc<Server>,
    (who, caller): (&Who, &Caller),
    id: &str,
) -> Result<Result<Incoming, StatusCode>, Fault> {
    let now = guard::millis(server.door.clock.monotonic());
    let Some(session) = server.era.ours.of(id, now) else { return Ok(Err(StatusCode::NOT_FOUND)) };
    if !session.offers.tells() {
        return Ok(Err(StatusCode::METHOD_NOT_ALLOWED));
    }
    let _changing = session.changing.lock().await;
    {
        let deciding = server.decider.now();
        session.keep(|uri| deciding.about(caller, Thing::Resource(uri)).is_allow());
    }
    let Some((honored, heard)) = listen(server, who, &session.filter()).await? else {
        return Ok(Err(StatusCode::METHOD_NOT_ALLOWED));
    };
    // Who subscribes again to what the server tells no more of is told so.
    session.keep(|uri| honored.resource_subscriptions.contains(uri));
    let (stream, mut read) = Stream::new();
    read.is_for(&session, Arc::clone(&server.door.clock));
    stream.tells(heard, &session, server);
    session.listens_on(&stream);
    Ok(Ok(Incoming::from(read)))
}

/// DELETE.
pub(in crate::upstream) fn end(server: &Server, id: &str) -> Response<Body> {
    server.era.ours.end(id);
    guard::plain(StatusCode::OK)
}
