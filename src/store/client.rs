//! Clients (RFC 6749 §2, RFC 7591) and the metadata documents of those named by a URL (CIMD).

use async_trait::async_trait;

use crate::id::ClientId;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::page::{Page, PageRequest};

/// How a client came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// By an operator's command or the admin API. Clients of the settings file are not in the store.
    Static,
    /// By dynamic registration (RFC 7591).
    Dynamic,
    /// By its client ID metadata document.
    MetadataDocument,
}

impl ClientKind {
    /// Of a client that needs no row, by the form of its id: a URL (CIMD), or one of our stateless registrations.
    #[must_use]
    pub fn of_id(id: &ClientId) -> Option<Self> {
        let text = id.as_str();
        if text.starts_with("https://") || text.starts_with("http://") {
            return Some(Self::MetadataDocument);
        }
        text.starts_with("dcr1.").then_some(Self::Dynamic)
    }
}

/// One client.
#[derive(Clone, Debug)]
pub struct ClientRow {
    pub id: ClientId,
    pub kind: ClientKind,
    /// Client metadata (RFC 7591 §2) as JSON: `redirect_uris`, `grant_types`, `jwks`, `scope`, ….
    pub metadata: String,
    /// SHA-256 of the metadata in canonical form: the same registration twice is one row.
    pub metadata_digest: Digest,
    pub secret: Option<Digest>,
    /// The secret before the last rotation, and until when it is still taken.
    pub previous_secret: Option<(Digest, Timestamp)>,
    /// With which it looks after its own registration (RFC 7592).
    pub registration_token: Option<Digest>,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
}

/// What a client makes of its registration (RFC 7592 §2.2).
#[derive(Clone, Debug)]
pub struct NewRegistration {
    pub id: ClientId,
    /// The token that it came with.
    pub presented: Digest,
    pub metadata: String,
    pub metadata_digest: Digest,
    /// The one that is in force from now on.
    pub token: Digest,
}

/// A client ID metadata document as it was fetched.
#[derive(Clone, Debug)]
pub struct MetadataDocument {
    pub url: String,
    /// As it came; 10 KiB at most.
    pub body: Vec<u8>,
    pub digest: Digest,
    pub etag: Option<String>,
    pub fetched_at: Timestamp,
    pub fresh_until: Timestamp,
    /// Set when its host said 404 or 410: the client is revoked.
    pub gone_at: Option<Timestamp>,
}

#[async_trait]
pub trait ClientStore: Send + Sync {
    async fn find_client(&self, id: &ClientId) -> Result<Option<ClientRow>, StoreError>;
    /// `false` where the id is taken; nothing is changed then.
    async fn add_client(&self, row: &ClientRow) -> Result<bool, StoreError>;
    /// Replaces metadata and token together. `false` where the token that was presented is in force no more, or the client
    /// is disabled or gone: of two who come with one token, one gets `true`.
    async fn replace_registration(&self, new: &NewRegistration) -> Result<bool, StoreError>;
    /// Replaces the metadata. `false` where there is none.
    async fn update_client(
        &self,
        id: &ClientId,
        metadata: &str,
        digest: Digest,
    ) -> Result<bool, StoreError>;
    /// Replaces the metadata where it is still what has the first digest: of two changes at once one is refused.
    async fn change_client(
        &self,
        id: &ClientId,
        metadata: &str,
        digests: (Digest, Digest),
    ) -> Result<bool, StoreError>;
    async fn list_clients(&self, page: &PageRequest) -> Result<Page<ClientRow>, StoreError>;
    /// The secret in force becomes the previous one, taken until `previous_until`.
    async fn rotate_client_secret(
        &self,
        id: &ClientId,
        secret: Digest,
        previous_until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Disabling revokes every grant of the client, and its own tokens. `None` enables it again. A client that is known
    /// without a row (see [`ClientKind::of_id`]) can be disabled as well, whether or not anybody ever came with its id.
    async fn disable_client(
        &self,
        id: &ClientId,
        at: Option<Timestamp>,
    ) -> Result<bool, StoreError>;
    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError>;
    /// Best effort and cheap: may be batched, must never fail a request.
    fn client_used(&self, id: &ClientId, at: Timestamp);
    /// Deletes dynamic clients idle since before `idle_since` that have no live grant; `limit` rows at most. How many.
    /// Disabled ones stay: their ids are recognised without a row, and must go on being refused.
    async fn reap_clients(&self, idle_since: Timestamp, limit: u32) -> Result<u64, StoreError>;
    async fn find_metadata_document(
        &self,
        url: &str,
    ) -> Result<Option<MetadataDocument>, StoreError>;
    /// Inserts or replaces.
    async fn put_metadata_document(&self, document: &MetadataDocument) -> Result<(), StoreError>;
}
