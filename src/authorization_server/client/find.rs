//! Who a `client_id` names.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::authorization_server::client_auth::REFUSED;
use crate::authorization_server::client_metadata::{self, Document, DocumentError};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::register::StatelessId;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::settings::{CertificateRule, ConfiguredClient};
use crate::host_trust::HostTrust;
use crate::id::ClientId;
use crate::secret::SecretError;
use crate::store::{ClientKind, ClientRow, StoreError};

use super::{
    AuthMethod, Client, ClientMetadata, Kind, LogoutRules, PublicKeys, Redirects, Secrets,
};

/// How long a client that registered itself is recognised by its id.
const REGISTRATION_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// What a client is told whose host is denied: nothing that it sends would help, and which host it is, its id says.
const HOST_DENIED: &str =
    "the host of this client's metadata document is not allowed by this server's operator";

/// The same where it is the host of its keys.
const KEYS_DENIED: &str =
    "the host of this client's jwks_uri is not allowed by this server's operator";

/// Why there is no such client. What is told to the other side is the same for the first four.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no client has this id")]
    Unknown,
    #[error("the client's registration is past its end")]
    Expired,
    #[error("the client is disabled")]
    Disabled,
    /// Its metadata document is gone (404 or 410), which is how such a client is revoked (N100).
    #[error("the client's metadata document is gone")]
    Revoked,
    /// It is named by a document on a host that the settings deny. Nobody asked that host.
    #[error("the host that publishes the client is denied by the settings")]
    Denied,
    /// Its metadata document names keys on such a host, which nobody asked either.
    #[error("the host of the client's keys is denied by the settings")]
    KeysDenied,
    /// Its metadata document could not be had. Deliberately does not say why (N94).
    #[error("the client's metadata document could not be read")]
    Document(#[source] DocumentError),
    /// Where the settings say that its secret is, it cannot be read now.
    #[error("the client's secret could not be read")]
    Secret(#[source] SecretError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DocumentError> for ClientError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Gone => Self::Revoked,
            DocumentError::NotAClientId => Self::Unknown,
            DocumentError::Denied => Self::Denied,
            DocumentError::Store(error) => Self::Store(error),
            other => Self::Document(other),
        }
    }
}

/// What the token endpoint and its like answer: `401 invalid_client`, on which clients register again (RFC 6749 §5.2).
impl From<ClientError> for OAuthError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown
            | ClientError::Expired
            | ClientError::Disabled
            | ClientError::Revoked => REFUSED,
            ClientError::Denied => Self::InvalidClient(HOST_DENIED),
            ClientError::KeysDenied => Self::InvalidClient(KEYS_DENIED),
            ClientError::Document(error) if error.is_lasting() => REFUSED,
            ClientError::Document(_) => {
                Self::Unavailable("the client metadata document cannot be read now")
            }
            ClientError::Secret(_) => Self::Unavailable("the client's secret cannot be read now"),
            ClientError::Store(error) => Self::Store(error),
        }
    }
}

impl ClientError {
    /// Whether the client has to start over. Otherwise it could not be checked now, and to be told that it is unknown
    /// would cost it its registration.
    pub(in crate::authorization_server) fn is_lasting(&self) -> bool {
        match self {
            Self::Unknown
            | Self::Expired
            | Self::Disabled
            | Self::Revoked
            | Self::Denied
            | Self::KeysDenied => true,
            Self::Document(error) => error.is_lasting(),
            Self::Secret(_) | Self::Store(_) => false,
        }
    }

    /// What is said where the settings deny a host: of these, of the id and of a document that is public alone, so that it
    /// tells nothing of what clients there are.
    pub(in crate::authorization_server) const fn denied_host(&self) -> Option<&'static str> {
        match self {
            Self::Denied => Some(HOST_DENIED),
            Self::KeysDenied => Some(KEYS_DENIED),
            Self::Unknown
            | Self::Expired
            | Self::Disabled
            | Self::Revoked
            | Self::Document(_)
            | Self::Secret(_)
            | Self::Store(_) => None,
        }
    }
}

/// Finds a client: in the settings, by its metadata document (an id that is a URL), in the store, or by the id alone.
///
/// `address` is where the request comes from: its network has a share of the documents that are fetched (N101). Does
/// *not* authenticate the client.
///
/// # Errors
///
/// [`ClientError`]
pub async fn find(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    id: &ClientId,
) -> Result<Client, ClientError> {
    let configured = server.clients.configured(id).and_then(|at| server.settings.clients.get(at));
    if let Some(client) = configured {
        return from_settings(client).await;
    }
    let row = server.store.find_client(id).await?;
    if row.as_ref().is_some_and(|row| row.disabled_at.is_some()) {
        return Err(ClientError::Disabled);
    }
    if client_metadata::is_url(id) {
        return from_document(server, address, id).await;
    }
    let recognised = server.clients.ids.read(id);
    let now = server.clock.now();
    let late =
        |registration: &StatelessId| now.since(registration.issued_at) > REGISTRATION_LIFETIME;
    match (row, recognised) {
        (Some(row), _) if row.expires_at.is_some_and(|end| end <= now) => Err(ClientError::Expired),
        (_, Some(id)) if late(&id) => Err(ClientError::Expired),
        (Some(row), None) => from_row(&row),
        (row, Some(stateless)) => Ok(recognise(server, id, row.as_ref(), stateless)),
        (None, None) => Err(ClientError::Unknown),
    }
}

/// The client with the secret that is there now: what it was found with may be of a second ago.
///
/// # Errors
///
/// [`ClientError::Secret`]
pub(in crate::authorization_server) async fn with_secret_of_now(
    server: &AuthorizationServer,
    mut client: Client,
) -> Result<Client, ClientError> {
    let place = server.clients.configured(&client.id);
    let configured = place.and_then(|at| server.settings.clients.get(at));
    if let Some(secret) = configured.and_then(|configured| configured.secret.as_ref()) {
        client.secrets = Secrets::chosen(&secret.read().await.map_err(ClientError::Secret)?);
    }
    Ok(client)
}

/// The client of a request that has waited, as it is by now. Asks nobody outside: of a metadata document counts what was read
/// last, and `None` is a client of which none is kept.
///
/// # Errors
///
/// [`ClientError`]
pub(in crate::authorization_server) async fn find_again(
    server: &AuthorizationServer,
    id: &ClientId,
) -> Result<Option<Client>, ClientError> {
    if server.clients.configured(id).is_some() || !client_metadata::is_url(id) {
        return find(server, None, id).await.map(Some);
    }
    let row = server.store.find_client(id).await?;
    if row.is_some_and(|row| row.disabled_at.is_some()) {
        return Err(ClientError::Disabled);
    }
    let document = client_metadata::kept(server, id).await?;
    document.map(|document| of_document(server, id, &document)).transpose()
}

pub(in crate::authorization_server) async fn from_settings(
    client: &ConfiguredClient,
) -> Result<Client, ClientError> {
    let mut methods = Vec::new();
    if client.secret.is_some() {
        methods.extend([AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost]);
    }
    match (&client.tls.certificate, &client.keys) {
        (Some(CertificateRule::Named(_)), _) => methods.push(AuthMethod::TlsClientAuth),
        (Some(CertificateRule::OfItsKeys), _) => methods.push(AuthMethod::SelfSignedTlsClientAuth),
        (None, Some(_)) => methods.push(AuthMethod::PrivateKeyJwt),
        (None, None) => {}
    }
    // A workload proves itself by its assertion alone, and where that is looked at.
    if methods.is_empty() && client.workload.is_none() {
        methods.push(AuthMethod::None);
    }
    let secrets = match &client.secret {
        Some(secret) => Secrets::chosen(&secret.recent().await.map_err(ClientError::Secret)?),
        None => Secrets::default(),
    };
    Ok(Client {
        id: client.client_id.clone(),
        name: Some(client.client_id.to_string()),
        kind: Kind::Configured,
        redirects: Redirects::Listed(client.redirect_uris.clone()),
        grant_types: client.grant_types.clone(),
        scope: (!client.scopes.is_empty()).then(|| client.scopes.clone()),
        auth_methods: methods,
        secrets,
        keys: client.keys.clone(),
        digest: None,
        refresh_grace: client.refresh_grace,
        requires_pushed_requests: client.require_pushed_requests,
        requires_dpop: client.dpop_bound,
        requires_certificate: client.tls.bound,
        certificate_name: match &client.tls.certificate {
            Some(CertificateRule::Named(name)) => Some(name.clone()),
            Some(CertificateRule::OfItsKeys) | None => None,
        },
        logout: LogoutRules {
            redirect_uris: client.post_logout_redirect_uris.clone(),
            notify: client.backchannel_logout_uri.clone(),
        },
    })
}

/// What metadata says beside that of RFC 7591, where an operator wrote it. Nobody who registers themself is heard.
#[derive(Default, Deserialize)]
struct OperatorsWord {
    refresh_grace_seconds: Option<u32>,
}

/// As `authorization_server.refresh_grace_seconds`.
const MAX_GRACE_SECONDS: u32 = 120;

fn metadata_of(row: &ClientRow) -> Result<ClientMetadata, ClientError> {
    serde_json::from_str(&row.metadata)
        .map_err(|_| ClientError::Store(StoreError::Corrupt("client.metadata")))
}

fn from_row(row: &ClientRow) -> Result<Client, ClientError> {
    let metadata = metadata_of(row)?;
    let kind = match row.kind {
        ClientKind::Static => Kind::Static,
        ClientKind::Dynamic => Kind::Dynamic,
        // Documents are in a table of their own; such a row stands for nothing.
        ClientKind::MetadataDocument => return Err(ClientError::Unknown),
    };
    let (scope, word) = match kind {
        Kind::Static => (
            metadata.parsed_scope().filter(|scope| !scope.is_empty()),
            serde_json::from_str(&row.metadata).unwrap_or_default(),
        ),
        Kind::Configured | Kind::Dynamic | Kind::MetadataDocument => {
            (None, OperatorsWord::default())
        }
    };
    let grace = word.refresh_grace_seconds.map(|seconds| seconds.min(MAX_GRACE_SECONDS));
    let logout = match kind {
        Kind::Static => metadata.logout_rules(),
        Kind::Configured | Kind::Dynamic | Kind::MetadataDocument => LogoutRules::default(),
    };
    Ok(Client {
        refresh_grace: grace.map(u64::from).map(Duration::from_secs),
        secrets: Secrets::new(row.secret, row.previous_secret),
        scope,
        logout,
        ..from_metadata(&row.id, kind, &metadata)
    })
}

fn from_metadata(id: &ClientId, kind: Kind, metadata: &ClientMetadata) -> Client {
    let remote = metadata.jwks_uri.as_deref().and_then(|uri| Url::parse(uri).ok());
    let inline = metadata.jwks.as_ref().map(|jwks| PublicKeys::Inline(jwks.to_string()));
    Client {
        id: id.clone(),
        name: metadata.display_name(),
        kind,
        redirects: Redirects::Listed(metadata.parsed_redirect_uris()),
        grant_types: metadata.known_grant_types(),
        scope: None,
        auth_methods: metadata.auth_methods(),
        secrets: Secrets::default(),
        keys: inline.or(remote.map(PublicKeys::Remote)),
        digest: None,
        refresh_grace: None,
        requires_pushed_requests: metadata.require_pushed_authorization_requests == Some(true),
        requires_dpop: metadata.dpop_bound_access_tokens == Some(true),
        requires_certificate: metadata.tls_client_certificate_bound_access_tokens == Some(true),
        certificate_name: metadata.certificate_name(),
        logout: LogoutRules::default(),
    }
}

/// A client whose id says what it may do; of its row come the name and the spelling of what the id allows.
fn recognise(
    server: &AuthorizationServer,
    id: &ClientId,
    row: Option<&ClientRow>,
    stateless: StatelessId,
) -> Client {
    let (ids, flags) = (&server.clients.ids, stateless.flags);
    let mut grant_types = vec!["authorization_code"];
    if flags.refresh {
        grant_types.push("refresh_token");
    }
    let metadata = row.and_then(|row| metadata_of(row).ok());
    let redirects = match &metadata {
        Some(metadata) => {
            let mut uris = metadata.parsed_redirect_uris();
            uris.retain(|uri| ids.allows(&stateless, uri.as_str()));
            Redirects::Listed(uris)
        }
        None => Redirects::Recognised { ids: Arc::clone(ids), id: stateless },
    };
    Client {
        id: id.clone(),
        name: metadata.and_then(|metadata| metadata.display_name()),
        kind: Kind::Dynamic,
        redirects,
        grant_types,
        scope: None,
        auth_methods: vec![AuthMethod::None],
        secrets: Secrets::default(),
        keys: None,
        digest: None,
        refresh_grace: None,
        requires_pushed_requests: flags.pushed,
        requires_dpop: flags.dpop,
        requires_certificate: false,
        certificate_name: None,
        logout: LogoutRules::default(),
    }
}

async fn from_document(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    id: &ClientId,
) -> Result<Client, ClientError> {
    let document = client_metadata::read(server, address, id).await?;
    of_document(server, id, &document)
}

fn of_document(
    server: &AuthorizationServer,
    id: &ClientId,
    document: &Document,
) -> Result<Client, ClientError> {
    let mut client = from_metadata(id, Kind::MetadataDocument, &document.metadata);
    if client.is_known_by_keys() && denied_keys(server, &client) {
        return Err(ClientError::KeysDenied);
    }
    client.digest = Some(document.digest);
    // A machine's own access needs an operator's word, and native clients get refresh tokens unasked.
    client.grant_types.retain(|grant| *grant != "client_credentials");
    if document.metadata.grant_types.is_none() {
        client.grant_types.push("refresh_token");
    }
    Ok(client)
}

/// Whether the settings deny the host on which this client has its keys. What an operator registered is denied by a rule alone
/// that means the host: that a host may publish no clients says nothing of it.
pub(in crate::authorization_server) fn denied_keys(
    server: &AuthorizationServer,
    client: &Client,
) -> bool {
    let Some(PublicKeys::Remote(url)) = client.jwks() else { return false };
    let Some(trusts) = &server.settings.client_metadata_documents else { return false };
    let host = url.host_str().unwrap_or_default();
    if client.is_trusted() {
        return trusts.deny_by_name(host);
    }
    trusts.of(host) == HostTrust::Deny
}
