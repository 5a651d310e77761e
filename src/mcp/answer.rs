//! What the guard answers itself, and how it names what was asked.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};

use super::jsonrpc::{self, Message};

/// G11: rmcp answers an unknown version without `_meta` as plain text, which a modern client would
/// take for an old server.
pub(super) fn unknown_version(
    headers: &HeaderMap,
    message: &Message<'_>,
) -> Option<Response<Body>> {
    let requested = headers.get("mcp-protocol-version")?.to_str().ok()?;
    let known = rmcp::model::ProtocolVersion::KNOWN_VERSIONS;
    if known.iter().any(|version| version.as_str() == requested) || message.names_its_version() {
        return None;
    }
    let supported: Vec<&str> = known.iter().map(rmcp::model::ProtocolVersion::as_str).collect();
    let data = serde_json::json!({ "supported": supported, "requested": requested });
    Some(jsonrpc::error(
        StatusCode::BAD_REQUEST,
        message.id,
        jsonrpc::UNSUPPORTED_PROTOCOL_VERSION,
        "Unsupported protocol version",
        Some(data),
    ))
}

/// The method as the audit log names it: one of a closed set, never a caller's text.
pub(super) fn method_name(method: Option<&str>) -> &'static str {
    const KNOWN: [&str; 6] = [
        "initialize",
        "ping",
        "server/discover",
        "tools/call",
        "tools/list",
        "subscriptions/listen",
    ];
    KNOWN.iter().find(|known| Some(**known) == method).copied().unwrap_or("other")
}

/// A status and nothing else, for what is no JSON-RPC exchange.
pub(super) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What a network gets that was refused too often (RFC 6585 §4): no challenge, and no line in the audit log.
pub(super) fn too_many_refusals(wait: Duration) -> Response<Body> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS);
    let seconds = wait.as_secs().saturating_add(1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// What a caller gets when its request cannot be recorded.
pub(super) fn unavailable() -> Response<Body> {
    let message = "broker.unavailable: the broker cannot record this request; retry later";
    let mut response = jsonrpc::error(
        StatusCode::SERVICE_UNAVAILABLE,
        None,
        jsonrpc::INTERNAL_ERROR,
        message,
        None,
    );
    response.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
    response
}
