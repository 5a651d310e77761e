//! `/register/{client_id}` (RFC 7592): a confidential client that registered itself looks at its registration, changes it, or
//! ends it. Public clients cannot: what they registered is in their id.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::api_key::BearerSecret;
use crate::audit::AuditEvent;
use crate::authorization_server::client::{AuthMethod, ClientMetadata, Secrets};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::settings::Registration;
use crate::authorization_server::trail::Trail;
use crate::id::{ClientAddress, ClientId};
use crate::store::{ClientKind, ClientRow, Digest, NewRegistration, StoreError};

use super::accept::{Offer, accept};
use super::endpoint::{UNCACHED, answer, canonical, digest_of_row, managed, read, what};

/// Unknown, disabled, of a public client, or not this client's token: none tells more (RFC 7592 §2).
const REFUSED: OAuthError =
    OAuthError::InvalidToken("the registration access token is not valid for this client");

pub(super) fn routes() -> Router<AuthorizationServer> {
    Router::new().route("/register/{client_id}", get(look).put(replace).delete(end))
}

/// How the store knows a token: not how it knows secrets and codes.
pub(super) fn digest(token: &str) -> Digest {
    Digest::of(&Zeroizing::new(format!("registration|{token}")))
}

/// A client that came with its token.
struct Known {
    row: ClientRow,
    metadata: ClientMetadata,
    token: Zeroizing<String>,
}

/// What a request is about beside metadata (RFC 7592 §2.2). No `Debug`: it may hold a secret.
#[derive(Deserialize)]
struct Named {
    client_id: Option<String>,
    client_secret: Option<Zeroizing<String>>,
}

type Address = Option<Extension<ClientAddress>>;

/// The id in the path. What cannot be read is the id of nobody, and gets the answer of that.
struct NamedId(String);

impl<S: Send + Sync> FromRequestParts<S> for NamedId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(path.map(|Path(id)| id).unwrap_or_default()))
    }
}

/// `GET` (RFC 7592 §2.1). The token stays as it is, and the secret is nowhere to be read.
async fn look(
    State(server): State<AuthorizationServer>,
    NamedId(id): NamedId,
    address: Address,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    let asked = Asked::begin(&server, &headers, address);
    let Known { row, metadata, token } = asked.known(&id, &headers).await?;
    let managed = managed(&server, &row.id, token);
    let told = answer((row.id, row.created_at), None, Some(managed), metadata);
    Ok((UNCACHED, axum::Json(told)).into_response())
}

/// `PUT` (RFC 7592 §2.2): everything anew, by the rules of a registration, and with a new token. Id, secret and keys or secret
/// as the way to authenticate stay.
///
/// # Errors
///
/// - `401 invalid_token`; `403 access_denied` where clients cannot register with secrets any more
/// - `400 invalid_client_metadata`, `invalid_redirect_uri`; `413`, `503`
async fn replace(
    State(server): State<AuthorizationServer>,
    NamedId(id): NamedId,
    address: Address,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, OAuthError> {
    let asked = Asked::begin(&server, &headers, address);
    let known = asked.known(&id, &headers).await?;
    let body = body.map_err(|_| OAuthError::TooLarge);
    let metadata = match body.and_then(|body| changed(&server, &known, &headers, &body)) {
        Ok(metadata) => metadata,
        Err(error) => return Err(asked.refused(error).await),
    };
    let token = BearerSecret::RegistrationAccessToken.generate(&*server.random);
    let new = NewRegistration {
        id: known.row.id.clone(),
        presented: digest(&known.token),
        metadata_digest: digest_of_row(&known.row.id, &metadata),
        metadata: canonical(&metadata),
        token: digest(&token),
    };
    if !server.store.replace_registration(&new).await? {
        return Err(asked.refused(REFUSED).await);
    }
    let registered_client_id = known.row.id.clone();
    let client_address = asked.address;
    asked.record(AuditEvent::ClientReplace { registered_client_id, client_address }).await?;
    let managed = managed(&server, &known.row.id, token);
    let told = answer((known.row.id, known.row.created_at), None, Some(managed), metadata);
    Ok((UNCACHED, axum::Json(told)).into_response())
}

/// `DELETE` (RFC 7592 §2.3): its grants and tokens end with it.
async fn end(
    State(server): State<AuthorizationServer>,
    NamedId(id): NamedId,
    address: Address,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    let asked = Asked::begin(&server, &headers, address);
    let Known { row, .. } = asked.known(&id, &headers).await?;
    // First what it was given: were we to stop in between, it would be disabled.
    server.store.disable_client(&row.id, Some(server.clock.now())).await?;
    server.store.delete_client(&row.id).await?;
    let (registered_client_id, client_address) = (row.id, asked.address);
    asked.record(AuditEvent::ClientEnd { registered_client_id, client_address }).await?;
    Ok((StatusCode::NO_CONTENT, UNCACHED).into_response())
}

/// One request, and its trail.
struct Asked<'a> {
    server: &'a AuthorizationServer,
    trail: Trail,
    address: Option<ClientAddress>,
}

impl<'a> Asked<'a> {
    fn begin(server: &'a AuthorizationServer, headers: &HeaderMap, address: Address) -> Self {
        let address = address.map(|Extension(address)| address);
        Self { server, trail: Trail::begin(server, headers), address }
    }

    /// The client whose token came.
    ///
    /// # Errors
    ///
    /// [`REFUSED`], recorded; [`OAuthError::Store`]
    async fn known(&self, id: &str, headers: &HeaderMap) -> Result<Known, OAuthError> {
        match known(self.server, id, headers).await? {
            Some(known) => Ok(known),
            None => Err(self.refused(REFUSED).await),
        }
    }

    async fn refused(&self, error: OAuthError) -> OAuthError {
        let event = AuditEvent::ClientRefuse {
            error: error.code(),
            sent: Box::new(what("/register/{client_id}", &error)),
            client_address: self.address,
        };
        let address = self.address.map(|ClientAddress(address)| address);
        match self.trail.record_refusal(self.server, address, event).await {
            Ok(kept) => self.trail.told(self.server, kept, error),
            Err(failed) => failed.into(),
        }
    }

    async fn record(&self, event: AuditEvent) -> Result<(), OAuthError> {
        Ok(self.trail.record(self.server, event).await?)
    }
}

/// Compared in constant time, with nothing where there is no such client (N57). What is no token of ours is not looked for.
async fn known(
    server: &AuthorizationServer,
    id: &str,
    headers: &HeaderMap,
) -> Result<Option<Known>, StoreError> {
    let (Some(token), Ok(id)) = (bearer(headers), id.parse::<ClientId>()) else { return Ok(None) };
    if !BearerSecret::RegistrationAccessToken.may_be(&token) {
        return Ok(None);
    }
    let row = server.store.find_client(&id).await?;
    let row = row.filter(|row| row.kind == ClientKind::Dynamic && row.disabled_at.is_none());
    let (mine, theirs) = (row.as_ref().and_then(|row| row.registration_token), digest(&token));
    let same = mine.is_some_and(|mine| mine.as_bytes().ct_eq(theirs.as_bytes()).into());
    let Some(row) = row.filter(|_| same) else { return Ok(None) };
    let metadata = serde_json::from_str(&row.metadata);
    let metadata = metadata.map_err(|_| StoreError::Corrupt("client.metadata"))?;
    Ok(Some(Known { row, metadata, token }))
}

/// RFC 6750 §2.1, once.
pub(super) fn bearer(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.trim().to_owned()))
}

/// # Errors
///
/// Those of a registration, and for another id, another secret, or another kind of proof.
fn changed(
    server: &AuthorizationServer,
    known: &Known,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<ClientMetadata, OAuthError> {
    const fn wrong<T>(text: &'static str) -> Result<T, OAuthError> {
        Err(OAuthError::InvalidClientMetadata(text))
    }
    if !server.settings.registration.takes_confidential() {
        return Err(OAuthError::AccessDenied("clients cannot register themselves like this here"));
    }
    let named: Named = read(headers, body)?;
    if named.client_id.as_deref() != Some(known.row.id.as_str()) {
        return wrong("client_id must be that of the client itself");
    }
    let secrets = Secrets::new(known.row.secret, known.row.previous_secret);
    let now = server.clock.now();
    if named.client_secret.is_some_and(|secret| !secrets.accepts(&secret, now)) {
        return wrong("client_secret is not that of the client, which cannot choose its own");
    }
    let offer = Offer { mode: Registration::Open, ..Offer::of(&server.settings) };
    let accepted = accept(read(headers, body)?, offer)?;
    let before = known.metadata.auth_methods().first().copied();
    let kind = |method: AuthMethod| if method.is_secret() { None } else { Some(method) };
    let same = before.is_some_and(|before| kind(before) == kind(accepted.method));
    if !same || accepted.method == AuthMethod::None {
        return wrong("token_endpoint_auth_method must go on to prove the same secret or keys");
    }
    Ok(accepted.metadata)
}
