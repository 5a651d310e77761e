//! What can go wrong with a server behind us, and what its caller is told: never an address, a header or its text.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use crate::broker::Failure;
use crate::code::Code;
use crate::guard;
use crate::outbound::OutboundError;

use super::stdio::ChildFault;
use crate::oauth_client::NoToken;

/// Why a server gave no answer that can be handed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the server does not answer")]
    Away(#[source] OutboundError),
    #[error("the server did not answer in time")]
    Slow(#[source] OutboundError),
    #[error("the server did not answer in time")]
    NoReply,
    #[error("the server does not complete the handshake of its protocol revision")]
    Handshake,
    #[error("the answer of the server is larger than the broker hands on")]
    TooLarge,
    #[error("the server does not accept the broker's credential")]
    Credential,
    #[error("the broker's credential for the server cannot be read")]
    NoCredential(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    NoToken(#[from] NoToken),
    #[error("the broker cannot tell the server who calls")]
    NoIdentity,
    #[error("the server wants fewer calls")]
    Busy(Option<Duration>),
    #[error("the server answered with status {0}")]
    Status(StatusCode),
    #[error("the server answered with a redirect, which is not followed")]
    Redirect,
    #[error("the answer of the server is neither JSON nor an event stream")]
    NotJson,
    #[error("the answer of the server is no JSON-RPC message")]
    NotAMessage,
    #[error("the server answered another request than the one it was asked")]
    OtherId,
    #[error("the server ended without an answer")]
    NoAnswer,
    #[error("the list of the server is none")]
    NotAList,
    #[error("the answer of the server repeats the broker's credential")]
    RepeatsCredential,
    /// Of a child process.
    #[error("{0}")]
    Child(ChildFault),
    #[error(
        "this call waits for its input at another process of the broker, or that one was restarted: make the call anew, without requestState"
    )]
    WaitsElsewhere,
    #[error(
        "this call waits no more: it has its input already, or it waited for too long; make the call anew, without requestState"
    )]
    WaitsNoMore,
    #[error("the server wants a page to be visited before this call, and nobody visited it")]
    NotVisited,
}

impl From<OutboundError> for Fault {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Timeout { .. } => Self::Slow(error),
            OutboundError::TooLarge { .. } => Self::TooLarge,
            OutboundError::Compressed { .. } => Self::NotJson,
            _ => Self::Away(error),
        }
    }
}

impl Fault {
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Away(_) => Code::ProviderUnavailable,
            Self::Slow(_) | Self::NoReply => Code::ProviderTimeout,
            Self::Busy(_) => Code::ProviderRateLimited,
            Self::Credential => Code::ProviderAuthFailed,
            Self::NoToken(error) => error.code(),
            Self::NoCredential(_) => Code::SecretUnavailable,
            Self::NoIdentity | Self::WaitsElsewhere => Code::BrokerUnavailable,
            Self::WaitsNoMore => Code::InvalidField,
            Self::NotVisited => Code::UnsupportedOperation,
            Self::Status(status) if status.as_u16() >= 500 => Code::ProviderUnavailable,
            Self::Child(fault) => fault.code(),
            _ => Code::ProviderBadResponse,
        }
    }

    /// Whether it says nothing of how others fare: the server was not asked, or did not take this caller's credential or
    /// another call of theirs.
    pub(super) fn is_the_callers(&self) -> bool {
        match self {
            Self::NoToken(_)
            | Self::Credential
            | Self::NoIdentity
            | Self::Busy(_)
            | Self::WaitsElsewhere
            | Self::WaitsNoMore
            | Self::NotVisited => true,
            Self::Child(fault) => fault.code() == Code::ProviderRateLimited,
            _ => false,
        }
    }

    /// What an operator can do about it; a caller is told nothing of this.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Away(error) | Self::Slow(error) => error.hint(),
            Self::NoReply | Self::NoAnswer => "look at the server's log, or raise its timeout_ms",
            Self::Handshake => "does its url speak MCP over Streamable HTTP? broker doctor asks it",
            Self::TooLarge => "raise its max_response_bytes, or ask for less",
            Self::Credential => {
                "look at its credential in [[upstream.server]], and whether it is still good"
            }
            Self::NoCredential(_) => "secret.read_failed says more",
            Self::NoToken(_) => {
                "look at its credential: what it asks its authorization server for, and as whom"
            }
            Self::NoIdentity => "identity_header wants signing keys: broker key list",
            Self::Busy(_) => "fewer calls: [limits]",
            Self::Status(_) | Self::Redirect | Self::NotJson => {
                "is url the MCP endpoint itself, its path and slash at the end included?"
            }
            Self::NotAMessage | Self::OtherId | Self::NotAList => {
                "the server does not keep to MCP: ask whoever runs it"
            }
            Self::RepeatsCredential => {
                "the server gives away what it is called with: do not use it"
            }
            Self::WaitsElsewhere => {
                "send all requests of one client to the same replica, by its address or its token"
            }
            Self::WaitsNoMore | Self::NotVisited => "none is needed: its client starts anew",
            Self::Child(_) => {
                "run its command by hand as the broker's user; upstream.child_ended says more"
            }
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Child(fault) => match fault.code() {
                Code::ProviderTimeout => StatusCode::GATEWAY_TIMEOUT,
                Code::ProviderRateLimited | Code::SecretUnavailable => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::BAD_GATEWAY,
            },
            Self::Slow(_) | Self::NoReply | Self::NoToken(NoToken::Slow) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Busy(_)
            | Self::NoCredential(_)
            | Self::NoToken(NoToken::NoSecret)
            | Self::NoIdentity
            | Self::WaitsElsewhere => StatusCode::SERVICE_UNAVAILABLE,
            Self::WaitsNoMore | Self::NotVisited => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// For a client whose person has to do something at the identity provider first, the claims challenge with which it
    /// asks for a new token (Microsoft identity platform, "Claims challenges").
    pub(super) fn challenge(&self, metadata_url: &Url) -> Option<HeaderValue> {
        let Self::NoToken(NoToken::Interaction(Some(claims))) = self else { return None };
        let claims = STANDARD.encode(claims.as_bytes());
        let text = format!(
            "Bearer error=\"insufficient_claims\", claims=\"{claims}\", resource_metadata=\"{metadata_url}\""
        );
        HeaderValue::try_from(text).ok()
    }

    pub(super) fn failure(&self) -> Failure {
        let wait = match self {
            Self::Busy(Some(wait)) => Some(guard::millis(*wait)),
            _ => None,
        };
        let page = match self {
            Self::NoToken(NoToken::NotConnected(page)) => Some(page.to_string()),
            _ => None,
        };
        Failure::new(self.code(), self.to_string())
            .with("retry_after_ms", wait)
            .with("connect_url", page)
    }

    /// For everything but a tool's call.
    pub(super) fn answer(&self, id: Option<&RawValue>) -> Response<Body> {
        let failure = self.failure();
        let message = format!("{}: {}", failure.code, failure.message);
        let data = serde_json::to_value(&failure).ok();
        let mut response = guard::error(self.status(), id, guard::INTERNAL_ERROR, &message, data);
        if let Self::Busy(Some(wait)) = self {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// The result of a tool that was not run, for programs and for clients that read text alone (RS-28).
pub(super) fn tool_error(id: &RawValue, failure: &Failure, modern: bool) -> Vec<u8> {
    let named = |name| failure.metadata.get(name).and_then(Value::as_str);
    let page = named("approval_url").or_else(|| named("connect_url"));
    let page = page.map(|page| format!(": {page}")).unwrap_or_default();
    let text = format!("{}: {}{page}", failure.code, failure.message);
    let mut result = json!({
        "content": [{ "type": "text", "text": text }],
        "structuredContent": { "error": failure },
        "isError": true,
    });
    if let (true, Some(members)) = (modern, result.as_object_mut()) {
        members.insert("resultType".to_owned(), json!("complete"));
    }
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.get()).into_bytes()
}

/// An error as a message of a stream.
pub(super) fn error_message(id: &RawValue, failure: &Failure) -> Vec<u8> {
    let message = format!("{}: {}", failure.code, failure.message);
    let error = json!({ "code": guard::INTERNAL_ERROR, "message": message, "data": failure });
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.get()).into_bytes()
}
