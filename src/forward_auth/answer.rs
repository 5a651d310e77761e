//! What a proxy is told.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::guard;
use crate::resource_server::{Challenge, ChallengeError, Principal};
use crate::scope::Scope;

use super::servers::{NotServed, Server};

/// `{"error":…,"error_description":…}`, for whoever reads the proxy's log. Nothing but `200` lets a request through.
pub(super) fn refusal(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    let body = serde_json::json!({ "error": error, "error_description": description });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn not_served(why: &NotServed) -> Response<Body> {
    match why {
        NotServed::Unknown => {
            refusal(StatusCode::NOT_FOUND, "not_found", "no such server is registered")
        }
        NotServed::Unavailable => guard::unavailable(),
    }
}

/// 403 that names the scopes that would let the caller through (RFC 6750 §3.1, MCP Runtime Insufficient Scope Errors).
pub(super) fn insufficient_scope(server: &Server, missing: &Scope) -> Response<Body> {
    let text = format!("this server needs the scope {missing}");
    let error = ChallengeError::InsufficientScope;
    let mut response = refusal(StatusCode::FORBIDDEN, error.as_str(), &text);
    let challenge =
        Challenge::new(&server.door.metadata_url).error(error).scope(missing).description(&text);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.to_header_value());
    response
}

/// 403 of policy: another token of this caller would change nothing, so it is asked for none.
pub(super) fn denied() -> Response<Body> {
    refusal(
        StatusCode::FORBIDDEN,
        "access_denied",
        "policy does not let this caller reach this server",
    )
}

/// What is not a visible ASCII character, or could be taken for an escape.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// 200 that says who calls. Each header is always there, if empty: a proxy that copies them then overwrites whatever the
/// client itself sent under that name.
pub(super) fn admitted(principal: &Principal) -> Response<Body> {
    let subject = principal.subject().map_or("", |subject| subject.as_str());
    let client = principal.client_id().map_or("", |client| client.as_str());
    let scope = principal.scopes().to_string();
    let mut response = Response::new(Body::empty());
    for (name, value) in
        [("x-auth-subject", subject), ("x-auth-client-id", client), ("x-auth-scope", &scope)]
    {
        let value = utf8_percent_encode(value, ESCAPED).to_string();
        let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
