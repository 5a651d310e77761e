//! [`ClientStore`] on SQL.

use async_trait::async_trait;

use crate::id::ClientId;
use crate::store::client::{ClientRow, ClientStore, MetadataDocument, NewRegistration};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::time::Timestamp;

use super::client;
use super::database::SqlDatabase;
use super::metadata_document;
use super::tend;

#[async_trait]
impl ClientStore for SqlDatabase {
    async fn find_client(&self, id: &ClientId) -> Result<Option<ClientRow>, StoreError> {
        self.named("find clients").read(id, |c, id| Box::pin(client::find(c, id))).await
    }

    async fn add_client(&self, row: &ClientRow) -> Result<bool, StoreError> {
        self.named("add clients").write(row.clone(), |c, row| Box::pin(client::add(c, row))).await
    }

    async fn replace_registration(&self, new: &NewRegistration) -> Result<bool, StoreError> {
        self.backend().write(new.clone(), |c, new| Box::pin(client::replace(c, new))).await
    }

    async fn update_client(
        &self,
        id: &ClientId,
        metadata: &str,
        digest: Digest,
    ) -> Result<bool, StoreError> {
        let new = (id.clone(), metadata.to_owned(), digest);
        self.named("update clients").write(new, |c, new| Box::pin(client::update(c, new))).await
    }

    async fn change_client(
        &self,
        id: &ClientId,
        metadata: &str,
        digests: (Digest, Digest),
    ) -> Result<bool, StoreError> {
        let new = (id.clone(), metadata.to_owned(), digests);
        self.backend().write(new, |c, new| Box::pin(client::change(c, new))).await
    }

    async fn list_clients(&self, page: &PageRequest) -> Result<Page<ClientRow>, StoreError> {
        self.named("list clients").read(page, |c, page| Box::pin(client::list(c, page))).await
    }

    async fn rotate_client_secret(
        &self,
        id: &ClientId,
        secret: Digest,
        previous_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let new = (id.clone(), secret, previous_until);
        self.named("rotate_secret clients")
            .write(new, |c, new| Box::pin(client::rotate_secret(c, new)))
            .await
    }

    async fn disable_client(
        &self,
        id: &ClientId,
        at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let new = (id.clone(), at);
        let (found, ended) = self
            .named("disable clients")
            .write(new, |c, new| Box::pin(client::disable(c, new)))
            .await?;
        self.finish(ended).await;
        Ok(found)
    }

    async fn delete_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        self.named("delete clients")
            .write(id.clone(), |c, id| Box::pin(client::delete(c, id)))
            .await
    }

    fn client_used(&self, id: &ClientId, at: Timestamp) {
        self.shared.clients_used.note(id.as_str(), at);
    }

    async fn reap_clients(&self, idle_since: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // What waits in memory may say that a client is not idle at all.
        tend::write_last_used(&self.shared).await?;
        let which = (idle_since, self.shared.clock.now(), limit);
        self.named("reap clients").write(which, |c, which| Box::pin(client::reap(c, which))).await
    }

    async fn find_metadata_document(
        &self,
        url: &str,
    ) -> Result<Option<MetadataDocument>, StoreError> {
        let url = url.to_owned();
        self.named("find metadata_documents")
            .read(&url, |c, url| Box::pin(metadata_document::find(c, url)))
            .await
    }

    async fn put_metadata_document(&self, document: &MetadataDocument) -> Result<(), StoreError> {
        let row = document.clone();
        self.named("put metadata_documents")
            .write(row, |c, row| Box::pin(metadata_document::put(c, row)))
            .await
    }
}
