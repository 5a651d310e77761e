//! Between a right password and what has to follow it: no session yet.
//!
//! Kept in the store, and known by a cookie of its own that is as old as it: the second step is taken where the first was.
//! A new password, "log out everywhere" and a disabled account end it as they end sessions.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::authorization_server::pages::Fault;
use crate::authorization_server::person::{People, with_cookie};
use crate::authorization_server::second_factor::Factors;
use crate::authorization_server::session::{BeginError, CookieKind, CookieValue};
use crate::store::{Digest, LoginOrigin, NewSession, SessionRow, StoreError, UserRow};
use crate::time::Timestamp;

use super::with_request;

/// What its row has as its method; such a row is no session.
pub(crate) const FIRST_STEP: &str = "first_step";
/// How long somebody may take over the second step.
const LIVES: Duration = Duration::from_mins(10);

pub(super) const CODE_PATH: &str = "/login/code";
pub(super) const ENROL_PATH: &str = "/login/authenticator";

/// A password that was right, in this browser, a moment ago.
#[derive(Debug)]
pub(super) struct FirstStep {
    /// Names it in the store.
    pub(super) key: Digest,
    /// Its own: what follows is bound to it.
    pub(super) cookie: CookieValue,
    pub(super) user: UserRow,
}

impl FirstStep {
    /// Where this person has to go on after their password, which was compared with what `user` says; `None` where nothing
    /// has to follow it.
    ///
    /// # Errors
    ///
    /// [`BeginError`]
    pub(super) async fn take(
        people: &People,
        (headers, browser): (&HeaderMap, &CookieValue),
        user: &UserRow,
        request: Option<&str>,
    ) -> Result<Option<Response>, BeginError> {
        let server = &people.server;
        let path = if !Factors::of(server, user.id).await?.is_empty() {
            CODE_PATH
        } else if server.settings.requires_second_factor(user) {
            ENROL_PATH
        } else {
            return Ok(None);
        };
        let (now, cookies) = (server.clock.now(), server.cookies());
        let cookie = CookieValue::generate(server.random.as_ref());
        let row = SessionRow {
            session: cookie.digest(CookieKind::FirstStep),
            user_id: Some(user.id),
            auth_time: Some(now),
            method: Some(FIRST_STEP.to_owned()),
            login: LoginOrigin::default(),
            pending: None,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(LIVES),
        };
        let before = cookies.read(CookieKind::FirstStep, headers);
        let before = before.map(|before| before.digest(CookieKind::FirstStep));
        let guard = user.own_login.guard().map(str::to_owned);
        let new = NewSession { row, before, guard, provider: None };
        if !server.store.begin_session(&new).await? {
            return Err(BeginError::Stale);
        }
        let response = people.remember(browser, people.lead_to(&with_request(path, request)));
        let line = cookies.set(CookieKind::FirstStep, &cookie, Some(LIVES));
        Ok(Some(with_cookie(response, line)))
    }

    /// What was begun in this browser; `None` where nothing was, or it is over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn find(
        people: &People,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, StoreError> {
        let cookie = people.server.cookies().read(CookieKind::FirstStep, headers);
        let Some(cookie) = cookie else { return Ok(None) };
        let (store, key) = (&people.server.store, cookie.digest(CookieKind::FirstStep));
        let row = store.find_session(&key, Timestamp::default(), people.server.clock.now()).await?;
        let row = row.filter(|row| row.method.as_deref() == Some(FIRST_STEP));
        let Some(user_id) = row.and_then(|row| row.user_id) else { return Ok(None) };
        let user = store.find_user(user_id).await?.filter(|user| user.disabled_at.is_none());
        Ok(user.map(|user| Self { key, cookie, user }))
    }

    /// Uses it up, once. A session begins only while the person still has the password that they have here.
    ///
    /// # Errors
    ///
    /// [`Fault::NoLogin`] where somebody else was faster.
    pub(super) async fn finish(self, people: &People) -> Result<UserRow, Fault> {
        let ended = people.server.store.end_session(&self.key).await?;
        ended.then_some(self.user).ok_or(Fault::NoLogin)
    }
}
