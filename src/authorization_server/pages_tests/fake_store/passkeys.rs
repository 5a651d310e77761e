//! Passkeys.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::*;

use super::FakeStore;

#[async_trait]
impl PasskeyStore for FakeStore {
    async fn list_passkeys(&self, user_id: UserId) -> Result<Vec<PasskeyRow>, StoreError> {
        let inner = self.lock();
        Ok(inner.passkeys.iter().filter(|row| row.user_id == user_id).cloned().collect())
    }
    async fn find_passkey(&self, credential_id: &str) -> Result<Option<PasskeyRow>, StoreError> {
        let inner = self.lock();
        Ok(inner.passkeys.iter().find(|row| row.credential_id == credential_id).cloned())
    }
    async fn add_passkey(
        &self,
        row: &PasskeyRow,
        most: usize,
        recovery_codes: &[Digest],
        (_guard, second): (Option<&str>, bool),
    ) -> Result<PasskeyAdded, StoreError> {
        let mut inner = self.lock();
        let theirs = inner.passkeys.iter().filter(|known| known.user_id == row.user_id).count();
        if theirs >= most
            || inner.passkeys.iter().any(|known| known.credential_id == row.credential_id)
        {
            return Ok(PasskeyAdded::Refused);
        }
        let app = inner.authenticators.iter().any(|known| known.user_id == row.user_id);
        if !second && (app || theirs > 0) {
            return Ok(PasskeyAdded::Refused);
        }
        inner.passkeys.push(row.clone());
        if app || theirs > 0 {
            return Ok(PasskeyAdded::Another);
        }
        inner.recovery_codes.extend(recovery_codes.iter().map(|code| (row.user_id, *code)));
        Ok(PasskeyAdded::First)
    }
    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let session = inner.sessions.iter().find(|row| Some(row.session) == used.beside);
        let owner = session.and_then(|row| row.user_id);
        let row = inner.passkeys.iter_mut().find(|row| row.credential_id == used.credential_id);
        let counts = |row: &&mut PasskeyRow| {
            (row.alone || used.beside.is_some())
                && (row.sign_count < used.sign_count
                    || (row.sign_count == 0 && used.sign_count == 0))
        };

        let Some(row) = row.filter(counts) else { return Ok(false) };
        (row.sign_count, row.backed_up) = (used.sign_count, used.backed_up);
        row.last_used_at = Some(used.at);
        row.alone |= owner == Some(row.user_id);
        Ok(true)
    }
    async fn remove_passkey(
        &self,
        user_id: UserId,
        credential_id: &str,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let before = inner.passkeys.len();
        inner.passkeys.retain(|row| row.user_id != user_id || row.credential_id != credential_id);
        Ok(inner.passkeys.len() < before)
    }
}
