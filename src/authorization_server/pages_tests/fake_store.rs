//! A store in memory, as far as the pages need one. The real ones have a suite of their own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::id::{ApprovalId, ClientId, GrantId, UserId};
use crate::store::*;
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct FakeStore(Mutex<Inner>);

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) users: Vec<UserRow>,
    pub(super) identities: HashMap<(String, String), UserId>,
    pub(super) links: Vec<OneTimeLink>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) attempts: HashMap<String, LoginAttempts>,
    pub(super) requests: Vec<AuthorizationRequestRow>,
    pub(super) grants: Vec<GrantRow>,
    pub(super) consents: Vec<Consent>,
}

impl FakeStore {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Database for FakeStore {
    fn answers(&self) -> bool {
        true
    }
}

#[async_trait]
impl ApprovalStore for FakeStore {
    async fn ask_approval(
        &self,
        _row: &ApprovalRow,
        _most_pending: u32,
        _now: Timestamp,
    ) -> Result<Asked, StoreError> {
        unimplemented!()
    }
    async fn find_approval(&self, _id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        unimplemented!()
    }
    async fn list_approvals(
        &self,
        _page: &PageRequest,
        _now: Timestamp,
    ) -> Result<Page<ApprovalRow>, StoreError> {
        unimplemented!()
    }
    async fn answer_approval(
        &self,
        _id: ApprovalId,
        _answer: &ApprovalAnswer,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn use_approval(
        &self,
        _call: &Digest,
        _now: Timestamp,
    ) -> Result<Option<UsedApproval>, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl PersonStore for FakeStore {
    async fn add_user(&self, row: &UserRow) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let taken = inner.users.iter().any(|user| user.username == row.username);
        if !taken {
            inner.users.push(row.clone());
        }
        Ok(!taken)
    }
    async fn find_user(&self, id: UserId) -> Result<Option<UserRow>, StoreError> {
        Ok(self.lock().users.iter().find(|user| user.id == id).cloned())
    }
    async fn find_user_by_name(&self, username: &str) -> Result<Option<UserRow>, StoreError> {
        Ok(self.lock().users.iter().find(|user| user.username == username).cloned())
    }
    async fn list_users(&self, _page: &PageRequest) -> Result<Page<UserRow>, StoreError> {
        unimplemented!()
    }
    async fn has_administrator(&self) -> Result<bool, StoreError> {
        Ok(self.lock().users.iter().any(|user| user.administrator && user.password_hash.is_some()))
    }
    async fn set_password(
        &self,
        user_id: UserId,
        password_hash: &str,
        link: Option<&Digest>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        if let Some(link) = link {
            let before = inner.links.len();
            inner.links.retain(|known| known.link != *link || known.expires_at <= now);
            if inner.links.len() == before {
                return Ok(false);
            }
        }
        inner.sessions.retain(|session| session.user_id != Some(user_id));
        let user = inner.users.iter_mut().find(|user| user.id == user_id);
        if let Some(user) = user {
            user.password_hash = Some(password_hash.to_owned());
        }
        Ok(true)
    }
    async fn set_administrator(
        &self,
        _id: UserId,
        _administrator: bool,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disable_user(&self, id: UserId, at: Option<Timestamp>) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        inner.sessions.retain(|session| session.user_id != Some(id));
        let user = inner.users.iter_mut().find(|user| user.id == id);
        Ok(user.map(|user| user.disabled_at = at).is_some())
    }
    async fn logged_in(&self, id: UserId, at: Timestamp) -> Result<(), StoreError> {
        let _ = (id, at);
        Ok(())
    }
    async fn list_identities(&self, user_id: UserId) -> Result<Vec<(String, String)>, StoreError> {
        let inner = self.lock();
        let of_user = inner.identities.iter().filter(|(_, id)| **id == user_id);
        Ok(of_user.map(|(key, _)| key.clone()).collect())
    }
    async fn user_of_identity(
        &self,
        identity: &ExternalIdentity,
        new_id: UserId,
        now: Timestamp,
    ) -> Result<UserRow, StoreError> {
        let mut inner = self.lock();
        let key = (identity.issuer.clone(), identity.subject.clone());
        if let Some(id) = inner.identities.get(&key).copied() {
            return inner
                .users
                .iter()
                .find(|user| user.id == id)
                .cloned()
                .ok_or(StoreError::Corrupt("identity"));
        }
        let user = UserRow {
            id: new_id,
            username: format!("{}-{}", identity.username, inner.users.len()),
            display_name: identity.display_name.clone(),
            email: identity.email.clone(),
            password_hash: None,
            administrator: false,
            groups: identity.groups.clone(),
            created_at: now,
            last_login_at: None,
            disabled_at: None,
        };
        inner.identities.insert(key, new_id);
        inner.users.push(user.clone());
        Ok(user)
    }
    async fn add_link(&self, link: &OneTimeLink) -> Result<(), StoreError> {
        self.lock().links.push(link.clone());
        Ok(())
    }
    async fn find_link(
        &self,
        link: &Digest,
        now: Timestamp,
    ) -> Result<Option<OneTimeLink>, StoreError> {
        let inner = self.lock();
        Ok(inner.links.iter().find(|known| known.link == *link && known.expires_at > now).cloned())
    }
    async fn add_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        self.lock().sessions.push(row.clone());
        Ok(())
    }
    async fn find_session(
        &self,
        session: &Digest,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        let inner = self.lock();
        let live = |row: &&SessionRow| row.expires_at > now && row.last_seen_at >= idle_since;
        Ok(inner.sessions.iter().filter(live).find(|row| row.session == *session).cloned())
    }
    async fn list_sessions(
        &self,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let inner = self.lock();
        let theirs = inner
            .sessions
            .iter()
            .filter(|row| row.user_id == Some(user_id) && row.expires_at > now);
        Ok(theirs.cloned().collect())
    }
    async fn rotate_session(&self, old: &Digest, new: &SessionRow) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let before = inner.sessions.len();
        inner.sessions.retain(|row| row.session != *old);
        let found = inner.sessions.len() < before;
        if found {
            inner.sessions.push(new.clone());
        }
        Ok(found)
    }
    async fn session_seen(&self, session: &Digest, at: Timestamp) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let row = inner.sessions.iter_mut().find(|row| row.session == *session);
        if let Some(row) = row {
            row.last_seen_at = at;
        }
        Ok(())
    }
    async fn end_session(&self, session: &Digest) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let before = inner.sessions.len();
        inner.sessions.retain(|row| row.session != *session);
        Ok(inner.sessions.len() < before)
    }
    async fn end_sessions(&self, user_id: UserId) -> Result<u64, StoreError> {
        let mut inner = self.lock();
        let before = inner.sessions.len();
        inner.sessions.retain(|row| row.user_id != Some(user_id));
        Ok((before - inner.sessions.len()) as u64)
    }
    async fn login_failed(
        &self,
        key: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<LoginAttempts, StoreError> {
        let mut inner = self.lock();
        let seen = inner.attempts.entry(key.to_owned()).or_default();
        if seen.last_failure_at.is_some_and(|last| now.since(last) >= window) {
            seen.failures = 0;
        }
        seen.failures += 1;
        seen.last_failure_at = Some(now);
        Ok(*seen)
    }
    async fn login_attempts(
        &self,
        key: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<LoginAttempts, StoreError> {
        let seen = self.lock().attempts.get(key).copied().unwrap_or_default();
        let live = seen.last_failure_at.is_some_and(|last| now.since(last) < window);
        Ok(if live { seen } else { LoginAttempts::default() })
    }
    async fn forget_login_failures(&self, key: &str) -> Result<(), StoreError> {
        self.lock().attempts.remove(key);
        Ok(())
    }
}

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
        grant: &GrantRow,
        code: &CodeRow,
    ) -> Result<(), StoreError> {
        let _ = code;
        self.lock().grants.push(grant.clone());
        Ok(())
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
        _issuer: &str,
        _jti: &str,
        _expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn clean_up(&self, _now: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl ClientStore for FakeStore {
    async fn find_client(&self, id: &ClientId) -> Result<Option<ClientRow>, StoreError> {
        let _ = id;
        Ok(None)
    }
    async fn add_client(&self, _row: &ClientRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn update_client(
        &self,
        _id: &ClientId,
        _metadata: &str,
        _digest: Digest,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn list_clients(&self, _page: &PageRequest) -> Result<Page<ClientRow>, StoreError> {
        unimplemented!()
    }
    async fn rotate_client_secret(
        &self,
        _id: &ClientId,
        _secret: Digest,
        _previous_until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disable_client(
        &self,
        _id: &ClientId,
        _at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_client(&self, _id: &ClientId) -> Result<bool, StoreError> {
        unimplemented!()
    }
    fn client_used(&self, _id: &ClientId, _at: Timestamp) {}
    async fn reap_clients(&self, _idle_since: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn find_metadata_document(
        &self,
        url: &str,
    ) -> Result<Option<MetadataDocument>, StoreError> {
        let _ = url;
        Ok(None)
    }
    async fn put_metadata_document(&self, _document: &MetadataDocument) -> Result<(), StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl ResourceStore for FakeStore {
    async fn add_resource(&self, _row: &ResourceRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn update_resource(&self, _row: &ResourceRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_resource(&self, _id: &str) -> Result<Option<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn find_resource_by_uri(&self, _uri: &str) -> Result<Option<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn list_resources(&self, _page: &PageRequest) -> Result<Page<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn delete_resource(&self, _id: &str, _now: Timestamp) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn add_api_key(&self, _row: &ApiKeyRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_api_key(&self, _prefix: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        unimplemented!()
    }
    async fn list_api_keys(&self, _resource_id: &str) -> Result<Vec<ApiKeyRow>, StoreError> {
        unimplemented!()
    }
    async fn revoke_api_key(
        &self,
        _resource_id: &str,
        _prefix: &str,
        _at: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    fn api_key_used(&self, _prefix: &str, _at: Timestamp) {}
}

#[async_trait]
impl SigningKeyStore for FakeStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        unimplemented!()
    }
    async fn add_first_signing_key(&self, _row: &SigningKeyRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn add_signing_key(&self, _row: &SigningKeyRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn replace_signing_keys(&self, _row: &SigningKeyRow) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn retire_signing_key(
        &self,
        _kid: &str,
        _retire_at: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_signing_key(&self, _kid: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl LeaseStore for FakeStore {
    async fn take_calls(
        &self,
        _key: &Digest,
        _rate: LeaseRate,
        _wanted: std::num::NonZeroU32,
        _now: Timestamp,
    ) -> Result<Lease, StoreError> {
        unimplemented!()
    }
    async fn forget_idle_rates(&self, _now: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
