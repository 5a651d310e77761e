//! `POST /introspect` (RFC 7662): what a token is, told to the resource server that it is for.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::audit::{AuditEvent, TokenName};
use crate::id::{ClientId, Issuer, Subject};
use crate::scope::Scope;
use crate::store::{ResourceRow, StoreError};

use super::api_key;
use super::client::Client;
use super::client_auth::REFUSED;
use super::confirmation::Confirmation;
use super::derived::Actor;
use super::error::{OAuthError, json_headers};
use super::form::{Form, MAX_FORM_BYTES};
use super::keys::SigningAlgorithm;
use super::own_token::OwnToken;
use super::posted::Posted;
use super::server::AuthorizationServer;
use super::signed_answer;
use super::trail::Trail;

/// Unknown, late, revoked, of another kind, for somebody else: the same bytes for all (RFC 7662 §2.2; N78, N79).
const INACTIVE: &[u8] = br#"{"active":false}"#;

/// `/introspect`; the caller adds state, and never CORS: no browser has a key (N112).
pub fn routes() -> Router<AuthorizationServer> {
    Router::new()
        .route("/introspect", post(introspect))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Who asks, and so what they may hear.
#[derive(Debug)]
enum Asker {
    /// Of tokens that are for it.
    Resource(Box<ResourceRow>),
    /// Of tokens that it was given.
    Client(Box<Client>),
}

/// RFC 7662 §2.2
#[derive(Serialize)]
struct Active<'a> {
    #[serde(rename = "active")]
    yes: bool,
    sub: &'a Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    client_id: &'a ClientId,
    scope: &'a Scope,
    aud: &'a str,
    iss: &'a Issuer,
    exp: i64,
    iat: i64,
    jti: &'a str,
    /// RFC 9470 §6.2: whether a step-up has happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    /// Who acts (RFC 8693 §4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Actor>,
    /// RFC 9449 §6.2, RFC 8705 §3.2
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<&'a Confirmation<String>>,
    token_type: &'static str,
}

/// Says what an access token of ours is, as a JWT to who asks for one (RFC 9701). Refresh tokens are nobody's business but the token endpoint's: inactive.
///
/// # Errors
///
/// - `401 invalid_client`: no API key of a resource server and no client that proved itself; public clients cannot (N77)
/// - `400 invalid_request`, `413`, `429`, `503`
async fn introspect(
    State(server): State<AuthorizationServer>,
    posted: Posted,
) -> Result<impl IntoResponse, OAuthError> {
    let mut trail = Trail::begin(&server, &posted.headers);
    let asker = match asker(&server, &posted).await {
        Ok(asker) => asker,
        Err(error) => return Err(trail.refused(&server, "/introspect", &posted, error).await),
    };
    if let Asker::Client(client) = &asker {
        trail.client(client);
    }
    let (body, event) = match answer(&server, &asker, &posted.form).await {
        Ok(answer) => answer,
        Err(error) => return Err(trail.refused(&server, "/introspect", &posted, error).await),
    };
    trail.record(&server, event).await?;
    if signed_answer::is_wanted(&posted.headers) {
        return signed_answer::sign(&server, asker.audience(&server), &body);
    }
    Ok((json_headers(), body))
}

/// What this asker hears of the token, and that it heard it.
async fn answer(
    server: &AuthorizationServer,
    asker: &Asker,
    form: &Form,
) -> Result<(Bytes, AuditEvent), OAuthError> {
    match asker {
        Asker::Resource(row) => server.tokens.pace.admit_question_of_server(&row.id)?,
        Asker::Client(client) => server.tokens.pace.admit_question_of_client(client)?,
    }
    let unverified = form.require("token", "token is missing")?;
    let token = server.tokens.own.read(server, unverified).filter(|token| asker.may_hear(token));
    let token = match token {
        Some(token) if asker.is_resource() || token.is_for_a_server(server).await? => Some(token),
        _ => None,
    };
    let body = match &token {
        Some(token) => active(server, token).await?,
        None => Bytes::from_static(INACTIVE),
    };
    let event = AuditEvent::TokenIntrospect {
        active: token.is_some(),
        token: token.map(|token| TokenName(Arc::from(token.jti.as_str()))),
        server: match asker {
            Asker::Resource(row) => Some(Arc::from(row.id.as_str())),
            Asker::Client(_) => None,
        },
    };
    Ok((body, event))
}

impl Asker {
    /// Nobody hears of tokens that are for others (RFC 7662 §4).
    fn may_hear(&self, token: &OwnToken) -> bool {
        match self {
            Self::Resource(row) => token.is_of(row),
            Self::Client(client) => *client.id() == token.client_id,
        }
    }

    /// What a signed answer names as who it is for, and how that is signed.
    fn audience(&self, server: &AuthorizationServer) -> (&str, SigningAlgorithm) {
        match self {
            Self::Resource(row) => (&row.uri, server.settings.signing_algorithm_for(&row.uri)),
            Self::Client(client) => (client.id().as_str(), server.settings.signing_algorithm),
        }
    }

    /// One whose row was just read: it is there.
    const fn is_resource(&self) -> bool {
        matches!(self, Self::Resource(_))
    }
}

/// An API key first: it looks like nothing else.
async fn asker(server: &AuthorizationServer, posted: &Posted) -> Result<Asker, OAuthError> {
    let guesses = &server.tokens.guesses;
    let attempt = key_prefix(&posted.headers);
    let attempt = attempt.map(|prefix| guesses.attempt(&prefix, posted.address));
    let waits = attempt.and_then(|attempt| guesses.check(attempt).err());
    match api_key::authenticate(server, &posted.headers).await {
        // Nobody guesses a key: the right one passes, whatever others send.
        Ok(Some(resource)) => return Ok(Asker::Resource(Box::new(resource))),
        Ok(None) => {}
        Err(error) => {
            if let (Some(attempt), OAuthError::InvalidClient(_)) = (attempt, &error) {
                if let Some(too_many) = waits {
                    return Err(too_many);
                }
                guesses.failed(attempt)?;
            }
            return Err(error);
        }
    }
    let client = posted.client(server).await?;
    if client.is_confidential() { Ok(Asker::Client(Box::new(client))) } else { Err(REFUSED) }
}

/// What a key is found by, however it was sent. Of a key that is garbage, as much as there is.
fn key_prefix(headers: &HeaderMap) -> Option<Vec<u8>> {
    const LENGTH: usize = "mak_".len() + 16;
    let sent = headers.get(header::AUTHORIZATION)?.as_bytes();
    let basic = sent.get(6..).and_then(|encoded| STANDARD.decode(encoded.trim_ascii()).ok());
    let text = Zeroizing::new(basic.unwrap_or_else(|| sent.to_vec()));
    let start = text.windows(4).position(|four| four == b"mak_")?;
    Some(text.iter().skip(start).take(LENGTH).copied().collect())
}

async fn active(server: &AuthorizationServer, token: &OwnToken) -> Result<Bytes, OAuthError> {
    let username = username(server, token).await?;
    let answer = Active {
        yes: true,
        sub: &token.sub,
        username: username.as_deref(),
        client_id: &token.client_id,
        scope: &token.scope,
        aud: &token.aud,
        iss: &token.iss,
        exp: token.exp,
        iat: token.iat,
        jti: &token.jti,
        auth_time: token.auth_time,
        acr: token.acr.as_deref(),
        act: token.act.as_ref(),
        cnf: token.cnf.as_ref(),
        token_type: token.cnf.as_ref().map_or("Bearer", Confirmation::token_type),
    };
    let written = serde_json::to_vec(&answer);
    written.map(Bytes::from).map_err(|_| OAuthError::Unavailable("the answer cannot be written"))
}

/// Of a person; a client that acts for itself has none. Names do not change, so they are remembered.
async fn username(
    server: &AuthorizationServer,
    token: &OwnToken,
) -> Result<Option<Arc<str>>, StoreError> {
    let (Some(_), Ok(id)) = (token.grant_id, token.sub.as_str().parse()) else { return Ok(None) };
    if let Some(known) = server.tokens.usernames.get(&id) {
        return Ok(Some(known));
    }
    let user = server.store.find_user(id).await?;
    let name: Option<Arc<str>> = user.map(|user| Arc::from(user.username));
    if let Some(name) = &name {
        server.tokens.usernames.insert(id, Arc::clone(name));
    }
    Ok(name)
}
