//! `POST /token`: the request is read, its client authenticated, its grant found; the answer is recorded, then given.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use axum::routing::post;

use crate::audit::{AuditEvent, GrantType};
use crate::authorization_server::client::Client;
use crate::authorization_server::confirmation::certificate_as_text;
use crate::authorization_server::dpop::BESIDE_A_CERTIFICATE;
use crate::authorization_server::error::{OAuthError, json_headers};
use crate::authorization_server::form::MAX_FORM_BYTES;
use crate::authorization_server::posted::Posted;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::trail::{Kept, Trail};
use crate::resource_server::ProofChecker;
use crate::store::CodeRedemption;

use super::exchange::{Exchange, Granted, Refused};
use super::jwt_bearer::{self, Once};
use super::{authorization_code, client_credentials, device_code, refresh_token, token_exchange};

/// `/token`; the caller adds state and CORS.
pub(in crate::authorization_server) fn routes() -> Router<AuthorizationServer> {
    Router::new().route("/token", post(token)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Exchanges a grant for tokens (RFC 6749 §3.2).
///
/// # Errors
///
/// - `400 invalid_request` (RFC 6749 §5.2): no form, a parameter that is missing or comes twice, two methods of client
///   authentication (N38 to N40)
/// - `400 unauthorized_client` where tokens of the client are bound to a certificate and the connection has none (RFC 8705 §3)
/// - `400 invalid_dpop_proof`, `use_dpop_nonce` with `DPoP-Nonce` (RFC 9449 §5, §8; N88)
/// - `401 invalid_client` with a challenge (N42, N43); `400 unsupported_grant_type` (N53); `413`
/// - `429` with `Retry-After` for who guesses, and for a client that asks too often; `503` while store, audit log or the client's host do not answer: never
///   `invalid_grant`, which would cost the client its tokens
/// - what the grant says
async fn token(
    State(server): State<AuthorizationServer>,
    posted: Posted,
) -> Result<impl IntoResponse, OAuthError> {
    let mut trail = Trail::begin(&server, &posted.headers);
    let (client, workload) = asker(&server, &posted).await;
    if let Ok(client) = &client {
        trail.client(client);
        server.tokens.pace.admit_token(client, posted.address)?;
    }
    let (grant_type, outcome) = match client {
        Ok(client) => exchange(&server, (&client, workload.as_ref()), &posted).await,
        Err(error) => (None, Err(error.into())),
    };
    match outcome {
        Ok(Granted { body, subject, event, used_up }) => {
            trail.person(subject);
            if let Err(error) = trail.record(&server, event).await {
                give_back(&server, used_up).await;
                return Err(error.into());
            }
            Ok((json_headers(), body.into_bytes()))
        }
        Err(Refused { error, reused: Some((what, grant_id)) }) => {
            trail.record(&server, AuditEvent::TokenReuse { what, grant_id }).await?;
            Err(trail.told(&server, Kept::InALine, error))
        }
        Err(Refused { error, reused: None }) => {
            Err(trail.refused_grant(&server, ("/token", grant_type), &posted, error).await)
        }
    }
}

/// The client, by its own credentials or by the assertion of its platform, which is to be used up then.
async fn asker(
    server: &AuthorizationServer,
    posted: &Posted,
) -> (Result<Client, OAuthError>, Option<Once>) {
    match jwt_bearer::asks_as_workload(server, posted) {
        None => (posted.client(server).await, None),
        Some(assertion) => match jwt_bearer::find_workload(server, assertion).await {
            Ok((client, once)) => (Ok(client), Some(once)),
            Err(error) => (Err(error), None),
        },
    }
}

/// A code whose tokens nobody gets is as good as new: a client that tries again has not stolen it.
async fn give_back(server: &AuthorizationServer, used_up: Option<CodeRedemption>) {
    let Some(used_up) = used_up else { return };
    // Where this fails, too, the next attempt is a replay and ends the grant: the safe side.
    if let Err(error) = server.store.return_code(&used_up).await {
        tracing::error!(error = &error as &dyn std::error::Error, "token.code_not_given_back");
    }
}

/// A row for each grant.
async fn exchange(
    server: &AuthorizationServer,
    (client, workload): (&Client, Option<&Once>),
    posted: &Posted,
) -> (Option<GrantType>, Result<Granted, Refused>) {
    // Before a proof is remembered, which writes to the store.
    let grant_type = match grant_type(server, posted) {
        Ok(grant_type) => grant_type,
        Err(error) => return (None, Err(error.into())),
    };
    let key = match proven_key(server, client, posted).await {
        Ok(key) => key,
        Err(error) => return (None, Err(error.into())),
    };
    let asked = Exchange { server, client, form: &posted.form, key: key.as_deref(), workload };
    let outcome = match grant_type {
        GrantType::AuthorizationCode => authorization_code::exchange(&asked).await,
        GrantType::RefreshToken => refresh_token::exchange(&asked).await,
        GrantType::ClientCredentials => client_credentials::exchange(&asked).await,
        GrantType::DeviceCode => device_code::exchange(&asked).await,
        GrantType::TokenExchange => token_exchange::exchange(&asked).await,
        GrantType::JwtBearer => jwt_bearer::exchange(&asked).await,
    };
    (Some(grant_type), outcome)
}

/// What is asked for, where this server gives it to anybody.
fn grant_type(server: &AuthorizationServer, posted: &Posted) -> Result<GrantType, OAuthError> {
    match posted.form.require("grant_type", "grant_type is missing")? {
        "authorization_code" => Ok(GrantType::AuthorizationCode),
        "refresh_token" => Ok(GrantType::RefreshToken),
        "client_credentials" => Ok(GrantType::ClientCredentials),
        device_code::NAME if server.settings.has_devices() => Ok(GrantType::DeviceCode),
        token_exchange::NAME if server.settings.exchanges_tokens() => Ok(GrantType::TokenExchange),
        jwt_bearer::NAME if server.settings.takes_assertions() => Ok(GrantType::JwtBearer),
        _ => Err(OAuthError::UnsupportedGrantType),
    }
}

/// The key that the client holds, where it proves one (RFC 9449 §5), or its certificate, where its tokens are bound to that
/// (RFC 8705 §3): in one text.
async fn proven_key(
    server: &AuthorizationServer,
    client: &Client,
    posted: &Posted,
) -> Result<Option<Arc<str>>, OAuthError> {
    if client.requires_certificate() {
        return certificate(client, posted).map(Some);
    }
    let proven = server.proven_key(&posted.headers, "/token").await?;
    if proven.is_none() && client.requires_dpop() {
        return Err(OAuthError::InvalidDpopProof("tokens of this client must be bound to a key"));
    }
    Ok(proven.map(|proven| proven.thumbprint))
}

/// A client that has left its certificate at home keeps its refresh token: the answer is none on which it would throw that
/// away. A proof beside the certificate is refused: the client would hold a token that is bound to something else than it thinks.
fn certificate(client: &Client, posted: &Posted) -> Result<Arc<str>, OAuthError> {
    if ProofChecker::is_sent(&posted.headers) || client.requires_dpop() {
        return Err(BESIDE_A_CERTIFICATE);
    }
    let certificate = posted.certificate.as_ref().ok_or(OAuthError::UnauthorizedClient(
        "tokens of this client are bound to a certificate, and this connection has none",
    ))?;
    Ok(certificate_as_text(certificate.thumbprint()).into())
}
