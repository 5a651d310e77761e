//! `POST /device_authorization` (RFC 8628 §3.1): a device asks for a code to show.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use crate::audit::AuditEvent;
use crate::authorization_server::authorize::asked_scope;
use crate::authorization_server::client::Client;
use crate::authorization_server::error::{OAuthError, json_headers};
use crate::authorization_server::form::MAX_FORM_BYTES;
use crate::authorization_server::posted::Posted;
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::target;
use crate::authorization_server::token::DEVICE_CODE;
use crate::authorization_server::trail::Trail;
use crate::store::{DeviceRequestRow, Digest};

use super::question::Asked;
use super::user_code::UserCode;

pub(in crate::authorization_server) const PATH: &str = "/device_authorization";
/// How long a person has to come and answer.
const LIVES: Duration = Duration::from_mins(10);
/// Between two polls, until the device comes too early (RFC 8628 §3.2).
const WAIT: Duration = Duration::from_secs(5);
/// Of so many codes that are new each is taken with a chance of one in millions.
const ATTEMPTS: u32 = 4;

/// `/device_authorization`; the caller adds state and CORS.
pub(in crate::authorization_server) fn routes() -> Router<AuthorizationServer> {
    Router::new().route(PATH, post(begin)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Gives a device code and a user code (RFC 8628 §3.2); no `verification_uri_complete` (N84).
///
/// # Errors
///
/// - `400 unauthorized_client`: the settings do not let this client use the grant
/// - `400 invalid_request`, `invalid_scope`, `invalid_target`; `401 invalid_client`, `413`, `429`, `503`
async fn begin(
    State(server): State<AuthorizationServer>,
    posted: Posted,
) -> Result<impl IntoResponse, OAuthError> {
    let mut trail = Trail::begin(&server, &posted.headers);
    let client = trail.admitted(&server, PATH, &posted).await?;
    let asked = match asked(&server, &client, &posted).await {
        Ok(asked) => asked,
        Err(error) => {
            return Err(trail.refused_authorization(&server, PATH, &posted, error).await);
        }
    };
    server.admit_request_of(&client, posted.address)?;
    let device_code = random_text(&*server.random);
    let user_code = store(&server, &client, (&device_code, &asked)).await?;
    let event = AuditEvent::AuthorizationStart {
        unverified_client_id: client.id().clone(),
        resource: asked.resource,
        scopes: asked.scope,
    };
    trail.record(&server, event).await?;
    let body = json!({
        "device_code": device_code.as_str(),
        "user_code": user_code.shown(),
        "verification_uri": server.url("/device"),
        "expires_in": LIVES.as_secs(),
        "interval": WAIT.as_secs(),
    });
    Ok((json_headers(), Json(body)))
}

/// What `/authorize` would read from the same parameters.
async fn asked(
    server: &AuthorizationServer,
    client: &Client,
    posted: &Posted,
) -> Result<Asked, OAuthError> {
    if !client.allows_grant(DEVICE_CODE) {
        let refused = "the client is not registered for device_code";
        return Err(OAuthError::UnauthorizedClient(refused));
    }
    let form = &posted.form;
    let resource = match target::requested(server, form).await? {
        Some(resource) => resource,
        None => target::default(server)
            .ok_or(OAuthError::InvalidTarget("resource is missing"))?
            .to_owned(),
    };
    let carries = target::carries(server, &resource).await?;
    let scope = asked_scope(carries.defaults(server), form).map_err(OAuthError::InvalidScope)?;
    Ok(Asked {
        scope,
        resource,
        limit: client.scope().cloned(),
        refresh: client.allows_grant("refresh_token"),
        address: posted.address,
        at: server.clock.now().unix_seconds(),
    })
}

async fn store(
    server: &AuthorizationServer,
    client: &Client,
    (device_code, asked): (&str, &Asked),
) -> Result<UserCode, OAuthError> {
    for _ in 0..ATTEMPTS {
        let user_code = UserCode::generate(&*server.random);
        let row = DeviceRequestRow {
            device_code: Digest::of(device_code),
            user_code: server.user_codes.digest(&user_code),
            client_id: client.id().clone(),
            parameters: asked.written(),
            wait: WAIT,
            expires_at: server.clock.now().plus(LIVES),
        };
        if server.store.add_device_request(&row).await? {
            return Ok(user_code);
        }
    }
    Err(OAuthError::Unavailable("no code is free now"))
}
