//! One-time links: how a local user comes by a password, or by a passkey in its place.

use std::time::Duration;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use url::Url;

use crate::api_key::BearerSecret;
use crate::audit::AuditEvent;
use crate::authorization_server::pages::{Fault, Forms, page, page_with_script};
use crate::authorization_server::password::{NewPassword, WeakPassword};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::session::{self, CookieKind, CookieValue, FormPurpose, NewLogin};
use crate::id::UserId;
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::store::{Digest, LinkPurpose, OneTimeLink, OwnLogin, StoreError, UserRow};

use super::first_step::FirstStep;
use super::link_passkey::Way;
use super::onward;
use super::problem::Problem;
use super::throttle::{KnownBrowser, know_browser};

/// The name of the administrator that the first start makes.
const FIRST_ADMINISTRATOR: &str = "admin";
const FIRST_LINK_LIVES: Duration = Duration::from_hours(24);

/// Makes a link with which `user_id` chooses a password or makes a passkey, once, within `lives`. Show it to nobody else.
///
/// # Errors
///
/// [`StoreError`]
pub async fn one_time_link(
    server: &AuthorizationServer,
    user_id: UserId,
    purpose: LinkPurpose,
    lives: Duration,
) -> Result<Url, StoreError> {
    let (url, link) = new_link(server.random.as_ref(), server.public_url());
    let expires_at = server.clock.now().plus(lives);
    server.store.add_link(&OneTimeLink { link, user_id, purpose, expires_at }).await?;
    Ok(url)
}

/// A link to hand to a person, and what the store keeps of it. For commands that have a store and no server.
pub fn new_link(random: &dyn Random, public_url: &Url) -> (Url, Digest) {
    let token = BearerSecret::OneTimeLink.generate(random);
    let mut url = public_url.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/login/link/{}", token.as_str()));
    (url, OneTimeLink::digest(&token))
}

/// A link for the first administrator, as long as there is none who can log in. For the banner of a development broker.
///
/// # Errors
///
/// [`StoreError`]
pub async fn first_administrator_link(
    server: &AuthorizationServer,
) -> Result<Option<Url>, StoreError> {
    if server.store.has_administrator().await? {
        return Ok(None);
    }
    let user = match server.store.find_user_by_name(FIRST_ADMINISTRATOR).await? {
        Some(user) if user.administrator && user.own_login.is_nothing() => user,
        Some(_) => return Ok(None),
        None => {
            let user = first_administrator(server);
            if !server.store.add_user(&user).await? {
                return Ok(None);
            }
            user
        }
    };
    one_time_link(server, user.id, LinkPurpose::SetUp, FIRST_LINK_LIVES).await.map(Some)
}

fn first_administrator(server: &AuthorizationServer) -> UserRow {
    UserRow {
        id: UserId::generate(server.clock.as_ref(), server.random.as_ref()),
        username: FIRST_ADMINISTRATOR.to_owned(),
        display_name: None,
        email: None,
        own_login: OwnLogin::Nothing,
        administrator: true,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
        created_at: server.clock.now(),
        last_login_at: None,
        disabled_at: None,
    }
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    reset: bool,
    username: &'a str,
    weak: Option<WeakPassword>,
    problem: Option<&'static str>,
    passkey: Option<Way<'a>>,
    action: String,
    form_token: String,
    host: String,
    root: String,
}

/// A link that works, and whose it is.
pub(super) struct Opened<'a> {
    pub(super) token: &'a str,
    pub(super) link: OneTimeLink,
    pub(super) user: UserRow,
}

/// Why the page is shown again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again<'a> {
    Not,
    Password(WeakPassword),
    /// With the name that was typed for it.
    Passkey(Problem, &'a str),
}

/// `GET /login/link/{link}`. Looking at the page uses nothing up: mail scanners open links, too.
pub(crate) async fn show_link(
    State(people): State<People>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let opened = find(&people, &token).await?;
    let browser = people.browser(&headers);
    let response = render(&people, &opened, (&browser, Again::Not)).await?;
    Ok(people.remember(&browser, response))
}

/// `POST /login/link/{link}`: sets the password, ends every session of the user, begins one here.
pub(crate) async fn use_link(
    State(people): State<People>,
    Path(token): Path<String>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let token = &*token;
    let form = people.form(headers, &body)?;
    let browser = people.server.cookies().read(CookieKind::Browser, headers);
    let browser = browser.ok_or(Fault::Forged)?;
    form.check(purpose(&[token]), &browser)?;
    let opened = find(people, token).await?;
    let (link, user) = (&opened.link, &opened.user);
    let typed = |name: &str| SecretText::new(form.fields.text(name).to_owned());
    let chosen = NewPassword::choose(&typed("password"), &typed("again"), &user.username);
    let password = match chosen {
        Ok(password) => password,
        Err(weak) => return render(people, &opened, (&browser, Again::Password(weak))).await,
    };
    let hash = people.passwords.hash(password, people.server.random.as_ref()).await?;
    let known = KnownBrowser::find(&people.server, headers, user).await?;
    let now = people.server.clock.now();
    if !people.server.store.set_password(user.id, &hash, Some(&link.link), now).await? {
        return Err(Fault::NoLink);
    }
    people.audit(visit.request_id, Some(user.id), None, AuditEvent::PasswordSet {}).await?;
    // What it was known for before it stays known for, codes included; the link alone stands for none.
    if let Some(known) = known {
        known.keep(&people.server).await?;
    }
    know_browser(&people.server, &browser, user).await?;
    // The link stands for the password alone: whoever got hold of it has not got the app.
    let user = UserRow { own_login: OwnLogin::Password(hash), ..user.clone() };
    if let Some(onward) = FirstStep::take(people, (headers, &browser), &user, None).await? {
        people.audit(visit.request_id, Some(user.id), None, AuditEvent::LoginContinue {}).await?;
        return Ok(onward);
    }
    let login = NewLogin::with_password(user.id, now).compared_with(&user.own_login);
    let cookie = session::begin(&people.server, headers, login).await?;
    Ok(with_cookie(people.remember(&browser, people.lead_to(&onward(None))), cookie))
}

/// # Errors
///
/// [`Fault::NoLink`], [`Fault::Store`]
pub(super) async fn find<'a>(people: &People, token: &'a str) -> Result<Opened<'a>, Fault> {
    if !BearerSecret::OneTimeLink.may_be(token) {
        return Err(Fault::NoLink);
    }
    let store = &people.server.store;
    let link = store.find_link(&OneTimeLink::digest(token), people.server.clock.now()).await?;
    let link = link.ok_or(Fault::NoLink)?;
    let user = store.find_user(link.user_id).await?.filter(|user| user.disabled_at.is_none());
    Ok(Opened { token, link, user: user.ok_or(Fault::NoLink)? })
}

/// # Errors
///
/// [`Fault::Store`]
pub(super) async fn render(
    people: &People,
    opened: &Opened<'_>,
    (browser, again): (&CookieValue, Again<'_>),
) -> Result<Response, Fault> {
    let (status, weak, problem) = match again {
        Again::Not => (StatusCode::OK, None, None),
        Again::Password(weak) => (StatusCode::BAD_REQUEST, Some(weak), None),
        Again::Passkey(problem, _) => (problem.status(), None, Some(problem)),
    };
    let name = if let Again::Passkey(_, name) = again { name } else { "" };
    let template = LinkPage {
        reset: opened.link.purpose == LinkPurpose::Reset,
        username: &opened.user.username,
        weak,
        problem: problem.map(Problem::words),
        passkey: Way::of(people, opened, (browser, name)).await?,
        action: format!("/login/link/{}", opened.token),
        form_token: purpose(&[opened.token]).token(browser),
        host: people.host(),
        root: people.root().to_owned(),
    };
    let asked = template.passkey.as_ref().and_then(|way| way.asked.as_ref());
    let response = match asked {
        Some(form) => page_with_script(status, &people.server.url(form.script), &template),
        None => page(status, Forms::Ours, &template),
    };
    Ok(match problem {
        Some(problem) => problem.on(response),
        None => response,
    })
}

const fn purpose<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "link", about }
}
