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
        let whose = inner.users.iter().find(|user| Some(user.id) == owner);
        let all_they_show = whose.is_some_and(|user| user.own_login.password_hash().is_none());
        let by_itself = used.beside.is_none() || all_they_show;
        let row = inner.passkeys.iter_mut().find(|row| row.credential_id == used.credential_id);
        let counts = |row: &&mut PasskeyRow| {
            (row.alone || !by_itself)
                && (row.sign_count < used.sign_count
                    || (row.sign_count == 0 && used.sign_count == 0))
        };

        let Some(row) = row.filter(counts) else { return Ok(false) };
        (row.sign_count, row.backed_up) = (used.sign_count, used.backed_up);
        row.last_used_at = Some(used.at);
        row.alone |= owner == Some(row.user_id);
        Ok(true)
    }
    async fn set_up_passkey(&self, new: &PasskeySetUp) -> Result<PasskeyAdded, StoreError> {
        let PasskeySetUp { row, most, recovery_codes, second, link, mark, at } = new;
        let open = |known: &&OneTimeLink| known.link == *link && known.expires_at > *at;
        if !self.lock().links.iter().any(|known| open(&known) && known.user_id == row.user_id) {
            return Ok(PasskeyAdded::Refused);
        }
        let added = self.add_passkey(row, *most, recovery_codes, (None, *second)).await?;
        if added == PasskeyAdded::Refused {
            return Ok(added);
        }
        let mut inner = self.lock();
        inner.links.retain(|known| known.user_id != row.user_id);
        inner.sessions.retain(|session| session.user_id != Some(row.user_id));
        let theirs = inner.passkeys.iter_mut().filter(|known| known.user_id == row.user_id);
        theirs.for_each(|known| known.alone = known.credential_id == row.credential_id);
        let user = inner.users.iter_mut().find(|user| user.id == row.user_id);
        if let Some(user) = user {
            user.own_login = OwnLogin::Passkeys(mark.clone());
        }
        Ok(added)
    }
    async fn remove_passkey(
        &self,
        user_id: UserId,
        credential_id: &str,
    ) -> Result<PasskeyRemoved, StoreError> {
        let mut inner = self.lock();
        let without_password = inner
            .users
            .iter()
            .any(|user| user.id == user_id && matches!(user.own_login, OwnLogin::Passkeys(_)));
        let theirs = |row: &PasskeyRow| row.user_id == user_id;
        let others = inner.passkeys.iter().filter(|row| theirs(row) && row.alone);
        let others = others.filter(|row| row.credential_id != credential_id).count();
        if without_password && others == 0 {
            return Ok(PasskeyRemoved::Last);
        }
        let before = inner.passkeys.len();
        inner.passkeys.retain(|row| !theirs(row) || row.credential_id != credential_id);
        let done = inner.passkeys.len() < before;
        Ok(if done { PasskeyRemoved::Done } else { PasskeyRemoved::Unknown })
    }
}
