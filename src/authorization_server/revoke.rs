//! `POST /revoke` (RFC 7009): a client gives back what it was given.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use axum::routing::post;

use crate::audit::{AuditEvent, Revoked, TokenName};
use crate::id::GrantId;
use crate::store::{RevokeReason, RevokedToken};
use crate::time::Timestamp;

use super::client::Client;
use super::error::{OAuthError, json_headers};
use super::form::MAX_FORM_BYTES;
use super::posted::Posted;
use super::server::AuthorizationServer;
use super::token::{Holder, holder_of_refresh_token};
use super::trail::Trail;

/// `/revoke`; the caller adds state and CORS.
pub(super) fn routes() -> Router<AuthorizationServer> {
    Router::new().route("/revoke", post(revoke)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Ends a refresh token with its whole grant (RFC 7009 §2.1), or one access token alone: its client may go on.
///
/// `200` also for a token that is unknown or dead (§2.2): the client has what it asked for. `token_type_hint` is not
/// needed: the two look different.
///
/// # Errors
///
/// - `400 invalid_grant`: the token lives and is another client's; it stays alive (§2.1; N80)
/// - `401 invalid_client`; `400 invalid_request`; `413`; `429`; `503`, so that the client tries again (§2.2.1)
async fn revoke(
    State(server): State<AuthorizationServer>,
    posted: Posted,
) -> Result<impl IntoResponse, OAuthError> {
    let mut trail = Trail::begin(&server, &posted.headers);
    let client = trail.admitted(&server, "/revoke", &posted).await?;
    match ended(&server, &client, &posted).await {
        Ok(Some(event)) => trail.record(&server, event).await?,
        Ok(None) => {}
        // Whoever holds another client's live token may have stolen it.
        Err(error) => return Err(trail.refused(&server, "/revoke", &posted, error).await),
    }
    Ok((json_headers(), "{}"))
}

async fn ended(
    server: &AuthorizationServer,
    client: &Client,
    posted: &Posted,
) -> Result<Option<AuditEvent>, OAuthError> {
    let unverified = posted.form.require("token", "token is missing")?;
    if unverified.contains('.') {
        access_token(server, client, unverified).await
    } else {
        refresh_token(server, client, unverified).await
    }
}

const ANOTHERS: OAuthError =
    OAuthError::InvalidGrant("the token was issued to another client; it was not revoked");

async fn access_token(
    server: &AuthorizationServer,
    client: &Client,
    unverified: &str,
) -> Result<Option<AuditEvent>, OAuthError> {
    let Some(token) = server.tokens.own.read(server, unverified) else { return Ok(None) };
    if token.client_id != *client.id() {
        return Err(ANOTHERS);
    }
    let expires_at = Timestamp::from_unix_seconds(token.exp);
    let revoked = RevokedToken { jti: token.jti.clone(), expires_at };
    server.store.revoke_access_token(&revoked).await?;
    let name = TokenName(Arc::from(token.jti.as_str()));
    Ok(Some(event(Revoked::AccessToken, token.grant_id, Some(name))))
}

async fn refresh_token(
    server: &AuthorizationServer,
    client: &Client,
    unverified: &str,
) -> Result<Option<AuditEvent>, OAuthError> {
    let grant_id = match holder_of_refresh_token(server, client, unverified).await? {
        Holder::Own(grant_id) => grant_id,
        Holder::Other => return Err(ANOTHERS),
        Holder::Nobody => return Ok(None),
    };
    let now = server.clock.now();
    let ended = server.store.revoke_grant(grant_id, RevokeReason::Client, now).await?;
    Ok(ended.then(|| event(Revoked::Grant, Some(grant_id), None)))
}

const fn event(what: Revoked, grant_id: Option<GrantId>, token: Option<TokenName>) -> AuditEvent {
    AuditEvent::TokenRevoke { what, grant_id, token }
}
