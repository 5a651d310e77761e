//! [`GrantStore`] on SQL.

use async_trait::async_trait;

use crate::id::{ClientId, GrantId, UserId};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::{
    AuthorizationRequestRow, CodeRedemption, CodeRow, Consent, ConsentKey, ConsentUse, GrantFilter,
    GrantOf, GrantRow, GrantStore, NewRefreshToken, Redeemed, RefreshRotation, RevokeReason,
    RevokedToken, Rotated,
};
use crate::store::page::{Page, PageRequest};
use crate::store::revoked::Revocation;
use crate::time::Timestamp;

use super::authorization_request;
use super::clean_up;
use super::code;
use super::consent;
use super::database::SqlDatabase;
use super::ending;
use super::grant;
use super::refresh;
use super::revocation;

impl SqlDatabase {
    /// After the commit: what this process revoked holds in this process at once.
    fn revoked(&self, revocations: &[Revocation]) -> u64 {
        self.shared.revoked.add(revocations);
        u64::try_from(revocations.len()).unwrap_or(u64::MAX)
    }
}

#[async_trait]
impl GrantStore for SqlDatabase {
    async fn add_authorization_request(
        &self,
        row: &AuthorizationRequestRow,
    ) -> Result<(), StoreError> {
        let row = row.clone();
        self.named("add authorization_requests")
            .write(row, |c, row| Box::pin(authorization_request::add(c, row)))
            .await
    }

    async fn find_authorization_request(
        &self,
        handle: &Digest,
        now: Timestamp,
    ) -> Result<Option<AuthorizationRequestRow>, StoreError> {
        let key = (*handle, now);
        self.named("find authorization_requests")
            .read(&key, |c, key| Box::pin(authorization_request::find(c, key)))
            .await
    }

    async fn bind_authorization_request(
        &self,
        handle: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = (*handle, *session, now);
        self.named("bind authorization_requests")
            .write(key, |c, key| Box::pin(authorization_request::bind(c, key)))
            .await
    }

    async fn take_authorization_request(
        &self,
        handle: &Digest,
        now: Timestamp,
    ) -> Result<Option<AuthorizationRequestRow>, StoreError> {
        let key = (*handle, now);
        self.named("take authorization_requests")
            .write(key, |c, key| Box::pin(authorization_request::take(c, key)))
            .await
    }

    async fn add_grant_with_code(
        &self,
        session: &Digest,
        grant: &GrantRow,
        code: &CodeRow,
        consent: Option<&ConsentUse>,
    ) -> Result<bool, StoreError> {
        let rows = (*session, (grant.clone(), code.clone()), consent.cloned());
        self.named("add_with_grant codes")
            .write(rows, |c, rows| Box::pin(code::add_in_session(c, rows)))
            .await
    }

    async fn add_grant(&self, grant: &GrantRow) -> Result<(), StoreError> {
        self.named("add grants").write(grant.clone(), |c, row| Box::pin(grant::add(c, row))).await
    }

    async fn find_code(&self, code: &Digest) -> Result<Option<CodeRow>, StoreError> {
        self.named("find codes").read(code, |c, code| Box::pin(code::find(c, code))).await
    }

    async fn redeem_code(&self, redemption: &CodeRedemption) -> Result<Redeemed, StoreError> {
        let asked = redemption.clone();
        let (redeemed, revoked) = self
            .named("redeem codes")
            .write(asked, |c, asked| Box::pin(code::redeem(c, asked)))
            .await?;
        self.revoked(revoked.as_slice());
        Ok(redeemed)
    }

    async fn return_code(&self, redemption: &CodeRedemption) -> Result<bool, StoreError> {
        let asked = redemption.clone();
        self.named("give_back codes")
            .write(asked, |c, asked| Box::pin(code::give_back(c, asked)))
            .await
    }

    async fn find_refresh_token(
        &self,
        token: &Digest,
    ) -> Result<Option<(GrantRow, NewRefreshToken)>, StoreError> {
        self.named("find refresh_tokens")
            .read(token, |c, token| Box::pin(refresh::find(c, token)))
            .await
    }

    async fn rotate_refresh_token(
        &self,
        rotation: &RefreshRotation,
    ) -> Result<Rotated, StoreError> {
        let asked = rotation.clone();
        let (rotated, revoked) = self
            .named("rotate refresh_tokens")
            .write(asked, |c, asked| Box::pin(refresh::rotate(c, asked)))
            .await?;
        self.revoked(revoked.as_slice());
        Ok(rotated)
    }

    async fn find_grant(&self, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
        self.named("find grants").read(&id, |c, id| Box::pin(grant::find(c, id))).await
    }

    async fn list_grants(
        &self,
        filter: &GrantFilter,
        page: &PageRequest,
    ) -> Result<Page<GrantRow>, StoreError> {
        let which = (filter.clone(), page.clone(), self.shared.clock.now());
        self.named("list grants").read(&which, |c, which| Box::pin(grant::list(c, which))).await
    }

    async fn revoke_grant(
        &self,
        id: GrantId,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (id, reason, now);
        let revoked = self
            .named("revoke grants")
            .write(which, |c, which| Box::pin(grant::revoke(c, which)))
            .await?;
        Ok(self.revoked(revoked.as_slice()) == 1)
    }

    async fn revoke_grants(
        &self,
        filter: &GrantFilter,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let which = (filter.clone(), reason, now);
        let revoked = self
            .named("revoke_all grants")
            .write(which, |c, which| Box::pin(grant::revoke_all(c, which)))
            .await?;
        Ok(self.revoked(&revoked))
    }

    async fn revoke_access_token(&self, token: &RevokedToken) -> Result<(), StoreError> {
        let one = [revocation::of_token(&token.jti, token.expires_at)];
        let write = one.clone();
        self.named("write revocations")
            .write(write, |c, one| Box::pin(revocation::write(c, one)))
            .await?;
        self.revoked(&one);
        Ok(())
    }

    fn is_revoked(&self, grant_id: Option<GrantId>, jti: Option<&str>) -> bool {
        self.shared.revoked.contains(grant_id, jti)
    }

    fn are_all_revoked(&self, grant_id: GrantId, of: &GrantOf<'_>) -> bool {
        self.shared.revoked.contains_all_of(grant_id, of)
    }

    fn is_client_revoked(&self, client_id: &str, issued_at: i64) -> bool {
        self.shared.revoked.contains_client(client_id, issued_at)
    }

    async fn find_consent(
        &self,
        key: &ConsentKey,
        now: Timestamp,
    ) -> Result<Option<Consent>, StoreError> {
        let key = (key.clone(), now);
        self.named("find consents").read(&key, |c, key| Box::pin(consent::find(c, key))).await
    }

    async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError> {
        self.named("put consents")
            .write(consent.clone(), |c, row| Box::pin(consent::put(c, row)))
            .await
    }

    async fn list_consents(&self, user_id: UserId) -> Result<Vec<Consent>, StoreError> {
        self.named("list consents").read(&user_id, |c, user| Box::pin(consent::list(c, user))).await
    }

    async fn withdraw(
        &self,
        user_id: UserId,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let which = (user_id, client_id.clone(), now);
        let ended = self
            .named("withdraw consents")
            .write(which, |c, which| Box::pin(consent::withdraw(c, which)))
            .await?;
        Ok(self.finish(ended).await)
    }

    async fn first_use(
        &self,
        issuer: &str,
        jti: &str,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (issuer.to_owned(), Digest::of(jti), expires_at);
        self.named("first_use assertions")
            .write(which, |c, which| Box::pin(clean_up::first_use(c, which)))
            .await
    }

    async fn clean_up(&self, now: Timestamp) -> Result<u64, StoreError> {
        let ended = ending::finish_all(&self.backend(), &self.shared.revoked).await?;
        Ok(ended + clean_up::clean_up(&self.backend(), now).await?)
    }
}
