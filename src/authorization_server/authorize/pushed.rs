//! `POST /par` (RFC 9126): a client sends its authorization request itself, and the browser carries a reference to it.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use crate::audit::AuditEvent;
use crate::authorization_server::error::{OAuthError, json_headers};
use crate::authorization_server::form::{Form, MAX_FORM_BYTES};
use crate::authorization_server::pages::Fault;
use crate::authorization_server::posted::Posted;
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::trail::Trail;
use crate::store::{AuthorizationRequestRow, Digest};

use super::pending::Pending;
use super::request::{Rejected, find_client, validate_of};

pub(in crate::authorization_server) const PATH: &str = "/par";
/// RFC 9126 §2.2
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// From the push to the browser's coming.
const LIVES: Duration = Duration::from_secs(90);

/// `/par`; the caller adds state and CORS.
pub(in crate::authorization_server) fn routes() -> Router<AuthorizationServer> {
    Router::new().route(PATH, post(push)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// What stands in a pushed request's row where a waiting one has its browser session. No session has this digest: nobody
/// who holds the reference can use it as the handle of a page.
fn pushed() -> Digest {
    Digest::of("pushed authorization request")
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
    let client = trail.admitted(&server, &posted).await?;
    if posted.form.get("request_uri").is_some() {
        return Err(OAuthError::InvalidRequest("a pushed request has no request_uri"));
    }
    let mut pending = validate_of(&server, &client, &posted.form).await.map_err(told)?;
    server.admit_request_of(&client, posted.address)?; // before anything is written
    bind(&server, &posted.headers, &mut pending).await?;
    let handle = random_text(&*server.random);
    let row = AuthorizationRequestRow {
        handle: Digest::of(&handle),
        client_id: pending.client_id.clone(),
        parameters: pending.written(),
        session: Some(pushed()),
        expires_at: server.clock.now().plus(LIVES),
    };
    server.store.add_authorization_request(&row).await?;
    let event = AuditEvent::AuthorizationStart {
        unverified_client_id: pending.client_id,
        resource: pending.resource,
        scopes: pending.scope,
    };
    trail.record(&server, event).await?;
    let request_uri = format!("{PREFIX}{}", handle.as_str());
    let body = json!({ "request_uri": request_uri, "expires_in": LIVES.as_secs() });
    Ok((StatusCode::CREATED, json_headers(), Json(body)))
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

/// What names a pushed request in its reference. `None` for what is no reference of ours: nothing is ever fetched (N20).
pub(super) fn handle(uri: &str) -> Option<&str> {
    uri.strip_prefix(PREFIX)
}

/// The pushed request that `/authorize` is given a reference to, once (RFC 9126 §4). Whatever else that request says does
/// not count, but for who the client is.
///
/// # Errors
///
/// [`Fault::NoRequest`] on a page: unknown, late, used before, or another client's (N21)
pub(super) async fn take(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    (form, handle): (&Form, &str),
) -> Result<Pending, Rejected> {
    const NONE: Rejected = Rejected::Page(Fault::NoRequest);
    if form.is_repeated("request_uri") {
        return Err(Fault::MalformedRequest("request_uri is there more than once").into());
    }
    let client = find_client(server, address, form).await?;
    let handle = Digest::of(handle);
    let now = server.clock.now();
    let waiting = server.store.find_authorization_request(&handle, now).await;
    let waiting = waiting.map_err(Fault::Store)?;
    let is_its_own = |row: &AuthorizationRequestRow| {
        row.session == Some(pushed()) && row.client_id == *client.id()
    };
    if !waiting.as_ref().is_some_and(is_its_own) {
        return Err(NONE);
    }
    let taken = server.store.take_authorization_request(&handle, now).await;
    let row = taken.map_err(Fault::Store)?.ok_or(NONE)?;
    let mut pending = Pending::read(&row.parameters).map_err(Fault::Store)?;
    // A login since it was pushed is none since the browser came.
    pending.requested_at = now.unix_seconds();
    Ok(pending)
}
