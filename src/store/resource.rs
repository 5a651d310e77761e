//! Protected resources that use this authorization server, and the keys with which they introspect.

use async_trait::async_trait;

use crate::scope::Scope;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::page::{Page, PageRequest};

/// A resource server (RFC 8707 `resource`), ours or one that runs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRow {
    /// `[A-Za-z0-9._-]`, part of paths.
    pub id: String,
    /// Its resource identifier, as its clients write it.
    pub uri: String,
    /// Other spellings of it (old hosts, the slash form).
    pub aliases: Vec<String>,
    /// Where its MCP endpoint is, if it is reached through us; `uri` is ours then. `None`: its clients reach it themselves.
    pub url: Option<String>,
    /// How it is called there: JSON. `None`: as nothing else says.
    pub proxy: Option<String>,
    pub name: String,
    pub description: Option<String>,
    /// Who registered it.
    pub owner: Option<String>,
    pub scopes: Scope,
    pub access_token_ttl_seconds: Option<u32>,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// A key of a resource server, `mak_<prefix>_<secret>_<crc>`; found by its prefix.
#[derive(Clone, Debug)]
pub struct ApiKeyRow {
    pub prefix: String,
    /// Of the whole key.
    pub key: Digest,
    pub resource_id: String,
    pub name: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// What is to be another about a resource; what is `None` stays.
#[derive(Clone, Debug)]
pub struct ResourceChange {
    pub id: String,
    pub name: Option<String>,
    /// Empty: none.
    pub description: Option<String>,
    pub scopes: Option<Scope>,
    /// 0: none.
    pub access_token_ttl_seconds: Option<u32>,
}

#[async_trait]
pub trait ResourceStore: Send + Sync {
    /// `false` where the id, the URI or an alias is taken.
    async fn add_resource(&self, row: &ResourceRow) -> Result<bool, StoreError>;
    /// `false` where there is none. What the change does not name stays, whoever changes that at the same time.
    async fn change_resource(&self, change: &ResourceChange) -> Result<bool, StoreError>;
    /// `None` enables again. `false` where there is none.
    async fn disable_resource(&self, id: &str, at: Option<Timestamp>) -> Result<bool, StoreError>;
    /// `false` where there is none, or none at this `url`.
    async fn set_resource_proxy(
        &self,
        id: &str,
        url: &str,
        proxy: Option<&str>,
    ) -> Result<bool, StoreError>;
    async fn find_resource(&self, id: &str) -> Result<Option<ResourceRow>, StoreError>;
    /// By its URI or an alias, byte for byte.
    async fn find_resource_by_uri(&self, uri: &str) -> Result<Option<ResourceRow>, StoreError>;
    async fn list_resources(&self, page: &PageRequest) -> Result<Page<ResourceRow>, StoreError>;
    /// All that are reached through us and are not disabled, by id; at most 10,000.
    async fn list_proxied_resources(&self) -> Result<Vec<ResourceRow>, StoreError>;
    /// With its keys and the pins of its tools, and with every grant for its URI or an alias revoked. `keep_pins`: by now they
    /// are those of a server of the settings that has the same id.
    async fn delete_resource(
        &self,
        id: &str,
        keep_pins: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// `false` where the prefix is taken or there is no such resource.
    async fn add_api_key(&self, row: &ApiKeyRow) -> Result<bool, StoreError>;
    async fn find_api_key(&self, prefix: &str) -> Result<Option<ApiKeyRow>, StoreError>;
    async fn list_api_keys(&self, resource_id: &str) -> Result<Vec<ApiKeyRow>, StoreError>;
    async fn revoke_api_key(
        &self,
        resource_id: &str,
        prefix: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Best effort and cheap: may be batched, must never fail a request.
    fn api_key_used(&self, prefix: &str, at: Timestamp);
}
