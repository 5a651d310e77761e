//! What the broker itself asks a server: which era it is of, the handshake of the old one, the schemas of its tools.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::upstream::incoming::Incoming;

use super::NEW;
use super::message::{CAPABILITIES, CLIENT, META, Members, VERSION, header_text, request};
use crate::upstream::events::Events;
use crate::upstream::fault::Fault;
use crate::upstream::headers::{self, METHOD, NAME, SESSION};
use crate::upstream::reply::Reply;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

/// The longest that a question of the broker's own takes: a client waits for it.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// What a server said.
#[derive(Debug)]
pub(super) enum Answer {
    Result(Box<RawValue>),
    Error,
    /// A status that is no success, without a message.
    Status(StatusCode),
}

/// Sends a message; the head of the answer is looked at as far as it concerns the broker.
pub(super) async fn send(
    server: &Server,
    who: &Who,
    (method, headers, body): (Method, HeaderMap, Bytes),
) -> Result<Incoming, Fault> {
    let mut incoming = server.open(who, method, headers, body).await?;
    match incoming.status.as_u16() {
        401 | 403 => {
            let wanted = server.credential.wants_more(who.caller(), &incoming.headers).await;
            if let Some(wanted) = wanted {
                return Err(Fault::NoToken(wanted));
            }
            if let (StatusCode::UNAUTHORIZED, Some(shown)) =
                (incoming.status, incoming.shown.take())
            {
                server.credential.refused(who.caller(), &shown).await;
            }
            Err(Fault::Credential)
        }
        429 => Err(Fault::Busy(None)),
        300..=399 => Err(Fault::Redirect),
        500..=599 => Err(Fault::Status(incoming.status)),
        _ => Ok(incoming),
    }
}

/// Asks one question. What the server tells beside the answer is not for anybody.
pub(super) async fn ask(
    server: &Server,
    who: &Who,
    (headers, body, id): (HeaderMap, Bytes, &RawValue),
) -> Result<(Answer, Option<HeaderValue>), Fault> {
    let asking = async {
        let mut incoming = send(server, who, (Method::POST, headers, body)).await?;
        let session = incoming.headers.get(SESSION).cloned();
        let limits = (server.max_response_bytes, server.timeout);
        Ok((read(limits, &mut incoming, id).await?, session))
    };
    match tokio::time::timeout(LONGEST.min(server.timeout), asking).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Fault::NoReply),
    }
}

/// The answer to one question: of at most so many bytes, with silences of at most so long.
pub(super) async fn read(
    (most, limit): (usize, Duration),
    incoming: &mut Incoming,
    id: &RawValue,
) -> Result<Answer, Fault> {
    let content = incoming.headers.get(header::CONTENT_TYPE);
    let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content.starts_with("text/event-stream") && incoming.status == StatusCode::OK {
        let mut events = Events::new(most);
        loop {
            match events.next() {
                Ok(Some(data)) if data.is_empty() => continue,
                Ok(Some(data)) if repeats(incoming, &data) => return Err(Fault::RepeatsCredential),
                Ok(Some(data)) => match Reply::of(&data, Some(id))? {
                    Reply::Other => continue,
                    said => return Ok(Answer::of(&said)),
                },
                Ok(None) => {}
                Err(_too_large) => return Err(Fault::TooLarge),
            }
            match incoming.chunk(limit).await? {
                Some(bytes) => events.add(&bytes),
                None => return Err(Fault::NoAnswer),
            }
        }
    }
    let success = incoming.status.is_success();
    if !content.starts_with("application/json") {
        let status = incoming.status;
        return if success { Err(Fault::NotJson) } else { Ok(Answer::Status(status)) };
    }
    let body = incoming.rest(most, limit).await?;
    if repeats(incoming, &body) {
        return Err(Fault::RepeatsCredential);
    }
    match Reply::of(&body, Some(id)) {
        Ok(Reply::Other) => Err(Fault::NoAnswer),
        Ok(said) => Ok(Answer::of(&said)),
        Err(_) if !success => Ok(Answer::Status(incoming.status)),
        Err(fault) => Err(fault),
    }
}

/// What is said in a handshake is kept, and told to clients.
fn repeats(incoming: &Incoming, body: &[u8]) -> bool {
    incoming.secret.as_ref().is_some_and(|secret| secret.is_in(body))
}

impl Answer {
    fn of(said: &Reply<'_>) -> Self {
        match *said {
            Reply::Result(result) => Self::Result(result.to_owned()),
            Reply::Error(_) => Self::Error,
            Reply::Other => Self::Status(StatusCode::NO_CONTENT),
        }
    }
}

/// The id of the broker's own questions.
pub(super) fn own_id() -> Box<RawValue> {
    super::message::raw("broker")
}

/// The headers of a message in the old era.
pub(super) fn old_headers(
    version: Option<&HeaderValue>,
    session: Option<&HeaderValue>,
) -> HeaderMap {
    let mut sent = headers::to_server(&HeaderMap::new());
    if let Some(version) = version {
        sent.insert(headers::VERSION, version.clone());
    }
    if let Some(session) = session {
        sent.insert(SESSION, session.clone());
    }
    sent
}

/// A request in the new era: in its `_meta` who asks, and that nobody can be asked back (MCP 2026-07-28 basic, TR-12, TR-23, TR-24).
pub(super) fn new_request(
    id: &RawValue,
    (method, name): (&str, Option<&str>),
    mut params: Members,
) -> (HeaderMap, Bytes) {
    let mut meta = params.members(META);
    meta.set(VERSION, NEW);
    meta.set(CAPABILITIES, Members::default());
    meta.set(CLIENT, ourselves());
    params.set(META, meta);
    let mut sent = headers::to_server(&HeaderMap::new());
    sent.insert(headers::VERSION, HeaderValue::from_static(NEW));
    if let Ok(method) = HeaderValue::from_str(method) {
        sent.insert(METHOD, method);
    }
    if let Some(name) = name.and_then(header_text) {
        sent.insert(NAME, name);
    }
    (sent, request(Some(id), method, &params))
}

/// Who asks: the broker. Its callers are told about, where that is wished, in a signed header.
pub(super) fn ourselves() -> serde_json::Value {
    serde_json::json!({ "name": "mcp-auth-broker", "version": env!("CARGO_PKG_VERSION") })
}
