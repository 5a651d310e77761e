//! `POST /par` (RFC 9126): a client sends its authorization request itself, and the browser carries a reference to it.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use crate::audit::AuditEvent;
use crate::authorization_server::client::Client;
use crate::authorization_server::dpop::BESIDE_A_CERTIFICATE;
use crate::authorization_server::error::{OAuthError, json_headers};
use crate::authorization_server::form::MAX_FORM_BYTES;
use crate::authorization_server::mark::Marked;
use crate::authorization_server::pages::Fault;
use crate::authorization_server::posted::Posted;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::trail::Trail;
use crate::resource_server::ProofChecker;
use crate::store::{AuthorizationRequestRow, Digest};

use super::pending::Pending;
use super::reference;
use super::request::{Rejected, validate_of};

pub(in crate::authorization_server) const PATH: &str = "/par";
/// From the push to the browser's coming.
const LIVES: Duration = Duration::from_secs(90);

/// `/par`; the caller adds state and CORS.
pub(in crate::authorization_server) fn routes() -> Router<AuthorizationServer> {
    Router::new().route(PATH, post(push)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Validates and keeps an authorization request of a client that is authenticated (RFC 9126 §2).
///
/// # Errors
///
/// - `400` with what `/authorize` would say to the client (§2.3); `invalid_request` also for a redirect URI that is not
///   the client's, and for a request that names another one (§2.1)
/// - `401 invalid_client`, `413`, `429`, `503`
async fn push(
    State(server): State<AuthorizationServer>,
    posted: Posted,
) -> Result<impl IntoResponse, OAuthError> {
    let mut trail = Trail::begin(&server, &posted.headers);
    let client = trail.admitted(&server, PATH, &posted).await?;
    let pending = match validated(&server, &client, &posted).await {
        Ok(pending) => pending,
        Err(error) => {
            return Err(trail.refused_authorization(&server, PATH, &posted, error).await);
        }
    };
    let expires_at = server.clock.now().plus(LIVES);
    let handle = server.marks.generate(Marked::PushedRequest, &*server.random, expires_at);
    let row = AuthorizationRequestRow {
        handle: Digest::of(&handle),
        client_id: pending.client_id.clone(),
        parameters: pending.written(),
        session: Some(reference::pushed()),
        expires_at,
    };
    server.store.add_authorization_request(&row).await?;
    let event = AuditEvent::AuthorizationStart {
        unverified_client_id: pending.client_id,
        resource: pending.resource,
        scopes: pending.scope,
    };
    trail.record(&server, event).await?;
    let request_uri = reference::of(&handle);
    let body = json!({ "request_uri": request_uri, "expires_in": LIVES.as_secs() });
    Ok((StatusCode::CREATED, json_headers(), Json(body)))
}

/// What is asked for, where it may be; nothing is written but a proof that came with it.
async fn validated(
    server: &AuthorizationServer,
    client: &Client,
    posted: &Posted,
) -> Result<Pending, OAuthError> {
    if posted.form.get("request_uri").is_some() {
        return Err(OAuthError::InvalidRequest("a pushed request has no request_uri"));
    }
    let mut pending = validate_of(server, client, &posted.form).await.map_err(told)?;
    // Found out at the token endpoint, it would be after somebody has consented.
    if client.requires_certificate() && ProofChecker::is_sent(&posted.headers) {
        return Err(BESIDE_A_CERTIFICATE);
    }
    server.admit_request_of(client, posted.address)?; // before anything is written
    bind(server, &posted.headers, &mut pending).await?;
    Ok(pending)
}

/// A proof that comes with the request says as much as `dpop_jkt`, and must not say something else (RFC 9449 §10.1).
async fn bind(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    pending: &mut Pending,
) -> Result<(), OAuthError> {
    let Some(proven) = server.proven_key(headers, PATH).await? else { return Ok(()) };
    if pending.dpop_jkt.as_deref().is_some_and(|jkt| *jkt != *proven.thumbprint) {
        return Err(OAuthError::InvalidDpopProof("dpop_jkt is another key than the proof's"));
    }
    pending.dpop_jkt = Some(proven.thumbprint.as_ref().to_owned());
    Ok(())
}

/// RFC 9126 §2.3. Whom a page would tell is the client itself here.
fn told(rejected: Rejected) -> OAuthError {
    match rejected {
        Rejected::Client { refused, .. } => {
            OAuthError::Extension { code: refused.code(), description: refused.description() }
        }
        Rejected::Page(Fault::Store(error)) => OAuthError::Store(error),
        Rejected::Page(Fault::WrongRedirect) => {
            OAuthError::InvalidRequest("redirect_uri is not one that the client has registered")
        }
        Rejected::Page(_) => OAuthError::InvalidRequest("the authorization request is not valid"),
    }
}
