//! What the guard answers in rmcp's place.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};

use crate::guard::{Message, UNSUPPORTED_PROTOCOL_VERSION, error};

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
    Some(error(
        StatusCode::BAD_REQUEST,
        message.id,
        UNSUPPORTED_PROTOCOL_VERSION,
        "Unsupported protocol version",
        Some(data),
    ))
}
