//! `POST /login/logout/{provider}`: an identity provider says that a log-in there is over (OIDC Back-Channel Logout §2.5).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::audit::{AuditEvent, LogoutFailure};
use crate::authorization_server::form::Form;
use crate::authorization_server::identity_provider::UpstreamError;
use crate::authorization_server::person::People;
use crate::id::{ClientAddress, RequestId};
use crate::resource_server::TokenError;
use crate::store::{LogOut, StoreError};

/// Ends the sessions that come from the log-in, and revokes what was allowed in them, before it answers.
///
/// Nothing is told of whom it was: the answer is the same whether or not anybody was logged in.
///
/// # Errors
///
/// - `400 invalid_request`: no such provider, or a token that is not acceptable, used before among them (§2.6)
/// - `503` with `Retry-After` where that cannot be known, or done, now: nothing is remembered of the token, unless the store
///   took it after the time that it has; then it is done, and the same token is refused as used
///
/// Once the store has it the answer is 200, also where the audit log cannot be written: then the log says what ended.
pub(crate) async fn log_out_elsewhere(
    State(people): State<People>,
    Path(provider): Path<String>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request_id = people.request_id();
    let outcome = log_out(&people, request_id, &provider, (&headers, &body)).await;
    let refused = match outcome {
        Ok(()) => return answer(StatusCode::OK, ""),
        Err(refused) => refused,
    };
    let address = address.map(|Extension(ClientAddress(address))| address);
    // Anybody may post here: neither log is theirs to fill.
    let admitted = people.server.auditor.admit_refusal(address);
    if admitted {
        let error: &dyn std::error::Error = &refused;
        tracing::warn!(request.id = %request_id, error, "logout.refused");
    }
    let Some(reason) = refused.reason() else { return away() };
    drop(refused);
    if admitted {
        let event = AuditEvent::LogoutRefuse { reason };
        if people.audit(request_id, None, None, event).await.is_err() {
            return away();
        }
    }
    answer(StatusCode::BAD_REQUEST, r#"{"error":"invalid_request"}"#)
}

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is no such identity provider")]
    NoProvider,
    #[error("the request is no form with one logout_token")]
    Form,
    #[error("the logout token is not acceptable")]
    Token(#[source] UpstreamError),
    #[error("the logout token was used before")]
    Replayed,
    #[error("the store did not answer")]
    Store(#[from] StoreError),
}

impl Refused {
    /// `None` where it is not known whether to refuse.
    const fn reason(&self) -> Option<LogoutFailure> {
        match self {
            Self::NoProvider => Some(LogoutFailure::UnknownProvider),
            Self::Replayed => Some(LogoutFailure::Replayed),
            Self::Token(
                UpstreamError::Unreachable(_)
                | UpstreamError::Discovery(_)
                | UpstreamError::Status { .. }
                | UpstreamError::Signature(TokenError::IssuerUnavailable),
            )
            | Self::Store(_) => None,
            Self::Form | Self::Token(_) => Some(LogoutFailure::NotAcceptable),
        }
    }
}

async fn log_out(
    people: &People,
    request_id: RequestId,
    provider: &str,
    (headers, body): (&HeaderMap, &[u8]),
) -> Result<(), Refused> {
    let provider = people.providers.find(provider).ok_or(Refused::NoProvider)?;
    let form = Form::parse(headers, body).map_err(|_| Refused::Form)?;
    let unverified = form.get("logout_token").ok_or(Refused::Form)?;
    let token = provider.logout_token(unverified).await.map_err(Refused::Token)?;
    let now = people.server.clock.now();
    let done = people.server.store.log_out(&LogOut::Elsewhere(token), now).await?;
    let done = done.ok_or(Refused::Replayed)?;
    people.server.logged_out.notify_one();
    let event = AuditEvent::LogOutElsewhere {
        provider: provider.id().into(),
        sessions: done.sessions,
        grants: done.grants,
    };
    if let Err(error) = people.audit(request_id, None, None, event).await {
        // It is done, and the token used up: sent again it would be refused, and nobody would look further.
        let error: &dyn std::error::Error = &error;
        let (provider, sessions, grants) = (provider.id(), done.sessions, done.grants);
        tracing::error!(request.id = %request_id, error, idp.id = provider, sessions, grants, "logout.unrecorded");
    }
    Ok(())
}

fn away() -> Response {
    let mut response =
        answer(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"temporarily_unavailable"}"#);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Never cached (§2.8).
fn answer(status: StatusCode, body: &'static str) -> Response {
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (status, [json, no_store], body).into_response()
}
