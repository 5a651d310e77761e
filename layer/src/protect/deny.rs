//! The answers to a caller who is known but may not (RFC 6750 §3.1, MCP Runtime Insufficient Scope Errors).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use url::Url;

use crate::resource_server::{Challenge, ChallengeError};
use crate::scope::Scope;

use super::message::{Message, NotAMessage};

/// Why a caller with a good token may not do this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Scopes are missing. A client may ask for them and try again (step-up).
    #[error("this needs the scope {needed}")]
    InsufficientScope {
        /// All that is needed, whether the caller has some of it or not.
        needed: Scope,
    },
    /// No rule names the tool, so to callers it does not exist.
    #[error("unknown tool")]
    UnknownTool,
}

/// Writes the answers, with the challenge that leads to this resource's metadata.
#[derive(Clone, Debug)]
pub(super) struct Denials(Arc<Challenge>);

const INVALID_REQUEST: i32 = -32600;
const INVALID_PARAMS: i32 = -32602;

impl Denials {
    pub(super) fn new(metadata_url: &Url) -> Self {
        Self(Arc::new(Challenge::new(metadata_url)))
    }

    /// `403` for a request that is no MCP message: an OAuth error in JSON (RFC 6750 §3.1).
    pub(super) fn plain<B: From<Bytes>>(&self, denied: &Denied) -> Response<B> {
        let description = denied.to_string();
        let error = match denied {
            Denied::InsufficientScope { .. } => ChallengeError::InsufficientScope.as_str(),
            Denied::UnknownTool => "access_denied",
        };
        let body = json!({ "error": error, "error_description": description });
        let mut response = answer(StatusCode::FORBIDDEN, &body);
        self.challenge(&mut response, denied);
        response
    }

    /// For an MCP message: `403` with a challenge, or the JSON-RPC error of a tool that does not exist.
    pub(super) fn message<B: From<Bytes>>(
        &self,
        denied: &Denied,
        message: &Message,
    ) -> Response<B> {
        let (status, code, text) = match denied {
            Denied::InsufficientScope { .. } => {
                let text = format!("insufficient_scope: {denied}");
                (StatusCode::FORBIDDEN, INVALID_REQUEST, text)
            }
            Denied::UnknownTool => {
                let tool = message.tool().unwrap_or_default();
                (StatusCode::OK, INVALID_PARAMS, format!("Unknown tool: {tool}"))
            }
        };
        let error = json!({ "code": code, "message": text });
        let body = json!({ "jsonrpc": "2.0", "id": message.id(), "error": error });
        let mut response = answer(status, &body);
        self.challenge(&mut response, denied);
        response
    }

    fn challenge<B>(&self, response: &mut Response<B>, denied: &Denied) {
        if let Denied::InsufficientScope { needed } = denied {
            let challenge = Challenge::clone(&self.0)
                .error(ChallengeError::InsufficientScope)
                .scope(needed)
                .description(&denied.to_string());
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge.to_header_value());
        }
    }
}

/// For a body that is no single message.
pub(super) fn unreadable<B: From<Bytes>>(status: StatusCode, why: NotAMessage) -> Response<B> {
    let error = json!({ "code": why.code(), "message": why.to_string() });
    answer(status, &json!({ "jsonrpc": "2.0", "id": null, "error": error }))
}

/// `503`: nothing put a principal into the request, which is a mistake of ours and must not open the door.
pub(super) fn not_authenticated<B: From<Bytes>>() -> Response<B> {
    tracing::error!("protect.request_without_principal: put the token layer outside this one");
    answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "temporarily_unavailable" }))
}

fn answer<B: From<Bytes>>(status: StatusCode, body: &serde_json::Value) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
