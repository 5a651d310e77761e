//! [`SigningKeyStore`] on SQL.

use async_trait::async_trait;

use crate::store::error::StoreError;
use crate::store::signing_key::{SigningKeyRow, SigningKeyStore};
use crate::time::Timestamp;

use super::database::SqlDatabase;
use super::signing_key;

#[async_trait]
impl SigningKeyStore for SqlDatabase {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        self.named("list signing_keys")
            .read(&(), |c, none| Box::pin(signing_key::list(c, none)))
            .await
    }

    async fn add_first_signing_key(&self, row: &SigningKeyRow) -> Result<bool, StoreError> {
        self.named("add_first signing_keys")
            .write(row.clone(), |c, row| Box::pin(signing_key::add_first(c, row)))
            .await
    }

    async fn add_signing_key(&self, row: &SigningKeyRow) -> Result<bool, StoreError> {
        self.named("add signing_keys")
            .write(row.clone(), |c, row| Box::pin(signing_key::add(c, row)))
            .await
    }

    async fn add_signing_key_after(
        &self,
        row: &SigningKeyRow,
        newest: Timestamp,
    ) -> Result<bool, StoreError> {
        let what = (row.clone(), newest);
        self.named("add_after signing_keys")
            .write(what, |c, what| Box::pin(signing_key::add_after(c, what)))
            .await
    }

    async fn replace_signing_keys(&self, rows: &[SigningKeyRow]) -> Result<u64, StoreError> {
        self.named("replace signing_keys")
            .write(rows.to_vec(), |c, rows| Box::pin(signing_key::replace(c, rows)))
            .await
    }

    async fn retire_signing_key(
        &self,
        kid: &str,
        retire_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (kid.to_owned(), retire_at);
        self.named("retire signing_keys")
            .write(which, |c, which| Box::pin(signing_key::retire(c, which)))
            .await
    }

    async fn delete_signing_key(&self, kid: &str) -> Result<bool, StoreError> {
        self.named("delete signing_keys")
            .write(kid.to_owned(), |c, kid| Box::pin(signing_key::delete(c, kid)))
            .await
    }
}
