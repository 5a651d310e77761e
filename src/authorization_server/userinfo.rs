//! `/userinfo` (OIDC Core §5.3): who the person is, as far as they allowed it to be told.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Serialize;

use crate::audit::{AuditEvent, TokenFailure, TokenName};
use crate::id::{ClientAddress, Subject};
use crate::resource_server::ClientCertificate;
use crate::scope::Scope;
use crate::store::UserRow;

use super::confirmation::Confirmation;
use super::error::{OAuthError, json_headers};
use super::own_token::OwnToken;
use super::server::AuthorizationServer;
use super::trail::Trail;

/// `/userinfo`; the caller adds state and CORS.
pub(super) fn routes() -> Router<AuthorizationServer> {
    Router::new().route("/userinfo", get(userinfo).post(userinfo))
}

/// OIDC Core §5.1. Of groups and roles nothing: they are for resource servers, in the access token.
#[derive(Serialize)]
struct Claims<'a> {
    sub: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

/// Takes an access token of ours in the header alone (RFC 6750 §2.1), never in a form or the query (N58). The consent
/// for `openid` is what it is good for, so it may be for any resource.
///
/// # Errors
///
/// - `401` with a challenge: no token, or one that is not ours, late or revoked (RFC 6750 §3)
/// - `403 insufficient_scope`: without `openid`; `503`
async fn userinfo(
    State(server): State<AuthorizationServer>,
    (address, certificate): (
        Option<Extension<ClientAddress>>,
        Option<Extension<ClientCertificate>>,
    ),
    method: Method,
    headers: HeaderMap,
) -> Response {
    let address = address.map(|Extension(address)| address);
    let trail = Trail::begin(&server, &headers);
    let Some(unverified) = presented(&headers) else {
        let recorded = rejected(&server, &trail, address, TokenFailure::Missing).await;
        return recorded.map_or_else(IntoResponse::into_response, |()| challenge());
    };
    let Some(token) = server.tokens.own.read(&server, unverified) else {
        // Which of them it is not, the reader does not say.
        let recorded = rejected(&server, &trail, address, TokenFailure::Inactive).await;
        return recorded.err().unwrap_or(DEAD).into_response();
    };
    let certificate = certificate.as_ref().map(|Extension(certificate)| certificate);
    if let Err(error) = holds(&server, (&method, &headers, certificate), &token).await {
        let recorded = rejected(&server, &trail, address, unheld(&token)).await;
        return recorded.map_or_else(IntoResponse::into_response, |()| unproven(error));
    }
    match told(&server, trail, &token).await {
        Ok(body) => (StatusCode::OK, json_headers(), body).into_response(),
        Err(error) => error.into_response(),
    }
}

const DEAD: OAuthError = OAuthError::InvalidToken("the access token is not valid here");

/// Records the refusal of somebody who proved nothing.
async fn rejected(
    server: &AuthorizationServer,
    trail: &Trail,
    client_address: Option<ClientAddress>,
    reason: TokenFailure,
) -> Result<(), OAuthError> {
    let event =
        AuditEvent::TokenReject { reason, token: None, client_address, endpoint: "/userinfo" };
    let address = client_address.map(|ClientAddress(address)| address);
    trail.record_refusal(server, address, event).await?;
    Ok(())
}

/// The answer to who holds a token of ours, recorded.
async fn told(
    server: &AuthorizationServer,
    mut trail: Trail,
    token: &OwnToken,
) -> Result<Vec<u8>, OAuthError> {
    let answered = answer(server, token).await;
    trail.holder(&token.client_id, token.sub.clone());
    let error = answered.as_ref().err().map(OAuthError::code);
    let token = TokenName(Arc::from(token.jti.as_str()));
    let error = error.map(Cow::Borrowed);
    trail.record(server, AuditEvent::UserinfoAsk { token, error }).await?;
    answered
}

async fn answer(server: &AuthorizationServer, token: &OwnToken) -> Result<Vec<u8>, OAuthError> {
    if !has(&token.scope, "openid") {
        return Err(OAuthError::InsufficientScope("this needs the scope openid"));
    }
    let id = token.grant_id.and_then(|_| token.sub.as_str().parse().ok()).ok_or(DEAD)?;
    let user = server.store.find_user(id).await?;
    let user = user.filter(|user| user.disabled_at.is_none()).ok_or(DEAD)?;
    let written = serde_json::to_vec(&claims(&user, &token.scope));
    written.map_err(|_| OAuthError::Unavailable("the answer cannot be written"))
}

/// OIDC Core §5.4
fn claims<'a>(user: &'a UserRow, scope: &Scope) -> Claims<'a> {
    let profile = has(scope, "profile");
    Claims {
        sub: user.id.into(),
        preferred_username: profile.then_some(user.username.as_str()),
        name: user.display_name.as_deref().filter(|_| profile),
        email: user.email.as_deref().filter(|_| has(scope, "email")),
    }
}

fn has(scope: &Scope, wanted: &str) -> bool {
    scope.iter().any(|token| token.as_str() == wanted)
}

/// The one access token of a request. `None` also for several: there is no saying which one is meant.
fn presented(headers: &HeaderMap) -> Option<&str> {
    credentials(headers).map(|(_, token)| token)
}

/// Whether it came with the scheme `DPoP`, and the token.
fn credentials(headers: &HeaderMap) -> Option<(bool, &str)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let bound = scheme.eq_ignore_ascii_case("dpop");
    (bound || scheme.eq_ignore_ascii_case("bearer")).then(|| (bound, token.trim()))
}

/// A token that is bound to a key comes with the scheme `DPoP` and a proof (RFC 9449 §7.1), every other one as a bearer
/// token; one that is bound to a certificate on a connection with that very one (RFC 8705 §3).
async fn holds(
    server: &AuthorizationServer,
    (method, headers, certificate): (&Method, &HeaderMap, Option<&ClientCertificate>),
    token: &OwnToken,
) -> Result<(), OAuthError> {
    let (bound, text) = credentials(headers).ok_or(DEAD)?;
    match (&token.cnf, &server.dpop) {
        (None, _) if !bound => Ok(()),
        (Some(Confirmation::Certificate(thumbprint)), _) if !bound => {
            let same = certificate.is_some_and(|known| known.thumbprint() == thumbprint);
            if same { Ok(()) } else { Err(DEAD) }
        }
        (Some(Confirmation::Key(jkt)), Some(checker)) if bound => {
            let request = (method.as_str(), "/userinfo", Some((text, jkt.as_str())));
            server.check_proof(checker, headers, request).await.map(drop)
        }
        _ => Err(DEAD),
    }
}

/// Why it was not, in the log.
const fn unheld(token: &OwnToken) -> TokenFailure {
    match token.cnf {
        Some(Confirmation::Certificate(_)) => TokenFailure::WrongCertificate,
        Some(Confirmation::Key(_)) | None => TokenFailure::InvalidProof,
    }
}

/// RFC 9449 §9: a resource answers 401 where it wants a nonce.
fn unproven(error: OAuthError) -> Response {
    let challenge = match &error {
        OAuthError::UseDpopNonce(_) => "DPoP error=\"use_dpop_nonce\"",
        OAuthError::InvalidDpopProof(_) => "DPoP error=\"invalid_dpop_proof\"",
        _ => return error.into_response(),
    };
    let mut response = error.into_response();
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Whoever sent no token is told how to send one, and no error (RFC 6750 §3.1).
fn challenge() -> Response {
    let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer scope=\"openid\""));
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (StatusCode::UNAUTHORIZED, [challenge, no_store]).into_response()
}
