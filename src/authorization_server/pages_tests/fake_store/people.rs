//! Users, their links and sessions.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

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
        let mut inner = self.lock();
        let found = inner.users.iter().find(|user| user.username == username).cloned();
        if let Some(hash) = inner.set_meanwhile.take() {
            inner.sessions.clear();
            inner
                .users
                .iter_mut()
                .for_each(|user| user.own_login = OwnLogin::Password(hash.clone()));
        }
        Ok(found)
    }
    async fn list_users(&self, _page: &PageRequest) -> Result<Page<UserRow>, StoreError> {
        unimplemented!()
    }
    async fn has_administrator(&self) -> Result<bool, StoreError> {
        Ok(self.lock().users.iter().any(|user| user.administrator && !user.own_login.is_nothing()))
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
        let theirs = inner.passkeys.iter_mut().filter(|row| row.user_id == user_id);
        theirs.for_each(|row| row.alone = false);
        let user = inner.users.iter_mut().find(|user| user.id == user_id);
        if let Some(user) = user {
            user.own_login = OwnLogin::Password(password_hash.to_owned());
        }
        Ok(true)
    }
    async fn add_password(
        &self,
        user_id: UserId,
        password_hash: &str,
        guard: &str,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let known = OwnLogin::Passkeys(guard.to_owned());
        let user = inner.users.iter_mut().find(|user| user.id == user_id);
        let user = user.filter(|user| user.disabled_at.is_none() && user.own_login == known);
        let Some(user) = user else { return Ok(false) };
        user.own_login = OwnLogin::Password(password_hash.to_owned());
        Ok(true)
    }
    async fn change_user(&self, _profile: &UserProfile) -> Result<bool, StoreError> {
        unimplemented!()
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
    async fn step_down(&self, _id: UserId, _how: StepDown) -> Result<UserRemoved, StoreError> {
        unimplemented!()
    }
    async fn remove_user(&self, _removal: &UserRemoval) -> Result<UserRemoved, StoreError> {
        unimplemented!()
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
    async fn find_user_of_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserRow>, StoreError> {
        let inner = self.lock();
        let id = inner.identities.get(&(issuer.to_owned(), subject.to_owned())).copied();
        Ok(inner.users.iter().find(|user| Some(user.id) == id).cloned())
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
            own_login: OwnLogin::Nothing,
            administrator: false,
            groups: identity.groups.clone(),
            groups_incomplete: identity.groups_incomplete,
            roles: identity.roles.clone(),
            roles_incomplete: identity.roles_incomplete,
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
        let mut inner = self.lock();
        assert!(inner.sessions.iter().all(|known| known.session != row.session), "a key twice");
        inner.sessions.push(row.clone());
        Ok(())
    }
    async fn put_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.sessions.retain(|known| known.session != row.session);
        inner.sessions.push(row.clone());
        Ok(())
    }
    async fn find_session(
        &self,
        session: &Digest,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        let mut inner = self.lock();
        inner.session_looks += 1;
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
    async fn begin_session(&self, new: &NewSession) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let NewSession { row, before, guard, provider: _ } = new;
        let fits = |user: &UserRow| {
            row.user_id == Some(user.id)
                && user.disabled_at.is_none()
                && (guard.is_none() || user.own_login.guard() == guard.as_deref())
        };
        if !inner.users.iter().any(fits) {
            return Ok(false);
        }
        let old = inner.sessions.iter().position(|known| Some(known.session) == *before);
        let old = old.map(|place| inner.sessions.remove(place));
        let mut row = row.clone();
        if let Some(old) = old.filter(|old| old.user_id == row.user_id) {
            let theirs = inner.requests.iter_mut().filter(|it| it.session == Some(old.session));
            theirs.for_each(|it| it.session = Some(row.session));
            row.login.sid = old.login.sid.or(row.login.sid);
        }
        inner.sessions.push(row);
        Ok(true)
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
    async fn count_attempt(
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
    async fn take_back_attempt(&self, key: &str) -> Result<(), StoreError> {
        if let Some(seen) = self.lock().attempts.get_mut(key) {
            seen.failures = seen.failures.saturating_sub(1);
        }
        Ok(())
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
