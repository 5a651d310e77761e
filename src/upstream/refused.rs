//! What a caller is answered whose message goes no further.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};

use crate::broker::Failure;
use crate::guard::{self, Message};

use super::fault;
use super::headers;
use super::wanted::Wanted;

const HEADER_MISMATCH: i32 = -32020;
const METHOD_NOT_FOUND: i32 = -32601;
pub(super) const INVALID_PARAMS: i32 = -32602;
pub(super) const RESOURCE_NOT_FOUND: i32 = -32002;

/// What is refused before anything is decided.
pub(super) fn out_of_form(
    headers: &HeaderMap,
    message: &Message<'_>,
    wanted: &Wanted<'_>,
    in_session: bool,
) -> Option<Response<Body>> {
    let notification =
        message.method.as_deref().is_some_and(|method| method.starts_with("notifications/"));
    let id_fits = match message.id {
        Some(_) => !notification,
        None => notification,
    };
    let refuse = |text| Some(error(StatusCode::BAD_REQUEST, message, text));
    match wanted {
        _ if !id_fits => {
            refuse("a request has an id, a text or a whole number; a notification has none")
        }
        Wanted::Reply if !in_session => refuse("no request was sent to you"),
        Wanted::Malformed(what) => Some(not_there(message, INVALID_PARAMS, what)),
        _ if !headers::mirror_the_body(headers, message, wanted) => Some(mirrors_wrong(message)),
        _ => None,
    }
}

/// TR-24 to TR-27.
pub(super) fn mirrors_wrong(message: &Message<'_>) -> Response<Body> {
    guard::error(
        StatusCode::BAD_REQUEST,
        message.id,
        HEADER_MISMATCH,
        "Header mismatch: Mcp-Method, Mcp-Name and Mcp-Param-* must say what the body says",
        None,
    )
}

pub(super) fn error(status: StatusCode, message: &Message<'_>, text: &str) -> Response<Body> {
    guard::error(status, message.id, guard::INVALID_REQUEST, text, None)
}

/// TR-15: 404 to clients of 2026-07-28.
pub(super) fn unknown_method(message: &Message<'_>, modern: bool) -> Response<Body> {
    let status = if modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
    guard::error(status, message.id, METHOD_NOT_FOUND, "Method not found", None)
}

/// The same for what does not exist and for what policy hides (RS-28).
pub(super) fn not_there(message: &Message<'_>, code: i32, text: &str) -> Response<Body> {
    guard::error(StatusCode::OK, message.id, code, text, None)
}

pub(super) fn tool_refused(
    message: &Message<'_>,
    failure: &Failure,
    modern: bool,
) -> Response<Body> {
    match message.id {
        Some(id) => super::answer::json(StatusCode::OK, fault::tool_error(id, failure, modern)),
        None => guard::plain(StatusCode::BAD_REQUEST),
    }
}
