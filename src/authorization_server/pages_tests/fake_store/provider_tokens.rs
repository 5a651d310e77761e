//! What identity providers gave with log-ins: here they are asked about nobody again.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

#[async_trait]
impl ProviderTokenStore for FakeStore {
    async fn put_provider_login(&self, _login: &ProviderLogin) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn find_provider_word(
        &self,
        _user_id: UserId,
        _issuer: &str,
    ) -> Result<ProviderWord, StoreError> {
        unimplemented!()
    }
    async fn claim_provider_tokens(
        &self,
        _row: &ProviderTokensRow,
        _now: Timestamp,
        _until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn put_provider_answer(
        &self,
        _row: &ProviderTokensRow,
        _answer: &ProviderAnswer,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn put_off_provider_tokens(
        &self,
        _row: &ProviderTokensRow,
        _ask_at: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn end_provider_tokens(
        &self,
        _row: &ProviderTokensRow,
        _now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        unimplemented!()
    }
}
