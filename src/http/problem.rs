//! Error answers of endpoints that have no format of their own (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::base_path::BasePath;

/// A problem document. `detail` is for people and never quotes the request.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

pub(super) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// The same for whoever may be looking for the MCP endpoint.
pub(super) fn nothing_here(base: &BasePath) -> Response {
    let endpoint = base.before("/mcp");
    let detail = format!("there is nothing at this path; the MCP endpoint is {endpoint}");
    problem(StatusCode::NOT_FOUND, &detail)
}

pub(super) async fn method_not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}

/// RFC 6585 section 5.
pub(super) fn head_too_large() -> Response {
    problem(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the head of the request is larger than 64 KiB",
    )
}
