//! [`PersonStore`] on SQL.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::store::person::{
    ExternalIdentity, LoginAttempts, NewSession, OneTimeLink, PersonStore, SessionRow, StepDown,
    UserProfile, UserRemoval, UserRemoved, UserRow,
};
use crate::time::Timestamp;

use super::database::SqlDatabase;
use super::link;
use super::login;
use super::session;
use super::user;
use super::user_removal;

#[async_trait]
impl PersonStore for SqlDatabase {
    async fn add_user(&self, row: &UserRow) -> Result<bool, StoreError> {
        self.named("add users").write(row.clone(), |c, row| Box::pin(user::add(c, row))).await
    }

    async fn find_user(&self, id: UserId) -> Result<Option<UserRow>, StoreError> {
        self.named("find users").read(&id, |c, id| Box::pin(user::find(c, id))).await
    }

    async fn find_user_by_name(&self, username: &str) -> Result<Option<UserRow>, StoreError> {
        let name = username.to_owned();
        self.named("find_by_name users")
            .read(&name, |c, name| Box::pin(user::find_by_name(c, name)))
            .await
    }

    async fn list_users(&self, page: &PageRequest) -> Result<Page<UserRow>, StoreError> {
        self.named("list users").read(page, |c, page| Box::pin(user::list(c, page))).await
    }

    async fn has_administrator(&self) -> Result<bool, StoreError> {
        self.named("has_administrator users")
            .read(&(), |c, none| Box::pin(user::has_administrator(c, none)))
            .await
    }

    async fn set_password(
        &self,
        user_id: UserId,
        password_hash: &str,
        link: Option<&Digest>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let new = (user_id, password_hash.to_owned(), link.copied(), now);
        let (set, ended) = self
            .named("set_password users")
            .write(new, |c, new| Box::pin(user::set_password(c, new)))
            .await?;
        self.finish(ended).await;
        Ok(set)
    }

    async fn add_password(
        &self,
        user_id: UserId,
        password_hash: &str,
        guard: &str,
    ) -> Result<bool, StoreError> {
        let new = (user_id, password_hash.to_owned(), guard.to_owned());
        self.named("add_password users")
            .write(new, |c, new| Box::pin(user::add_password(c, new)))
            .await
    }

    async fn change_user(&self, profile: &UserProfile) -> Result<bool, StoreError> {
        self.backend().write(profile.clone(), |c, new| Box::pin(user::change(c, new))).await
    }

    async fn set_administrator(&self, id: UserId, administrator: bool) -> Result<bool, StoreError> {
        let new = (id, administrator);
        self.named("set_administrator users")
            .write(new, |c, new| Box::pin(user::set_administrator(c, new)))
            .await
    }

    async fn disable_user(&self, id: UserId, at: Option<Timestamp>) -> Result<bool, StoreError> {
        let new = (id, at);
        let (found, ended) = self
            .named("disable users")
            .write(new, |c, new| Box::pin(user::disable(c, new)))
            .await?;
        self.finish(ended).await;
        Ok(found)
    }

    async fn step_down(&self, id: UserId, how: StepDown) -> Result<UserRemoved, StoreError> {
        let (done, ended) = self
            .named("step_down users")
            .write((id, how), |c, asked| Box::pin(user_removal::step_down(c, asked)))
            .await?;
        self.finish(ended).await;
        Ok(done)
    }

    async fn remove_user(&self, removal: &UserRemoval) -> Result<UserRemoved, StoreError> {
        let (removed, ended) = self
            .named("remove users")
            .write(removal.clone(), |c, asked| Box::pin(user_removal::remove(c, asked)))
            .await?;
        self.finish(ended).await;
        Ok(removed)
    }

    async fn logged_in(&self, id: UserId, at: Timestamp) -> Result<(), StoreError> {
        self.named("logged_in users")
            .write((id, at), |c, new| Box::pin(user::logged_in(c, new)))
            .await
    }

    async fn list_identities(&self, user_id: UserId) -> Result<Vec<(String, String)>, StoreError> {
        self.named("identities identities")
            .read(&user_id, |c, id| Box::pin(user::identities(c, id)))
            .await
    }

    async fn user_of_identity(
        &self,
        identity: &ExternalIdentity,
        new_id: UserId,
        now: Timestamp,
    ) -> Result<UserRow, StoreError> {
        let which = (identity.clone(), new_id, now);
        self.named("of_identity identities")
            .write(which, |c, which| Box::pin(user::of_identity(c, which)))
            .await
    }

    async fn find_user_of_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserRow>, StoreError> {
        let which = (issuer.to_owned(), subject.to_owned());
        self.named("find_by_identity identities")
            .read(&which, |c, which| Box::pin(user::find_by_identity(c, which)))
            .await
    }

    async fn add_link(&self, link: &OneTimeLink) -> Result<(), StoreError> {
        self.named("add links").write(link.clone(), |c, link| Box::pin(link::add(c, link))).await
    }

    async fn find_link(
        &self,
        link: &Digest,
        now: Timestamp,
    ) -> Result<Option<OneTimeLink>, StoreError> {
        self.named("find links").read(&(*link, now), |c, key| Box::pin(link::find(c, key))).await
    }

    async fn add_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        self.named("add sessions").write(row.clone(), |c, row| Box::pin(session::add(c, row))).await
    }

    async fn put_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        self.backend().write(row.clone(), |c, row| Box::pin(session::put(c, row))).await
    }

    async fn find_session(
        &self,
        session: &Digest,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        let key = (*session, idle_since, now);
        self.named("find sessions").read(&key, |c, key| Box::pin(session::find(c, key))).await
    }

    async fn list_sessions(
        &self,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.named("list sessions")
            .read(&(user_id, now), |c, key| Box::pin(session::list(c, key)))
            .await
    }

    async fn begin_session(&self, new: &NewSession) -> Result<bool, StoreError> {
        self.named("begin sessions")
            .write(new.clone(), |c, new| Box::pin(session::begin(c, new)))
            .await
    }

    async fn session_seen(&self, session: &Digest, at: Timestamp) -> Result<(), StoreError> {
        self.named("seen sessions")
            .write((*session, at), |c, key| Box::pin(session::seen(c, key)))
            .await
    }

    async fn end_session(&self, session: &Digest) -> Result<bool, StoreError> {
        self.named("end sessions")
            .write(*session, |c, session| Box::pin(session::end(c, session)))
            .await
    }

    async fn end_sessions(&self, user_id: UserId) -> Result<u64, StoreError> {
        self.named("end_all sessions")
            .write(user_id, |c, user| Box::pin(session::end_all(c, user)))
            .await
    }

    async fn count_attempt(
        &self,
        key: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<LoginAttempts, StoreError> {
        let attempt = attempt(key, now, window);
        self.named("failed login_failures")
            .write(attempt, |c, attempt| Box::pin(login::failed(c, attempt)))
            .await
    }

    async fn take_back_attempt(&self, key: &str) -> Result<(), StoreError> {
        self.named("take_back login_failures")
            .write(key.to_owned(), |c, key| Box::pin(login::take_back(c, key)))
            .await
    }

    async fn login_attempts(
        &self,
        key: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<LoginAttempts, StoreError> {
        let attempt = attempt(key, now, window);
        self.named("found login_failures")
            .read(&attempt, |c, attempt| Box::pin(login::found(c, attempt)))
            .await
    }

    async fn forget_login_failures(&self, key: &str) -> Result<(), StoreError> {
        self.named("forget login_failures")
            .write(key.to_owned(), |c, key| Box::pin(login::forget(c, key)))
            .await
    }
}

fn attempt(key: &str, now: Timestamp, window: Duration) -> login::Attempt {
    let seconds = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
    (key.to_owned(), now, now.plus_seconds(seconds.saturating_neg()))
}
