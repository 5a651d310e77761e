//! Requests that wait for a person, and what people allowed.

use async_trait::async_trait;

use crate::id::{ClientId, GrantId, UserId};
use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

#[async_trait]
impl GrantStore for FakeStore {
    async fn add_authorization_request(
        &self,
        row: &AuthorizationRequestRow,
    ) -> Result<(), StoreError> {
        self.lock().requests.push(row.clone());
        Ok(())
    }
    async fn find_authorization_request(
        &self,
        handle: &Digest,
        now: Timestamp,
    ) -> Result<Option<AuthorizationRequestRow>, StoreError> {
        let inner = self.lock();
        Ok(inner.requests.iter().find(|row| row.handle == *handle && row.expires_at > now).cloned())
    }
    async fn bind_authorization_request(
        &self,
        handle: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let live =
            |row: &&mut AuthorizationRequestRow| row.handle == *handle && row.expires_at > now;
        let Some(row) = inner.requests.iter_mut().find(live) else { return Ok(false) };
        Ok(*row.session.get_or_insert(*session) == *session)
    }
    async fn take_authorization_request(
        &self,
        handle: &Digest,
        now: Timestamp,
    ) -> Result<Option<AuthorizationRequestRow>, StoreError> {
        let mut inner = self.lock();
        let place =
            inner.requests.iter().position(|row| row.handle == *handle && row.expires_at > now);
        Ok(place.map(|place| inner.requests.remove(place)))
    }
    async fn add_grant_with_code(
        &self,
        session: &Digest,
        grant: &GrantRow,
        code: &CodeRow,
        consent: Option<&ConsentUse>,
    ) -> Result<bool, StoreError> {
        let _ = code;
        let mut inner = self.lock();
        if inner.ends_meanwhile {
            inner.sessions.clear();
        }
        if !inner.sessions.iter().any(|row| row.session == *session) {
            return Ok(false);
        }
        match consent {
            Some(ConsentUse::Given(given)) => {
                let mut given = given.clone();
                if let Some(at) = inner.consents.iter().position(|known| known.key == given.key) {
                    given.scopes = inner.consents.remove(at).scopes.union(&given.scopes);
                }
                inner.consents.push(given);
            }
            Some(ConsentUse::Standing(key))
                if !inner.consents.iter().any(|known| known.key == *key) =>
            {
                return Ok(false);
            }
            Some(ConsentUse::Standing(_)) | None => {}
        }
        inner.grants.push(grant.clone());
        Ok(true)
    }
    async fn add_grant(&self, _grant: &GrantRow) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn find_code(&self, _code: &Digest) -> Result<Option<CodeRow>, StoreError> {
        unimplemented!()
    }
    async fn redeem_code(&self, _redemption: &CodeRedemption) -> Result<Redeemed, StoreError> {
        unimplemented!()
    }
    async fn return_code(&self, _redemption: &CodeRedemption) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_refresh_token(
        &self,
        _token: &Digest,
    ) -> Result<Option<(GrantRow, NewRefreshToken)>, StoreError> {
        unimplemented!()
    }
    async fn rotate_refresh_token(
        &self,
        _rotation: &RefreshRotation,
    ) -> Result<Rotated, StoreError> {
        unimplemented!()
    }
    async fn find_grant(&self, _id: GrantId) -> Result<Option<GrantRow>, StoreError> {
        unimplemented!()
    }
    async fn list_grants(
        &self,
        filter: &GrantFilter,
        page: &PageRequest,
    ) -> Result<Page<GrantRow>, StoreError> {
        let _ = page;
        let inner = self.lock();
        let theirs = inner
            .grants
            .iter()
            .filter(|grant| grant.user_id == filter.user_id && grant.revoked_at.is_none());
        Ok(Page { rows: theirs.cloned().collect(), next: None })
    }
    async fn revoke_grant(
        &self,
        _id: GrantId,
        _reason: RevokeReason,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn revoke_grants(
        &self,
        _filter: &GrantFilter,
        _reason: RevokeReason,
        _now: Timestamp,
    ) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn revoke_access_token(&self, _token: &RevokedToken) -> Result<(), StoreError> {
        unimplemented!()
    }
    fn is_revoked(&self, _grant_id: Option<GrantId>, _jti: Option<&str>) -> bool {
        false
    }
    fn are_all_revoked(&self, _grant_id: GrantId, _of: &GrantOf<'_>) -> bool {
        false
    }
    fn is_client_revoked(&self, _client_id: &str, _issued_at: i64) -> bool {
        false
    }
    async fn find_consent(
        &self,
        key: &ConsentKey,
        now: Timestamp,
    ) -> Result<Option<Consent>, StoreError> {
        let inner = self.lock();
        Ok(inner.consents.iter().find(|known| known.key == *key && known.expires_at > now).cloned())
    }
    async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.consents.retain(|known| known.key != consent.key);
        inner.consents.push(consent.clone());
        Ok(())
    }
    async fn list_consents(&self, user_id: UserId) -> Result<Vec<Consent>, StoreError> {
        let inner = self.lock();
        Ok(inner.consents.iter().filter(|known| known.key.user_id == user_id).cloned().collect())
    }
    async fn withdraw(
        &self,
        user_id: UserId,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut inner = self.lock();
        inner
            .consents
            .retain(|known| known.key.user_id != user_id || known.key.client_id != *client_id);
        let mut count = 0;
        for grant in &mut inner.grants {
            if grant.user_id == Some(user_id)
                && grant.client_id == *client_id
                && grant.revoked_at.is_none()
            {
                grant.revoked_at = Some(now);
                count += 1;
            }
        }
        Ok(count)
    }
    async fn first_use(
        &self,
        issuer: &str,
        jti: &str,
        _expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (mut inner, one) = (self.lock(), (issuer.to_owned(), jti.to_owned()));
        let first = !inner.used.contains(&one);
        inner.used.push(one);
        Ok(first)
    }
    async fn clean_up(&self, _now: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
