//! Authenticator apps and recovery codes.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::*;

use super::FakeStore;

#[async_trait]
impl AuthenticatorStore for FakeStore {
    async fn find_authenticator(
        &self,
        user_id: UserId,
    ) -> Result<Option<AuthenticatorRow>, StoreError> {
        let mut inner = self.lock();
        if let Some(hash) = inner.set_at_authenticator.take() {
            inner.sessions.clear();
            inner
                .users
                .iter_mut()
                .for_each(|user| user.own_login = OwnLogin::Password(hash.clone()));
        }
        Ok(inner.authenticators.iter().find(|row| row.user_id == user_id).cloned())
    }
    async fn add_authenticator(
        &self,
        row: &AuthenticatorRow,
        recovery_codes: &[Digest],
        guard: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let fits = |user: &UserRow| {
            user.id == row.user_id && (guard.is_none() || user.own_login.guard() == guard)
        };
        if !inner.users.iter().any(fits) {
            return Ok(false);
        }
        if inner.authenticators.iter().any(|known| known.user_id == row.user_id) {
            return Ok(false);
        }
        inner.authenticators.push(row.clone());
        inner.recovery_codes.extend(recovery_codes.iter().map(|code| (row.user_id, *code)));
        Ok(true)
    }
    async fn use_step(&self, user_id: UserId, step: u64) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let row = inner.authenticators.iter_mut().find(|row| row.user_id == user_id);
        let row = row.filter(|row| row.last_step < step);
        Ok(row.map(|row| row.last_step = step).is_some())
    }
    async fn use_recovery_code(&self, user_id: UserId, code: &Digest) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let before = inner.recovery_codes.len();
        inner.recovery_codes.retain(|known| *known != (user_id, *code));
        Ok(inner.recovery_codes.len() < before)
    }
    async fn replace_recovery_codes(
        &self,
        user_id: UserId,
        codes: &[Digest],
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        inner.recovery_codes.retain(|(known, _)| *known != user_id);
        inner.recovery_codes.extend(codes.iter().map(|code| (user_id, *code)));
        Ok(inner.authenticators.iter().any(|row| row.user_id == user_id)
            || inner.passkeys.iter().any(|row| row.user_id == user_id))
    }
    async fn count_recovery_codes(&self, user_id: UserId) -> Result<u64, StoreError> {
        Ok(self.lock().recovery_codes.iter().filter(|(known, _)| *known == user_id).count() as u64)
    }
    async fn remove_authenticator(&self, user_id: UserId) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let before = inner.authenticators.len();
        inner.authenticators.retain(|row| row.user_id != user_id);
        inner.recovery_codes.retain(|(known, _)| *known != user_id);
        Ok(inner.authenticators.len() < before)
    }
    async fn start_over(&self, _link: &OneTimeLink) -> Result<bool, StoreError> {
        unimplemented!()
    }
}
