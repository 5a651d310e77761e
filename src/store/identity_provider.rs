//! Identity providers that were added while brokers run.

use async_trait::async_trait;

use crate::time::Timestamp;

use super::error::StoreError;
use super::logout::LoggedOut;

/// Where people log in, beside the providers of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProviderRow {
    /// Part of the callback's path.
    pub id: String,
    /// Whose accounts they are: people are linked by it. None has another one's.
    pub issuer: String,
    /// What the names of its groups begin with here. None has another one's.
    pub groups_prefix: String,
    /// How it is spoken to, and what its claims mean: JSON, without a secret.
    pub settings: String,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// With one that is disabled or taken out, the sessions of its people end, links, codes that are not used yet and accounts at
/// servers behind us with them, and what they allowed is revoked. First nobody is let in any more; then the people are gone
/// through, some in each transaction. Where the store fails on the way, the same call again ends the rest. The people stay.
#[async_trait]
pub trait IdentityProviderStore: Send + Sync {
    /// `false` where id, issuer or prefix is another one's.
    async fn add_identity_provider(&self, row: &IdentityProviderRow) -> Result<bool, StoreError>;
    async fn find_identity_provider(
        &self,
        id: &str,
    ) -> Result<Option<IdentityProviderRow>, StoreError>;
    /// All of them, by id.
    async fn list_identity_providers(&self) -> Result<Vec<IdentityProviderRow>, StoreError>;
    /// `false` where its settings are others than these by now.
    async fn change_identity_provider(
        &self,
        known: &IdentityProviderRow,
        settings: &str,
    ) -> Result<bool, StoreError>;
    /// What ended; `None` where there is no such provider. One that was disabled before keeps its time.
    async fn disable_identity_provider(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError>;
    async fn enable_identity_provider(&self, id: &str) -> Result<bool, StoreError>;
    /// What ended; `None` where there is no such provider. Its people are in no group any more, and it is on record that some
    /// are missing.
    async fn delete_identity_provider(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError>;
}
