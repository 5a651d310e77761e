//! Browser sessions: kept in the store, known by a cookie, new at every login.

mod cookie;
mod csrf;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::UserId;
use crate::random::Random;
use crate::store::{LoginOrigin, NewSession, OwnLogin, SessionRow, StoreError};
use crate::time::Timestamp;

use super::login::{DEVICE_METHOD, FIRST_STEP};
use super::person::Person;
use super::server::AuthorizationServer;

pub(crate) use cookie::{CookieKind, CookieValue, Cookies, is_loopback};
pub(crate) use csrf::{FormPurpose, is_same_origin};

/// Without a request for this long, a session is over.
const IDLE: Duration = Duration::from_hours(2);
/// However busy it is, a session ends after this long.
const ABSOLUTE: Duration = Duration::from_hours(12);
/// The method of who logged in here with a password, whatever came after it.
pub(crate) const PASSWORD: &str = "pwd";
/// The method of who logged in here with a passkey and nothing else.
pub(crate) const PASSKEY: &str = "passkey";
/// `acr` of who showed two factors here.
pub(crate) const TWO_FACTORS: &str = "mfa";
/// `last_seen_at` is written this often at most.
const SEEN_EVERY: Duration = Duration::from_mins(1);

/// A live session together with the cookie that proves it; forms are bound to the cookie.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) person: Person,
    pub(crate) cookie: CookieValue,
}

impl AuthorizationServer {
    /// How this deployment's cookies look.
    pub(crate) fn cookies(&self) -> Cookies {
        Cookies::of(self.public_url())
    }
}

/// Who sits at the browser that sent these headers; `None` without a live session.
///
/// # Errors
///
/// [`StoreError`]: answer 503, never a login page.
pub async fn current(
    server: &AuthorizationServer,
    headers: &HeaderMap,
) -> Result<Option<Person>, StoreError> {
    Ok(open(server, headers).await?.map(|session| session.person))
}

/// The same with the cookie.
pub(crate) async fn open(
    server: &AuthorizationServer,
    headers: &HeaderMap,
) -> Result<Option<Session>, StoreError> {
    let Some(cookie) = server.cookies().read(CookieKind::Session, headers) else { return Ok(None) };
    let session = cookie.digest(CookieKind::Session);
    let now = server.clock.now();
    // Of a version that marked none, or made up: looked for as far as there is room for these, whoever they come from.
    if !cookie.is_marked(&server.marks, now) && server.shares.unmarked_session().is_err() {
        return Ok(None);
    }
    let idle_since = now.plus_seconds(-i64::try_from(IDLE.as_secs()).unwrap_or(0));
    let Some(row) = server.store.find_session(&session, idle_since, now).await? else {
        return Ok(None);
    };
    let (Some(user_id), Some(method)) = (row.user_id, row.method) else { return Ok(None) };
    if is_no_session(&method) {
        return Ok(None);
    }
    let Some(user) = server.store.find_user(user_id).await? else { return Ok(None) };
    if user.disabled_at.is_some() {
        return Ok(None);
    }
    // The setting is new, or the role: what was enough for this session is so no more.
    let alone = method == PASSWORD && row.login.acr.as_deref() != Some(TWO_FACTORS);
    if alone && server.settings.requires_second_factor(&user) {
        return Ok(None);
    }
    if now.since(row.last_seen_at) >= SEEN_EVERY {
        server.store.session_seen(&session, now).await?;
    }
    let (auth_time, began) = (row.auth_time, row.created_at);
    let person = Person { user, session, auth_time, began, method, login: row.login };
    Ok(Some(Session { person, cookie }))
}

/// Whether a row among the sessions is none: it says that a browser is known, or that the second step is to come.
pub(crate) fn is_no_session(method: &str) -> bool {
    matches!(method, DEVICE_METHOD | FIRST_STEP)
}

/// Somebody who logged in.
#[derive(Debug)]
pub(crate) struct NewLogin<'a> {
    pub(crate) user_id: UserId,
    pub(crate) method: &'a str,
    /// When they proved who they are, which may have been earlier, elsewhere; `None` where nobody says.
    pub(crate) auth_time: Option<Timestamp>,
    /// Where and how. Its `sid` is made here.
    pub(crate) origin: LoginOrigin,
    /// How the person logged in when it was looked at ([`OwnLogin::guard`]): to check a password takes a while, in which it may
    /// have been set anew, and an administrator may take passkeys away.
    pub(crate) guard: Option<&'a str>,
    /// The identity provider, where that may be taken out while somebody logs in there.
    pub(crate) provider: Option<&'a str>,
}

impl<'a> NewLogin<'a> {
    /// With a password of ours, now.
    pub(crate) fn with_password(user_id: UserId, now: Timestamp) -> Self {
        Self::here(user_id, now, ("pwd", "pwd"))
    }

    /// With a password of ours and a code of an authenticator app, now.
    pub(crate) fn with_code(user_id: UserId, now: Timestamp) -> Self {
        Self::here(user_id, now, (TWO_FACTORS, "pwd otp mfa"))
    }

    /// With a password of ours and a recovery code, now. It has no name in RFC 8176, but makes two factors.
    pub(crate) fn with_recovery_code(user_id: UserId, now: Timestamp) -> Self {
        Self::here(user_id, now, (TWO_FACTORS, "pwd mfa"))
    }

    /// With a password of ours and a passkey, now. What the passkey's key is kept in nobody vouches for: it is a key that was
    /// proved to be had (`pop`), by somebody who was there (`user`).
    pub(crate) fn with_password_and_passkey(user_id: UserId, now: Timestamp) -> Self {
        Self::here(user_id, now, (TWO_FACTORS, "pwd pop user mfa"))
    }

    /// With a passkey alone, now: the authenticator has verified its person, so that these are two factors.
    pub(crate) fn with_passkey(user_id: UserId, now: Timestamp) -> Self {
        let login = Self::here(user_id, now, (TWO_FACTORS, "pop user mfa"));
        Self { method: PASSKEY, ..login }
    }

    fn here(user_id: UserId, now: Timestamp, (acr, amr): (&str, &str)) -> Self {
        let (acr, amr) = (Some(acr.to_owned()), Some(amr.to_owned()));
        let origin = LoginOrigin { acr, amr, ..LoginOrigin::default() };
        let (guard, provider) = (None, None);
        Self { user_id, method: PASSWORD, auth_time: Some(now), origin, guard, provider }
    }

    /// Holds only while this is still how the person logs in.
    pub(crate) fn compared_with(self, own_login: &'a OwnLogin) -> Self {
        Self { guard: own_login.guard(), ..self }
    }
}

/// Why no session began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// The person or the identity provider was disabled, or the password set anew, since the log-in was looked at.
    #[error("the login does not hold any more")]
    Stale,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins a session for somebody who logged in; gives the `Set-Cookie` line.
///
/// The value is new each time and the session before it ends, so that nobody can plant one (session fixation). Somebody who
/// logs in once more keeps the `sid` that their clients know them by, so that a log-out finds all that was allowed since.
///
/// # Errors
///
/// [`BeginError`]
pub(crate) async fn begin(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    new: NewLogin<'_>,
) -> Result<HeaderValue, BeginError> {
    let NewLogin { user_id, method, auth_time, origin, guard, provider } = new;
    let (now, cookies) = (server.clock.now(), server.cookies());
    let until = now.plus(ABSOLUTE);
    let cookie = CookieValue::of_session(&server.marks, server.random.as_ref(), until);
    let row = SessionRow {
        session: cookie.digest(CookieKind::Session),
        user_id: Some(user_id),
        auth_time,
        method: Some(method.to_owned()),
        login: LoginOrigin { sid: Some(sid(server.random.as_ref())), ..origin },
        pending: None,
        created_at: now,
        last_seen_at: now,
        expires_at: until,
    };
    let before = cookies.read(CookieKind::Session, headers);
    let before = before.map(|before| before.digest(CookieKind::Session));
    let (guard, provider) = (guard.map(str::to_owned), provider.map(str::to_owned));
    if !server.store.begin_session(&NewSession { row, before, guard, provider }).await? {
        return Err(BeginError::Stale);
    }
    if before.is_some() {
        // It may have been another person's, of whose clients some are to be told.
        server.logged_out.notify_one();
    }
    server.store.logged_in(user_id, now).await?;
    Ok(cookies.set(CookieKind::Session, &cookie, None))
}

/// 128 random bits: names a log-in to clients (OIDC Back-Channel Logout §2.1). Opens nothing.
fn sid(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
