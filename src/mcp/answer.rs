//! What the guard answers in rmcp's place.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};

use crate::guard::{INVALID_REQUEST, Message, UNSUPPORTED_PROTOCOL_VERSION, error};

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
