//! `POST /register`

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::api_key::BearerSecret;
use crate::audit::{AuditEvent, Sent};
use crate::authorization_server::client::{AuthMethod, ClientMetadata};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::settings::Registration;
use crate::authorization_server::trail::Trail;
use crate::id::{ClientAddress, ClientId};
use crate::redirect_uri::{RedirectUri, without_port};
use crate::store::{ClientKind, ClientRow, Digest};
use crate::time::Timestamp;

use super::accept::{Accepted, Offer, accept};
use super::initial_access_token::Presented;
use super::manage;

/// Cursor's registration has under 1 KiB.
const MAX_BODY: usize = 16 * 1024;

/// `/register`; the caller adds state and CORS.
pub fn routes() -> Router<AuthorizationServer> {
    Router::new()
        .route("/register", post(register))
        .merge(manage::routes())
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// What a client is told (RFC 7591 §3.2.1, RFC 7592 §3): exactly what was registered, without a null.
#[derive(Serialize)]
pub(super) struct Registered {
    pub(super) client_id: ClientId,
    client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<Zeroizing<String>>,
    /// 0: it does not expire. Only beside a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
    #[serde(flatten)]
    managed: Option<Managed>,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

/// How a confidential client looks after its registration.
#[derive(Serialize)]
pub(super) struct Managed {
    registration_client_uri: String,
    registration_access_token: Zeroizing<String>,
}

/// Registers a client (RFC 7591 §3).
///
/// Does *not* verify anything that the client says about itself, and gives it no right to anything.
///
/// # Errors
///
/// - `403 access_denied`: registration is off
/// - `401 invalid_token`: it needs an initial access token, and none came that is good (§3)
/// - `413`, `429` with `Retry-After`
/// - `400 invalid_redirect_uri`, `400 invalid_client_metadata` (RFC 7591 §3.2.2)
async fn register(
    State(server): State<AuthorizationServer>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, OAuthError> {
    let address = address.map(|Extension(address)| address);
    let trail = Trail::begin(&server, &headers);
    let (registered, event) = match registered(&server, address, &headers, body).await {
        Ok((registered, method, token)) => {
            let event = AuditEvent::ClientRegister {
                registered_client_id: registered.client_id.clone(),
                token_endpoint_auth_method: method.as_str(),
                initial_access_token: token.map(|token| token.name()),
                client_address: address,
            };
            (Ok(registered), event)
        }
        // No refusal, but a fault of ours.
        Err(error @ (OAuthError::Store(_) | OAuthError::Audit(_))) => return Err(error),
        Err(refused) => {
            let event = AuditEvent::ClientRefuse {
                error: refused.code(),
                sent: Box::new(what("/register", &refused)),
                client_address: address,
            };
            (Err(refused), event)
        }
    };
    let address = address.map(|ClientAddress(address)| address);
    let kept = trail.record_refusal(&server, address, event).await?;
    let registered = registered.map_err(|refused| trail.told(&server, kept, refused))?;
    Ok((StatusCode::CREATED, UNCACHED, axum::Json(registered)).into_response())
}

/// What a registration said is its own claims: none of it is kept.
pub(super) fn what(endpoint: &'static str, refused: &OAuthError) -> Sent {
    Sent {
        endpoint: Some(endpoint),
        error_description: Some(refused.description()),
        rule: None,
        parameters: Vec::new(),
    }
}

pub(super) const UNCACHED: [(header::HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::PRAGMA, HeaderValue::from_static("no-cache")),
];

async fn registered(
    server: &AuthorizationServer,
    address: Option<ClientAddress>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Registered, AuthMethod, Option<Presented>), OAuthError> {
    let mode = server.settings.registration;
    if mode == Registration::Off {
        return Err(OAuthError::AccessDenied("clients cannot register themselves here"));
    }
    // Before anything else is read: a stranger learns nothing about what could be registered.
    let token = match mode {
        Registration::Token => Some(Presented::find(server, headers).await?),
        Registration::Off | Registration::Limited | Registration::Open => None,
    };
    let asked = read(headers, &body.map_err(|_| OAuthError::TooLarge)?)?;
    let accepted = accept(asked, Offer::of(&server.settings))?;
    if mode == Registration::Limited {
        let address = address.map(|ClientAddress(address)| address);
        let waited = server.shares.registration(address);
        waited.map_err(|retry_after| OAuthError::TooManyRequests { retry_after })?;
    }
    // Last: what is refused uses nothing up.
    if let Some(token) = &token {
        token.spend(server).await?;
    }
    let method = accepted.method;
    let registered = match method {
        AuthMethod::None => public(server, accepted).await?,
        AuthMethod::ClientSecretBasic
        | AuthMethod::ClientSecretPost
        | AuthMethod::PrivateKeyJwt
        | AuthMethod::TlsClientAuth
        | AuthMethod::SelfSignedTlsClientAuth => confidential(server, accepted).await?,
    };
    Ok((registered, method, token))
}

pub(super) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, OAuthError> {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = stated.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(OAuthError::InvalidClientMetadata("the body must be application/json"));
    }
    serde_json::from_slice(body).map_err(|_| {
        OAuthError::InvalidClientMetadata("the body is not a JSON object of client metadata")
    })
}

/// Loopback URIs count without their port: each start of a command-line client has another.
fn fingerprint(uris: &[&str], rest: &str) -> Digest {
    let mut text = String::new();
    for uri in uris {
        let (start, end) = without_port(uri);
        text.extend([start, "\0", end, "\n"]);
    }
    text.push_str(rest);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    Digest::from_bytes(bytes)
}

pub(super) fn canonical(metadata: &ClientMetadata) -> String {
    #[expect(clippy::expect_used, reason = "texts and JSON values always serialise")]
    serde_json::to_string(metadata).expect("metadata serialises")
}

fn digest_of(accepted: &Accepted) -> Digest {
    let rest = ClientMetadata { redirect_uris: Vec::new(), ..accepted.metadata.clone() };
    let uris: Vec<&str> = accepted.redirect_uris.iter().map(RedirectUri::as_str).collect();
    fingerprint(&uris, &canonical(&rest))
}

/// The id alone is the registration; the row is for its name, and best effort.
async fn public(
    server: &AuthorizationServer,
    accepted: Accepted,
) -> Result<Registered, OAuthError> {
    let now = server.clock.now();
    let digest = digest_of(&accepted);
    let ids = &server.clients.ids;
    let id = ids.issue(now, accepted.flags(), digest, &accepted.redirect_uris).ok_or(
        OAuthError::InvalidRedirectUri("there are more redirect_uris than can be registered"),
    )?;
    let bounded = server.settings.registration == Registration::Limited;
    if !bounded || server.clients.limits.may_store(server.clock.monotonic()) {
        let row = row(&id, &accepted.metadata, digest, None, now);
        if let Err(error) = server.store.add_client(&row).await {
            tracing::warn!(error = %error, "a registered client stays without a name");
        }
    }
    Ok(answer((id, now), None, None, accepted.metadata))
}

async fn confidential(
    server: &AuthorizationServer,
    accepted: Accepted,
) -> Result<Registered, OAuthError> {
    let now = server.clock.now();
    let unusable = OAuthError::InvalidClientMetadata("the client could not be registered");
    let id = format!("dcrs.{}", random_text(&*server.random).as_str());
    let id: ClientId = id.parse().map_err(|_| unusable)?;
    let secret = accepted.method.is_secret();
    let secret = secret.then(|| BearerSecret::ClientSecret.generate(&*server.random));
    let digest = digest_of_row(&id, &accepted.metadata);
    let hashed = secret.as_ref().map(|secret| Digest::of(secret));
    let token = BearerSecret::RegistrationAccessToken.generate(&*server.random);
    let row = row(&id, &accepted.metadata, digest, hashed, now);
    let row = ClientRow { registration_token: Some(manage::digest(&token)), ..row };
    server.store.add_client(&row).await?;
    let managed = managed(server, &id, token);
    Ok(answer((id, now), secret, Some(managed), accepted.metadata))
}

/// Of a client that has its row to itself.
pub(super) fn digest_of_row(id: &ClientId, metadata: &ClientMetadata) -> Digest {
    Digest::of(&format!("{id}\n{}", canonical(metadata)))
}

pub(super) fn managed(
    server: &AuthorizationServer,
    id: &ClientId,
    token: Zeroizing<String>,
) -> Managed {
    Managed {
        registration_client_uri: server.url(&format!("/register/{id}")),
        registration_access_token: token,
    }
}

fn row(
    id: &ClientId,
    metadata: &ClientMetadata,
    metadata_digest: Digest,
    secret: Option<Digest>,
    now: Timestamp,
) -> ClientRow {
    ClientRow {
        id: id.clone(),
        kind: ClientKind::Dynamic,
        metadata: canonical(metadata),
        metadata_digest,
        secret,
        previous_secret: None,
        registration_token: None,
        created_at: now,
        last_used_at: now,
        expires_at: None,
        disabled_at: None,
    }
}

pub(super) fn answer(
    (client_id, issued_at): (ClientId, Timestamp),
    client_secret: Option<Zeroizing<String>>,
    managed: Option<Managed>,
    metadata: ClientMetadata,
) -> Registered {
    Registered {
        client_id,
        client_id_issued_at: issued_at.unix_seconds(),
        client_secret_expires_at: client_secret.as_ref().map(|_| 0),
        client_secret,
        managed,
        metadata,
    }
}
