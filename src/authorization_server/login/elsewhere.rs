//! Logging in at an identity provider, and coming back from it.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::consent;
use crate::authorization_server::identity_provider::{Callback, LoggedIn, LoginUnderWay, Start};
use crate::authorization_server::pages::{Fault, see_other};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::seal::KeyEncryptionKey;
use crate::authorization_server::session::{self, CookieKind, CookieValue, NewLogin};
use crate::id::{RequestId, UserId};
use crate::store::{Digest, LoginOrigin, SessionRow, UserRow};
use crate::time::Timestamp;

use super::onward;
use super::password::Waiting;

/// How long somebody may take to log in elsewhere (MCP: about ten minutes).
const TIME_TO_LOG_IN: std::time::Duration = std::time::Duration::from_mins(10);

/// `GET /login/with/{provider}`. A link, not a form: `form-action` would refuse to be led to the provider.
pub(crate) async fn start_elsewhere(
    State(people): State<People>,
    Path(provider): Path<String>,
    Query(waiting): Query<Waiting>,
    visit: Visit,
) -> Result<Response, Fault> {
    let request = waiting.request;
    let provider = people.providers.find(&provider).ok_or(Fault::NoProvider)?;
    if !people.elsewhere.admit(visit.address) {
        return Err(Fault::TooMany);
    }
    let browser = people.browser(&visit.headers);
    let random = people.server.random.as_ref();
    let asked = consent::freshness(&people, request.as_deref()).await?;
    let hint = consent::login_hint(&people, request.as_deref()).await?;
    let start = provider.start(name_of(&browser), request, (asked, hint), random).await;
    let start = start.map_err(Fault::Upstream)?;
    let now = people.server.clock.now();
    let row = SessionRow {
        session: login_digest(&start.state),
        user_id: None,
        auth_time: None,
        method: None,
        login: LoginOrigin::default(),
        pending: seal(&start),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(TIME_TO_LOG_IN),
    };
    people.server.store.add_session(&row).await?;
    // The cookie goes out with the redirect, not before (CD-6).
    Ok(people.remember(&browser, see_other(start.url.as_str())))
}

/// `GET /login/callback/{provider}` (RFC 6749 §4.1.2).
pub(crate) async fn come_back(
    State(people): State<People>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let provider = &*provider;
    let callback = Callback::parse(&query.unwrap_or_default()).ok_or(Fault::NoLogin)?;
    let under_way = take(people, provider, &callback, headers).await?;
    let method = LoginMethod::IdentityProvider(under_way.provider.clone());
    let Some(provider) = people.providers.find(provider) else {
        // It was there when they left.
        let event = AuditEvent::LoginFail { method, reason: LoginFailure::IdentityProvider };
        people.audit(visit.request_id, None, None, event).await?;
        return Err(Fault::ProviderEnded);
    };
    let request = under_way.request.clone();
    let finished = provider.finish(under_way, &callback).await;
    let LoggedIn { identity, auth_time, origin, given } = match finished {
        Ok(logged_in) => logged_in,
        Err(error) => {
            let reason = LoginFailure::IdentityProvider;
            let event = AuditEvent::LoginFail { method, reason };
            people.audit(visit.request_id, None, None, event).await?;
            return Err(Fault::Upstream(error));
        }
    };
    let now = people.server.clock.now();
    let new_id = UserId::generate(people.server.clock.as_ref(), people.server.random.as_ref());
    let user = people.server.store.user_of_identity(&identity, new_id, now).await?;
    refuse_disabled(people, visit.request_id, &user, &method).await?;
    let who = (user.id, identity.subject.as_str());
    people.server.vouching.logged_in(&provider, who, given).await?;
    people
        .audit(visit.request_id, Some(user.id), None, AuditEvent::LoginSucceed { method })
        .await?;
    let how = format!("idp:{}", provider.id());
    let (user_id, stored) = (user.id, provider.stored());
    let guard = None;
    let new = NewLogin { user_id, method: &how, auth_time, origin, guard, provider: stored };
    let cookie = session::begin(&people.server, headers, new).await?;
    Ok(with_cookie(people.lead_to(&onward(request.as_deref())), cookie))
}

/// The login that `state` names, if this browser began it at this provider; nobody gets it again.
async fn take(
    people: &People,
    provider: &str,
    callback: &Callback,
    headers: &HeaderMap,
) -> Result<LoginUnderWay, Fault> {
    let browser = people.server.cookies().read(CookieKind::Browser, headers);
    let (Some(state), Some(browser)) = (&callback.state, browser) else {
        return Err(Fault::NoLogin);
    };
    let login = login_digest(state);
    let store = &people.server.store;
    let row = store.find_session(&login, Timestamp::default(), people.server.clock.now()).await?;
    let pending = row.and_then(|row| row.pending).ok_or(Fault::NoLogin)?;
    let under_way = open(state, &pending).ok_or(Fault::NoLogin)?;
    let (theirs, ours) = (name_of(&browser), under_way.browser.as_bytes());
    let same_browser = verify_slices_are_equal(theirs.as_bytes(), ours).is_ok();
    if !same_browser || under_way.provider != provider || !store.end_session(&login).await? {
        return Err(Fault::NoLogin);
    }
    Ok(under_way)
}

async fn refuse_disabled(
    people: &People,
    request_id: RequestId,
    user: &UserRow,
    method: &LoginMethod,
) -> Result<(), Fault> {
    if user.disabled_at.is_none() {
        return Ok(());
    }
    let event = AuditEvent::LoginFail { method: method.clone(), reason: LoginFailure::Disabled };
    people.audit(request_id, Some(user.id), None, event).await?;
    Err(Fault::Disabled)
}

fn name_of(browser: &CookieValue) -> String {
    URL_SAFE_NO_PAD.encode(browser.digest(CookieKind::Browser).as_bytes())
}

/// How the store knows a login that is under way: not how it knows sessions.
fn login_digest(state: &str) -> Digest {
    Digest::of(&format!("login|{state}"))
}

/// What `nonce` and `code_verifier` are sealed for. Whoever has the store has neither without the `state` that the browser
/// brings back, of which the store has a digest alone.
const PURPOSE: &str = "login under way v1";

/// `None` never happens: AES-256-GCM seals whatever fits into memory.
fn seal(start: &Start) -> Option<String> {
    let plain = Zeroizing::new(serde_json::to_string(&start.under_way).ok()?);
    KeyEncryptionKey::from_token(&start.state, PURPOSE)?.seal_text(&plain, PURPOSE)
}

/// `None` where somebody changed it, or an older version wrote it.
fn open(state: &str, sealed: &str) -> Option<LoginUnderWay> {
    let key = KeyEncryptionKey::from_token(state, PURPOSE)?;
    let plain = Zeroizing::new(key.open_text(sealed, PURPOSE)?);
    serde_json::from_str(&plain).ok()
}
