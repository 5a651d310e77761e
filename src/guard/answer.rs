//! What the guard answers itself, and how it names what was asked.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};

use super::jsonrpc;

/// The method as the audit log names it: one of a closed set, never a caller's text.
pub fn method_name(method: Option<&str>) -> &'static str {
    const KNOWN: [&str; 19] = [
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tools/call",
        "tools/list",
    ];
    KNOWN.iter().find(|known| Some(**known) == method).copied().unwrap_or("other")
}

/// A status and nothing else, for what is no JSON-RPC exchange.
pub fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What a caller gets when its request cannot be recorded.
pub fn unavailable() -> Response<Body> {
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
