//! What a request of the new era must say of itself, where no server of its era checks it (MCP 2026-07-28 basic and Streamable HTTP).

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use crate::guard::{self, Message};

use super::message::{CAPABILITIES, META, Members, VERSION};
use super::{Asked, NEW};
use crate::upstream::headers;

const HEADER_MISMATCH: i32 = -32020;
const UNSUPPORTED_VERSION: i32 = -32022;
const INVALID_PARAMS: i32 = -32602;

/// The answer to a request that breaks the form (TR-12, TR-13, TR-23, TR-24). That its headers say what its body says was looked at before.
pub(super) fn wrong(asked: &Asked<'_>, params: &Members) -> Option<Response<Body>> {
    let meta = params.members(META);
    let refuse = |code, text: &str, data| {
        Some(guard::error(StatusCode::BAD_REQUEST, asked.message.id, code, text, data))
    };
    let (version, capabilities) = (meta.get::<String>(VERSION), meta.get::<Value>(CAPABILITIES));
    let (Some(version), Some(Value::Object(_))) = (version, capabilities) else {
        let text = format!("_meta needs {VERSION}, a text, and {CAPABILITIES}, an object");
        return refuse(INVALID_PARAMS, &text, None);
    };
    let said = asked.given.get(headers::VERSION);
    if said.is_none_or(|said| said.as_bytes() != version.as_bytes()) {
        return refuse(HEADER_MISMATCH, "MCP-Protocol-Version must say what _meta says", None);
    }
    if version != NEW {
        let data = json!({ "supported": super::detect::supported(), "requested": version });
        return refuse(UNSUPPORTED_VERSION, "Unsupported protocol version", Some(data));
    }
    if lacks_a_header(asked.given, asked.message) {
        return refuse(
            HEADER_MISMATCH,
            "Mcp-Method and, where a name is asked for, Mcp-Name are missing",
            None,
        );
    }
    None
}

fn lacks_a_header(given: &HeaderMap, message: &Message<'_>) -> bool {
    let named =
        matches!(message.method.as_deref(), Some("tools/call" | "prompts/get" | "resources/read"));
    !given.contains_key(headers::METHOD) || (named && !given.contains_key(headers::NAME))
}
