//! Identity providers of the store: here there are those of the settings alone.

use async_trait::async_trait;

use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

#[async_trait]
impl IdentityProviderStore for FakeStore {
    async fn add_identity_provider(&self, _row: &IdentityProviderRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_identity_provider(
        &self,
        _id: &str,
    ) -> Result<Option<IdentityProviderRow>, StoreError> {
        unimplemented!()
    }
    async fn list_identity_providers(&self) -> Result<Vec<IdentityProviderRow>, StoreError> {
        unimplemented!()
    }
    async fn change_identity_provider(
        &self,
        _known: &IdentityProviderRow,
        _settings: &str,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disable_identity_provider(
        &self,
        _id: &str,
        _now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        unimplemented!()
    }
    async fn enable_identity_provider(&self, _id: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_identity_provider(
        &self,
        _id: &str,
        _now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        unimplemented!()
    }
}
