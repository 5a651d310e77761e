//! Initial access tokens (RFC 7591 §1.2): with which clients may register themselves, so often and until then.

use async_trait::async_trait;

use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::page::{Page, PageRequest};

/// One token, `mrt_<prefix>_<secret>_<crc>`; found by its prefix.
#[derive(Clone, Debug)]
pub struct RegistrationTokenRow {
    pub prefix: String,
    /// Of the whole token.
    pub token: Digest,
    pub name: Option<String>,
    /// How many clients have registered with it.
    pub uses: u32,
    pub most_uses: u32,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

#[async_trait]
pub trait RegistrationTokenStore: Send + Sync {
    /// `false` where the prefix is taken.
    async fn add_registration_token(&self, row: &RegistrationTokenRow) -> Result<bool, StoreError>;
    /// Also one that is late or used up.
    async fn find_registration_token(
        &self,
        prefix: &str,
    ) -> Result<Option<RegistrationTokenRow>, StoreError>;
    /// By prefix. One that is late is deleted 30 days later.
    async fn list_registration_tokens(
        &self,
        page: &PageRequest,
    ) -> Result<Page<RegistrationTokenRow>, StoreError>;
    /// Counts one use. `false`: there is no such token, it is late, or it is used up. Of concurrent callers no more than are
    /// left get `true`.
    async fn use_registration_token(
        &self,
        prefix: &str,
        token: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    async fn delete_registration_token(&self, prefix: &str) -> Result<bool, StoreError>;
}
