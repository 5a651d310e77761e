//! A client of the new era, or one without a session, before an old server: the broker is the server's client, and keeps the session.

mod back;
mod request;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::value::RawValue;

use crate::guard::{self, Message};

use super::detect::supported;
use super::envelope;
use super::held::Opened;
use super::listen;
use super::message::{Members, answer};
use super::{Asked, Translation, Way, retry};
use crate::upstream::answer::json as json_response;
use crate::upstream::fault::Fault;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

pub(super) use back::{LEVELS, answer_to};
pub(in crate::upstream) use request::ToOld;

use back::finish;
use request::{askable, may_ask};

const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

pub(super) async fn way(server: &Arc<Server>, who: &Who, asked: &Asked<'_>) -> Result<Way, Fault> {
    let message = asked.message;
    let (Some(method), Some(id)) = (message.method.as_deref(), message.id) else {
        // Notifications of the new era are for streams that are not of HTTP.
        return Ok(Way::Here(guard::plain(StatusCode::ACCEPTED)));
    };
    let params = message.params::<&RawValue>().map(Members::of).unwrap_or_default();
    if asked.modern
        && let Some(refusal) = envelope::wrong(asked, &params)
    {
        return Ok(Way::Here(refusal));
    }
    match method {
        "server/discover" => {
            let askable = askable(server, &params);
            let (opened, _) = server.era.held.of(server, who, askable).await?;
            let result = discovered(&opened);
            Ok(Way::Here(json_response(StatusCode::OK, answer(id, "result", &result))))
        }
        "subscriptions/listen" => listen::way(server, who, (id, &params)).await,
        "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "tools/call"
        | "prompts/get"
        | "resources/read"
        | "completion/complete" => {
            if asked.modern
                && may_ask(method)
                && let Some(way) = retry::way(server, who, message, (method, &params)).await?
            {
                return Ok(way);
            }
            let mut sent = ToOld::begin(server, who, (method, &params), asked.modern).await?;
            let body = sent.written(method, params);
            let incoming = sent.send(asked.sent, body).await?;
            Ok(Way::Sent(Box::new(incoming), Box::new(Translation::Old(sent))))
        }
        _ => Ok(Way::Here(not_found(message))),
    }
}

/// TR-15.
fn not_found(message: &Message<'_>) -> Response<Body> {
    guard::error(StatusCode::NOT_FOUND, message.id, METHOD_NOT_FOUND, "Method not found", None)
}

/// What a server said in the handshake, as a `DiscoverResult` (TR-16).
fn discovered(opened: &Opened) -> Box<RawValue> {
    let said = &opened.said;
    let (offered, mut capabilities) = (said.members("capabilities"), Members::default());
    for name in ["tools", "prompts", "resources", "completions", "logging"] {
        if let Some(capability) = offered.raw(name) {
            capabilities.set(name, capability);
        }
    }
    let mut result = Members::default();
    result.set("supportedVersions", supported());
    result.set("capabilities", capabilities);
    if let Some(instructions) = said.raw("instructions") {
        result.set("instructions", instructions);
    }
    finish(&mut result, opened, true);
    result.text()
}
