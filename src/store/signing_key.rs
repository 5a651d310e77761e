//! The keys that sign our tokens, shared by every replica.

use async_trait::async_trait;

use crate::time::Timestamp;

use super::error::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKeyState {
    /// In the key set, not used before `not_before`. The one with the latest `not_before` that has come signs.
    Usable,
    /// Verifies until `retire_at`, signs nothing.
    Retiring,
}

/// One signing key. The private half is sealed.
#[derive(Clone)]
pub struct SigningKeyRow {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// `ES256`, `EdDSA`, `RS256`.
    pub algorithm: String,
    /// The public JWK as JSON.
    pub public_jwk: String,
    /// What `authorization_server::keys` wrote; opaque here.
    pub private: Vec<u8>,
    pub state: SigningKeyState,
    pub created_at: Timestamp,
    pub not_before: Timestamp,
    pub retire_at: Option<Timestamp>,
}

impl std::fmt::Debug for SigningKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeyRow").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[async_trait]
pub trait SigningKeyStore: Send + Sync {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError>;
    /// Adds the first key: `false` where another replica was faster (its key is then there).
    async fn add_first_signing_key(&self, row: &SigningKeyRow) -> Result<bool, StoreError>;
    async fn add_signing_key(&self, row: &SigningKeyRow) -> Result<bool, StoreError>;
    /// Adds it if no usable key of its algorithm begins to sign after `newest`: of several replicas that find the keys too old, one adds.
    async fn add_signing_key_after(
        &self,
        row: &SigningKeyRow,
        newest: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Adds keys and deletes every other, in one transaction. How many were deleted.
    async fn replace_signing_keys(&self, rows: &[SigningKeyRow]) -> Result<u64, StoreError>;
    /// From `Usable` to `Retiring`. `false` where it was not usable.
    async fn retire_signing_key(&self, kid: &str, retire_at: Timestamp)
    -> Result<bool, StoreError>;
    async fn delete_signing_key(&self, kid: &str) -> Result<bool, StoreError>;
}
