//! Between a right password and what has to follow it: no session yet.
//!
//! Kept in the store for this very browser, so that the second step is taken where the first was, and by the same person.
//! A new password, "log out everywhere" and a disabled account end it as they end sessions.

use std::time::Duration;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authorization_server::pages::Fault;
use crate::authorization_server::person::People;
use crate::authorization_server::session::{CookieKind, CookieValue};
use crate::store::{Digest, LoginOrigin, SessionRow, StoreError, UserRow};
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
    pub(super) user: UserRow,
}

impl FirstStep {
    /// Where this person has to go on after their password; `None` where nothing has to follow it. The browser is to be
    /// sent its cookie.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn take(
        people: &People,
        browser: &CookieValue,
        user: &UserRow,
        request: Option<&str>,
    ) -> Result<Option<Response>, StoreError> {
        let server = &people.server;
        let path = if server.store.find_authenticator(user.id).await?.is_some() {
            CODE_PATH
        } else if server.settings.requires_second_factor(user) {
            ENROL_PATH
        } else {
            return Ok(None);
        };
        let now = server.clock.now();
        let row = SessionRow {
            session: key(browser),
            user_id: Some(user.id),
            auth_time: Some(now),
            method: Some(FIRST_STEP.to_owned()),
            login: LoginOrigin::default(),
            pending: None,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(LIVES),
        };
        server.store.put_session(&row).await?;
        let response = people.lead_to(&with_request(path, request));
        Ok(Some(people.remember(browser, response)))
    }

    /// What was begun in this browser; `None` where nothing was, or it is over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn find(
        people: &People,
        browser: Option<&CookieValue>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(browser) = browser else { return Ok(None) };
        let (store, key) = (&people.server.store, key(browser));
        let row = store.find_session(&key, Timestamp::default(), people.server.clock.now()).await?;
        let row = row.filter(|row| row.method.as_deref() == Some(FIRST_STEP));
        let Some(user_id) = row.and_then(|row| row.user_id) else { return Ok(None) };
        let user = store.find_user(user_id).await?.filter(|user| user.disabled_at.is_none());
        Ok(user.map(|user| Self { key, user }))
    }

    /// Uses it up, once.
    ///
    /// # Errors
    ///
    /// [`Fault::NoLogin`] where somebody else was faster.
    pub(super) async fn finish(self, people: &People) -> Result<UserRow, Fault> {
        let ended = people.server.store.end_session(&self.key).await?;
        ended.then_some(self.user).ok_or(Fault::NoLogin)
    }
}

/// How the store knows it: not how it knows sessions, nor known browsers.
fn key(browser: &CookieValue) -> Digest {
    let browser = URL_SAFE_NO_PAD.encode(browser.digest(CookieKind::Browser).as_bytes());
    Digest::of(&format!("first step|{browser}"))
}
