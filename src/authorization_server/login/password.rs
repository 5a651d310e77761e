//! Logging in with a password.

use std::time::Duration;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::consent;
use crate::authorization_server::pages::{Fault, Forms, page, page_with_script, query_value};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::session::{self, CookieKind, CookieValue, FormPurpose, NewLogin};
use crate::id::RequestId;
use crate::secret_text::SecretText;
use crate::store::UserRow;

use super::first_step::FirstStep;
use super::passkey::PasskeyForm;
use super::throttle::Attempt;
use super::{Waits, onward, passkey};

/// `?request=`: what waits for a login, an authorization request or a call.
#[derive(Debug, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) request: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    client: Option<String>,
    /// Whether a call waits for an answer.
    approval: bool,
    /// Whether a device waits for its person.
    device: bool,
    problem: Option<&'static str>,
    first_start: bool,
    providers: Vec<Choice<'a>>,
    /// With the token of its form.
    passkey: Option<(PasskeyForm, String)>,
    form_token: String,
    request: &'a str,
    username: &'a str,
    host: String,
    root: String,
}

/// A button that leads to a provider.
struct Choice<'a> {
    href: String,
    name: &'a str,
}

/// Why the page is shown again.
#[derive(Default)]
pub(super) struct Shown<'a> {
    username: &'a str,
    problem: Option<&'static str>,
}

impl Shown<'_> {
    pub(super) fn problem(problem: &'static str) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }
}

/// As the field says.
const MAX_NAME: usize = 128;

const PURPOSE: FormPurpose<'static> = FormPurpose { action: "login", about: &[] };

/// `GET /login`. Somebody who is logged in goes on, unless the request asks for a new login.
pub(crate) async fn show(
    State(people): State<People>,
    Query(waiting): Query<Waiting>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let request = waiting.request.as_deref();
    if let Some(session) = session::open(&people.server, &headers).await?
        && !consent::wants_new_login(&people, Waits::read(request).request(), &session.person)
            .await?
    {
        return Ok(people.lead_to(&onward(request)));
    }
    let browser = people.browser(&headers);
    let response = render(&people, &browser, request, StatusCode::OK, Shown::default()).await?;
    Ok(people.remember(&browser, response))
}

/// # Errors
///
/// [`Fault::NoRequest`] where what waits is over; [`Fault::Store`]
pub(super) async fn render(
    people: &People,
    browser: &CookieValue,
    request: Option<&str>,
    status: StatusCode,
    again: Shown<'_>,
) -> Result<Response, Fault> {
    let client = match Waits::read(request).request() {
        Some(handle) => Some(consent::receiver(people, handle).await?),
        None => None,
    };
    // What was typed already is more than what the client thinks.
    let hint = match Waits::read(request).request() {
        Some(handle) if again.username.is_empty() => {
            consent::login_hint(people, Some(handle)).await?
        }
        _ => None,
    };
    let hint = hint.filter(|hint| hint.chars().count() <= MAX_NAME);
    let query = request.map(|handle| format!("?request={}", query_value(handle)));
    let query = query.unwrap_or_default();
    let known = people.providers.all();
    let providers = known.iter().map(|provider| Choice {
        href: format!("/login/with/{}{query}", provider.id()),
        name: provider.name(),
    });
    let providers: Vec<_> = providers.collect();
    let first_start = providers.is_empty() && !people.server.store.has_administrator().await?;
    let template = LoginPage {
        client,
        approval: matches!(Waits::read(request), Waits::Approval(_)),
        device: Waits::read(request) == Waits::Device,
        problem: again.problem,
        first_start,
        providers,
        passkey: passkey::offer(people, browser)?,
        form_token: PURPOSE.token(browser),
        request: request.unwrap_or_default(),
        username: hint.as_deref().unwrap_or(again.username),
        host: people.host(),
        root: people.root().to_owned(),
    };
    Ok(match &template.passkey {
        Some((form, _)) => page_with_script(status, &people.server.url(form.script), &template),
        None => page(status, Forms::Ours, &template),
    })
}

/// To who has tried too often.
pub(super) async fn too_many(
    people: &People,
    browser: &CookieValue,
    request: Option<&str>,
    (username, wait): (&str, Duration),
) -> Result<Response, Fault> {
    let problem = Some("Too many attempts. Wait a while, then try again.");
    let again = Shown { username, problem };
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = render(people, browser, request, status, again).await?;
    let wait = HeaderValue::from(wait.as_secs().max(1));
    response.headers_mut().insert(header::RETRY_AFTER, wait);
    Ok(response)
}

/// `POST /login`. Every failure reads the same and takes as long (N108).
pub(crate) async fn log_in(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let browser = people.server.cookies().read(CookieKind::Browser, headers);
    let browser = browser.ok_or(Fault::Forged)?;
    form.check(PURPOSE, &browser)?;
    let request = form.fields.filled("request");
    let username = form.fields.text("username").trim().to_lowercase();
    let again = |problem| Shown { username: &username, problem: Some(problem) };
    let attempt = Attempt::new(&people.server, &username, &browser, visit.address).await?;
    if let Some(wait) = attempt.take(&people.server).await? {
        if people.server.auditor.admit_refusal(visit.address) {
            failed(people, visit.request_id, None, LoginFailure::Throttled).await?;
        }
        return too_many(people, &browser, request, (&username, wait)).await;
    }
    let user = people.server.store.find_user_by_name(&username).await?;
    let stored = user.as_ref().and_then(stored_hash);
    let typed = SecretText::new(form.fields.text("password").to_owned());
    let right = people.passwords.verify(typed, stored).await?;
    let wrong = "The user name or the password is not right.";
    let Some(user) = user.filter(|user| right && user.disabled_at.is_none()) else {
        attempt.failed(&people.server).await?;
        failed(people, visit.request_id, None, LoginFailure::Credentials).await?;
        return render(people, &browser, request, StatusCode::FORBIDDEN, again(wrong)).await;
    };
    let right = Right { browser: &browser, headers, user: &user, request };
    match go_on(people, visit.request_id, &attempt, &right).await {
        Ok(response) => Ok(response),
        Err(Fault::NoLogin) => {
            attempt.failed(&people.server).await?;
            failed(people, visit.request_id, Some(user.id), LoginFailure::Credentials).await?;
            render(people, &browser, request, StatusCode::FORBIDDEN, again(wrong)).await
        }
        Err(fault) => Err(fault),
    }
}

/// `None` for who has no password: checked all the same, and never right (N108).
fn stored_hash(user: &UserRow) -> Option<String> {
    user.own_login.password_hash().map(str::to_owned)
}

/// A password that was the person's when it was looked at.
struct Right<'a> {
    browser: &'a CookieValue,
    headers: &'a HeaderMap,
    user: &'a UserRow,
    request: Option<&'a str>,
}

/// On to the second step, or in. Only what is through counts as a success: who has the password alone knows no more than
/// before, and is bounded as before.
///
/// # Errors
///
/// [`Fault::NoLogin`] where it is the password no more.
async fn go_on(
    people: &People,
    request_id: RequestId,
    attempt: &Attempt,
    &Right { browser, headers, user, request }: &Right<'_>,
) -> Result<Response, Fault> {
    let from = (headers, browser);
    if let Some(onward) = FirstStep::take(people, from, user, request).await? {
        people.audit(request_id, Some(user.id), None, AuditEvent::LoginContinue {}).await?;
        return Ok(onward);
    }
    let event = AuditEvent::LoginSucceed { method: LoginMethod::Password };
    people.audit(request_id, Some(user.id), None, event).await?;
    let now = people.server.clock.now();
    let login = NewLogin::with_password(user.id, now).compared_with(&user.own_login);
    let cookie = session::begin(&people.server, headers, login).await?;
    attempt.succeeded(&people.server, user.id).await?;
    Ok(with_cookie(people.remember(browser, people.lead_to(&onward(request))), cookie))
}

/// What became of a password that somebody who is logged in typed once more.
#[derive(Debug)]
pub(crate) enum Again {
    Right,
    Wrong,
    /// Not looked at: there were too many. How long to wait.
    Wait(Duration),
}

/// Asks for the password again before something is changed on which log-ins hang, with the bounds of a log-in.
///
/// # Errors
///
/// [`Fault`]: the store, the pool or the audit log does not answer.
pub(crate) async fn password_again(
    people: &People,
    request_id: RequestId,
    user: &UserRow,
    typed: SecretText,
    (browser, address): (&CookieValue, Option<std::net::IpAddr>),
) -> Result<Again, Fault> {
    let attempt = Attempt::new(&people.server, &user.username, browser, address).await?;
    if let Some(wait) = attempt.take(&people.server).await? {
        return Ok(Again::Wait(wait));
    }
    if people.passwords.verify(typed, stored_hash(user)).await? {
        attempt.succeeded(&people.server, user.id).await?;
        return Ok(Again::Right);
    }
    attempt.failed(&people.server).await?;
    failed(people, request_id, Some(user.id), LoginFailure::Credentials).await?;
    Ok(Again::Wrong)
}

async fn failed(
    people: &People,
    request_id: RequestId,
    user_id: Option<crate::id::UserId>,
    reason: LoginFailure,
) -> Result<(), Fault> {
    let event = AuditEvent::LoginFail { method: LoginMethod::Password, reason };
    people.audit(request_id, user_id, None, event).await
}
