//! Client ID metadata documents: a client is named by the https URL of a document that says who it is
//! (draft-ietf-oauth-client-id-metadata-document, "CIMD" below).

mod budget;
mod document;
mod fetch;
mod url;

use std::net::IpAddr;

use crate::host_trust::HostTrust;
use crate::id::ClientId;
use crate::store::{Digest, StoreError};

use super::client::ClientMetadata;
use super::server::AuthorizationServer;

pub(super) use document::parse;
pub(super) use fetch::Fetches;

/// Why there is no document. What others are told is the same for all but the first four (N94).
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("the id is not the URL of a metadata document that may be read")]
    NotAClientId,
    /// Its host was never asked.
    #[error("the document's host is one that the settings deny")]
    Denied,
    /// 404 or 410
    #[error("the document is gone")]
    Gone,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("too many documents are being fetched")]
    Budget,
    #[error("the host does not answer")]
    Outbound(#[source] crate::outbound::OutboundError),
    /// Redirects among them: they are never followed (CIMD §4).
    #[error("the host answered {0}")]
    Status(http::StatusCode),
    #[error("the answer is not JSON by its content type")]
    ContentType,
    #[error("the document is not one of a client with this id")]
    Invalid(#[from] InvalidDocument),
    #[error("the document could not be read a moment ago")]
    Recent,
}

impl DocumentError {
    /// Whether its host said what it says, and not that it could not be asked: a document that is wrong stays so until
    /// somebody mends it, and where there is none there is no client.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::NotAClientId | Self::Denied | Self::Gone | Self::Invalid(_) => true,
            Self::Status(status) => is_missing(*status),
            Self::Store(_)
            | Self::Budget
            | Self::Outbound(_)
            | Self::ContentType
            | Self::Recent => false,
        }
    }
}

fn is_missing(status: http::StatusCode) -> bool {
    matches!(status, http::StatusCode::NOT_FOUND | http::StatusCode::GONE)
}

/// What is wrong with a document (CIMD §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    #[error("it is not a JSON object, or names a member twice")]
    Json,
    #[error("its client_id is not its URL, byte for byte")]
    OtherClientId,
    #[error("it holds a secret, or asks for a method with one")]
    Secret,
    #[error("it has a private or symmetric key")]
    PrivateKey,
    #[error("its jwks_uri is not an https URL, or it has both jwks and jwks_uri")]
    Keys,
    #[error("it has no redirect_uri, too many, or one that is not allowed")]
    RedirectUri,
    #[error("it has no client_name")]
    Name,
}

/// A document that is in force.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) metadata: ClientMetadata,
    /// SHA-256 of what was served.
    pub(super) digest: Digest,
}

/// Whether this id can only be a document's URL. Ids of ours never look like one.
pub(super) fn is_url(id: &ClientId) -> bool {
    ["https://", "http://"].iter().any(|scheme| id.as_str().starts_with(scheme))
}

/// The document of a client: from the store while it is fresh, else from its host, at the cost of the share of the
/// network that `address` is of.
///
/// # Errors
///
/// [`DocumentError`]
pub(super) async fn read(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    id: &ClientId,
) -> Result<Document, DocumentError> {
    let url = url::parse(id.as_str(), server.public_url(), &server.to_clients);
    let trusts = server.settings.client_metadata_documents.as_ref();
    let (url, trusts) = url.zip(trusts).ok_or(DocumentError::NotAClientId)?;
    if trusts.of(url.host_str().unwrap_or_default()) == HostTrust::Deny {
        return Err(DocumentError::Denied);
    }
    fetch::current(server, address, &url).await
}

/// The document of a client as it was read last; `None` where none is kept. Asks nobody outside.
///
/// # Errors
///
/// [`DocumentError::Gone`], [`DocumentError::Invalid`], [`DocumentError::Store`]
pub(super) async fn kept(
    server: &AuthorizationServer,
    id: &ClientId,
) -> Result<Option<Document>, DocumentError> {
    match server.store.find_metadata_document(id.as_str()).await? {
        Some(row) if row.gone_at.is_some() => Err(DocumentError::Gone),
        Some(row) => Ok(Some(parse(id.as_str(), &row.body)?)),
        None => Ok(None),
    }
}

/// Who publishes a client, and how far that host is trusted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publisher {
    pub(super) host: String,
    pub(super) trust: HostTrust,
}

/// Who publishes this client; `None` for one that comes without a document. Asks nobody: the settings and the id alone.
pub(super) fn publisher(server: &AuthorizationServer, id: &ClientId) -> Option<Publisher> {
    if server.clients.configured(id).is_some() {
        return None;
    }
    let url = url::parse(id.as_str(), server.public_url(), &server.to_clients)?;
    let host = url.host_str()?.to_owned();
    let trusts = server.settings.client_metadata_documents.as_ref();
    let trust = trusts.map_or(HostTrust::Deny, |trusts| trusts.of(&host));
    Some(Publisher { host, trust })
}
