//! Clients: whoever asks for one finds none of the store's.

use async_trait::async_trait;

use crate::id::ClientId;
use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

#[async_trait]
impl ClientStore for FakeStore {
    async fn find_client(&self, id: &ClientId) -> Result<Option<ClientRow>, StoreError> {
        Ok(self.lock().clients.iter().find(|row| row.id == *id).cloned())
    }
    async fn add_client(&self, _row: &ClientRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn replace_registration(&self, _new: &NewRegistration) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn update_client(
        &self,
        _id: &ClientId,
        _metadata: &str,
        _digest: Digest,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn change_client(
        &self,
        _id: &ClientId,
        _metadata: &str,
        _digests: (Digest, Digest),
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn list_clients(&self, _page: &PageRequest) -> Result<Page<ClientRow>, StoreError> {
        unimplemented!()
    }
    async fn rotate_client_secret(
        &self,
        _id: &ClientId,
        _secret: Digest,
        _previous_until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disable_client(
        &self,
        _id: &ClientId,
        _at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_client(&self, _id: &ClientId) -> Result<bool, StoreError> {
        unimplemented!()
    }
    fn client_used(&self, _id: &ClientId, _at: Timestamp) {}
    async fn reap_clients(&self, _idle_since: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn find_metadata_document(
        &self,
        url: &str,
    ) -> Result<Option<MetadataDocument>, StoreError> {
        let _ = url;
        Ok(None)
    }
    async fn put_metadata_document(&self, _document: &MetadataDocument) -> Result<(), StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl RegistrationTokenStore for FakeStore {
    async fn add_registration_token(
        &self,
        _row: &RegistrationTokenRow,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_registration_token(
        &self,
        _prefix: &str,
    ) -> Result<Option<RegistrationTokenRow>, StoreError> {
        unimplemented!()
    }
    async fn list_registration_tokens(
        &self,
        _page: &PageRequest,
    ) -> Result<Page<RegistrationTokenRow>, StoreError> {
        unimplemented!()
    }
    async fn use_registration_token(
        &self,
        _prefix: &str,
        _token: &Digest,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_registration_token(&self, _prefix: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
}
