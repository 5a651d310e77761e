//! What the guard answers in rmcp's place.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::guard::{
    INVALID_PARAMS, INVALID_REQUEST, Message, ToolCall, UNSUPPORTED_PROTOCOL_VERSION, error,
};

const MODERN: &str = "2026-07-28";

/// G11: rmcp answers an unknown version without `_meta` as plain text, which a modern client would
/// take for an old server.
pub(super) fn unknown_version(
    headers: &HeaderMap,
    message: &Message<'_>,
) -> Option<Response<Body>> {
    // Whoever is in front of us may have read the other one.
    if headers.get_all("mcp-protocol-version").iter().count() > 1 {
        let text = "the header MCP-Protocol-Version comes more than once";
        return Some(error(StatusCode::BAD_REQUEST, message.id, INVALID_REQUEST, text, None));
    }
    let requested = headers.get("mcp-protocol-version")?.to_str().ok()?;
    let known = rmcp::model::ProtocolVersion::KNOWN_VERSIONS;
    if known.iter().any(|version| version.as_str() == requested) || message.names_its_version() {
        return None;
    }
    let supported: Vec<&str> = known.iter().map(rmcp::model::ProtocolVersion::as_str).collect();
    let data = serde_json::json!({ "supported": supported, "requested": requested });
    Some(error(
        StatusCode::BAD_REQUEST,
        message.id,
        UNSUPPORTED_PROTOCOL_VERSION,
        "Unsupported protocol version",
        Some(data),
    ))
}

/// Parameters of a method of ours that are not of its shape: rmcp would say that there is no such method, and a client
/// would conclude that there are no tools (JSON-RPC 2.0 §5.1, RS-28). `call` is the message's, where it is one of a tool. Does *not* look at what the arguments of a tool say.
pub(super) fn malformed(
    headers: &HeaderMap,
    message: &Message<'_>,
    call: Option<&ToolCall<'_>>,
) -> Option<Response<Body>> {
    let id = message.id?;
    let modern = is_modern(headers);
    let text = match message.method.as_deref()? {
        "tools/call" if !call.is_some_and(takes_an_object) => {
            "params of tools/call need a name, and arguments are an object"
        }
        "tools/list" if message.has_params() && message.params::<List<'_>>().is_none() => {
            "params of tools/list are an object, and cursor is a text"
        }
        "initialize" if !modern && message.params::<Initialize<'_>>().is_none() => {
            "params of initialize need protocolVersion, capabilities and clientInfo with name and version"
        }
        _ => return None,
    };
    Some(error(StatusCode::OK, Some(id), INVALID_PARAMS, text, None))
}

/// Whether the client is of the era in which it listens by a request of its own.
pub(super) fn is_modern(headers: &HeaderMap) -> bool {
    headers.get("mcp-protocol-version").is_some_and(|version| version == MODERN)
}

fn takes_an_object(call: &ToolCall<'_>) -> bool {
    call.arguments.is_none_or(|arguments| arguments.get().starts_with('{'))
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, rename = "cursor")]
    _cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Initialize<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    _version: Cow<'a, str>,
    #[serde(rename = "capabilities")]
    _capabilities: Map<String, Value>,
    #[serde(borrow, rename = "clientInfo")]
    _client: ClientInfo<'a>,
}

#[derive(Deserialize)]
struct ClientInfo<'a> {
    #[serde(borrow, rename = "name")]
    _name: Cow<'a, str>,
    #[serde(borrow, rename = "version")]
    _version: Cow<'a, str>,
}

/// Whether rmcp would read the body: otherwise a 415 of it is about something else.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// `Accept: */*` is what many tools send by default, and it does accept what we answer.
pub(super) fn accept_anything(headers: &mut HeaderMap) {
    if headers.get(header::ACCEPT).is_some_and(|accepted| accepted == "*/*") {
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
    }
}

/// G5: what rmcp refuses in a line of text, as everything else is refused. A body of JSON that is no message is a bad
/// request, and no matter of its media type.
pub(super) fn in_json(
    refusal: Response<Body>,
    id: Option<&RawValue>,
    sent_json: bool,
) -> Response<Body> {
    let (status, text) = match refusal.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE if sent_json => (
            StatusCode::BAD_REQUEST,
            "the body is not one JSON-RPC message: jsonrpc is \"2.0\", params is an object",
        ),
        status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (status, "Content-Type must be application/json")
        }
        status @ StatusCode::NOT_ACCEPTABLE => {
            (status, "Accept must name both application/json and text/event-stream")
        }
        status @ StatusCode::METHOD_NOT_ALLOWED => (status, "messages are sent here by POST"),
        _ => return refusal,
    };
    let mut response = error(status, id, INVALID_REQUEST, text, None);
    if let Some(allowed) = refusal.headers().get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    response
}
