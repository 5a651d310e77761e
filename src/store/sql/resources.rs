//! [`ResourceStore`] on SQL.

use async_trait::async_trait;

use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::store::resource::{ApiKeyRow, ResourceChange, ResourceRow, ResourceStore};
use crate::time::Timestamp;

use super::api_key;
use super::database::SqlDatabase;
use super::resource;

#[async_trait]
impl ResourceStore for SqlDatabase {
    async fn add_resource(&self, row: &ResourceRow) -> Result<bool, StoreError> {
        self.named("add resources")
            .write(row.clone(), |c, row| Box::pin(resource::add(c, row)))
            .await
    }

    async fn change_resource(&self, change: &ResourceChange) -> Result<bool, StoreError> {
        self.named("change resources")
            .write(change.clone(), |c, change| Box::pin(resource::change(c, change)))
            .await
    }

    async fn disable_resource(&self, id: &str, at: Option<Timestamp>) -> Result<bool, StoreError> {
        self.named("disable resources")
            .write((id.to_owned(), at), |c, which| Box::pin(resource::disable(c, which)))
            .await
    }

    async fn set_resource_proxy(
        &self,
        id: &str,
        url: &str,
        proxy: Option<&str>,
    ) -> Result<bool, StoreError> {
        let which = (id.to_owned(), url.to_owned(), proxy.map(str::to_owned));
        self.named("set_proxy resources")
            .write(which, |c, which| Box::pin(resource::set_proxy(c, which)))
            .await
    }

    async fn find_resource(&self, id: &str) -> Result<Option<ResourceRow>, StoreError> {
        self.named("find resources")
            .read(&id.to_owned(), |c, id| Box::pin(resource::find(c, id)))
            .await
    }

    async fn find_resource_by_uri(&self, uri: &str) -> Result<Option<ResourceRow>, StoreError> {
        let uri = uri.to_owned();
        self.named("find_by_uri resources")
            .read(&uri, |c, uri| Box::pin(resource::find_by_uri(c, uri)))
            .await
    }

    async fn list_resources(&self, page: &PageRequest) -> Result<Page<ResourceRow>, StoreError> {
        self.named("list resources").read(page, |c, page| Box::pin(resource::list(c, page))).await
    }

    async fn list_proxied_resources(&self) -> Result<Vec<ResourceRow>, StoreError> {
        self.named("list_proxied resources")
            .read(&(), |c, ()| Box::pin(resource::list_proxied(c)))
            .await
    }

    async fn delete_resource(
        &self,
        id: &str,
        keep_pins: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (id.to_owned(), keep_pins, now);
        let (found, ended) = self
            .named("delete resources")
            .write(which, |c, which| Box::pin(resource::delete(c, which)))
            .await?;
        self.finish(ended).await;
        Ok(found)
    }

    async fn add_api_key(&self, row: &ApiKeyRow) -> Result<bool, StoreError> {
        self.named("add api_keys").write(row.clone(), |c, row| Box::pin(api_key::add(c, row))).await
    }

    async fn find_api_key(&self, prefix: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        let prefix = prefix.to_owned();
        self.named("find api_keys")
            .read(&prefix, |c, prefix| Box::pin(api_key::find(c, prefix)))
            .await
    }

    async fn list_api_keys(&self, resource_id: &str) -> Result<Vec<ApiKeyRow>, StoreError> {
        let id = resource_id.to_owned();
        self.named("list api_keys").read(&id, |c, id| Box::pin(api_key::list(c, id))).await
    }

    async fn revoke_api_key(
        &self,
        resource_id: &str,
        prefix: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (resource_id.to_owned(), prefix.to_owned(), at);
        self.named("revoke api_keys")
            .write(which, |c, which| Box::pin(api_key::revoke(c, which)))
            .await
    }

    fn api_key_used(&self, prefix: &str, at: Timestamp) {
        self.shared.api_keys_used.note(prefix, at);
    }
}
