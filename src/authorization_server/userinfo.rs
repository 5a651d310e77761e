//! `/userinfo` (OIDC Core §5.3): who the person is, as far as they allowed it to be told.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::id::Subject;
use crate::scope::Scope;
use crate::store::UserRow;

use super::error::{OAuthError, json_headers};
use super::server::AuthorizationServer;

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
async fn userinfo(State(server): State<AuthorizationServer>, headers: HeaderMap) -> Response {
    let Some(unverified) = bearer(&headers) else { return challenge() };
    match answer(&server, unverified).await {
        Ok(body) => (StatusCode::OK, json_headers(), body).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(server: &AuthorizationServer, unverified: &str) -> Result<Vec<u8>, OAuthError> {
    const DEAD: OAuthError = OAuthError::InvalidToken("the access token is not valid here");
    let token = server.tokens.own.read(server, unverified).ok_or(DEAD)?;
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

/// The one bearer token of a request. `None` also for several: there is no saying which one is meant.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whoever sent no token is told how to send one, and no error (RFC 6750 §3.1).
fn challenge() -> Response {
    let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer scope=\"openid\""));
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (StatusCode::UNAUTHORIZED, [challenge, no_store]).into_response()
}
