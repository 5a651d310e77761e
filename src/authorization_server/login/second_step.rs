//! `/login/code`: what follows the password: a code of the authenticator app, a passkey, or a recovery code instead.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::pages::{Fault, Forms, PageForm, page, page_with_script};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::second_factor::{Authenticator, Ceremony, Factors, RecoveryCode};
use crate::authorization_server::session::{self, CookieKind, CookieValue, FormPurpose, NewLogin};
use crate::id::RequestId;
use crate::store::{StoreError, UserRow};

use super::first_step::FirstStep;
use super::passkey::{PasskeyForm, Shows, take_passkey};
use super::password::Waiting;
use super::throttle::{Attempt, CODE, RECOVERY_CODE};
use super::{onward, with_request};

/// What became of a code that somebody typed.
#[derive(Debug)]
pub(crate) enum SecondStep {
    /// Right, and used up.
    Code,
    /// The same of a recovery code.
    RecoveryCode,
    /// None of this person's, late, or used before: not told apart.
    Wrong,
    /// Not looked at: there were too many. How long to wait.
    Wait(Duration),
}

#[derive(Template)]
#[template(path = "second_step.html")]
struct SecondStepPage<'a> {
    username: &'a str,
    /// Whether there is an app to type a code of.
    app: bool,
    passkey: Option<PasskeyForm>,
    problem: Option<&'static str>,
    form_token: String,
    request: &'a str,
    host: String,
    root: String,
}

const PURPOSE: FormPurpose<'static> = FormPurpose { action: "second step", about: &[] };

/// Looks at a code of the authenticator app or a recovery code, whichever it is by its shape, and uses it up. For who has
/// typed their password right.
///
/// # Errors
///
/// [`Fault::Store`], also where what is stored opens with another key-encryption key.
pub(crate) async fn take_code(
    people: &People,
    user: &UserRow,
    unverified: &str,
    from: (&CookieValue, Option<IpAddr>),
) -> Result<SecondStep, Fault> {
    let server = &people.server;
    let recovery = RecoveryCode::parse(unverified);
    let guessed = if recovery.is_some() { RECOVERY_CODE } else { CODE };
    let attempt = Attempt::at_second_step(server, guessed, user, from).await?;
    if let Some(wait) = attempt.take(server).await? {
        return Ok(SecondStep::Wait(wait));
    }
    let (right, done) = match recovery {
        Some(code) => {
            let digest = code.digest(user.id);
            let right = server.store.use_recovery_code(user.id, &digest).await?;
            (right, SecondStep::RecoveryCode)
        }
        None => (is_right(people, user, unverified).await?, SecondStep::Code),
    };
    if right {
        attempt.succeeded(server, user.id).await?;
        return Ok(done);
    }
    attempt.failed(server).await?;
    Ok(SecondStep::Wrong)
}

async fn is_right(people: &People, user: &UserRow, unverified: &str) -> Result<bool, Fault> {
    let server = &people.server;
    let Some(row) = server.store.find_authenticator(user.id).await? else { return Ok(false) };
    let authenticator = Authenticator::open(&server.encryption, user.id, &row.sealed);
    let authenticator = authenticator.ok_or(StoreError::Corrupt("authenticators.sealed"))?;
    match authenticator.step_of(unverified, server.clock.now()) {
        // The store has the last word: a code counts once, whichever replica it is sent to (RFC 6238 §5.2).
        Some(step) => Ok(server.store.use_step(user.id, step).await?),
        None => Ok(false),
    }
}

/// `GET /login/code`
pub(crate) async fn ask_code(
    State(people): State<People>,
    Query(waiting): Query<Waiting>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let request = waiting.request.as_deref();
    match FirstStep::find(&people, &headers).await? {
        Some(first) => render(&people, &first, request, (StatusCode::OK, None)).await,
        None => Ok(people.lead_to(&with_request("/login", request))),
    }
}

/// `POST /login/code`
pub(crate) async fn second_step(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let request = form.fields.filled("request");
    let Some(first) = FirstStep::find(people, headers).await? else {
        return Ok(people.lead_to(&with_request("/login", request)));
    };
    form.check(PURPOSE, &first.cookie)?;
    let browser = people.browser(headers);
    let from = (&browser, visit.address);
    let looked = match form.fields.filled("assertion") {
        Some(_) => with_passkey(people, visit.request_id, &first, &form.fields, from).await?,
        None => with_code(people, visit.request_id, &first, form.fields.text("code"), from).await?,
    };
    let (login, method) = match looked {
        Ok(proven) => proven,
        Err(Unproven { status, problem, wait }) => {
            let again = (status, Some(problem));
            let mut response = render(people, &first, request, again).await?;
            if let Some(wait) = wait {
                let wait = HeaderValue::from(wait.as_secs().max(1));
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            return Ok(response);
        }
    };
    let user = first.finish(people).await?;
    people
        .audit(visit.request_id, Some(user.id), None, AuditEvent::LoginSucceed { method })
        .await?;
    let login = login.compared_with(&user.own_login);
    let cookie = session::begin(&people.server, headers, login).await?;
    // Now the password has led somewhere.
    let password = Attempt::new(&people.server, &user.username, &browser, visit.address).await?;
    password.succeeded(&people.server, user.id).await?;
    let response = people.remember(&browser, people.lead_to(&onward(request)));
    let over = people.server.cookies().remove(CookieKind::FirstStep);
    Ok(with_cookie(with_cookie(response, cookie), over))
}

/// Why the page is shown again.
struct Unproven {
    status: StatusCode,
    problem: &'static str,
    wait: Option<Duration>,
}

impl Unproven {
    const fn forbidden(problem: &'static str) -> Self {
        Self { status: StatusCode::FORBIDDEN, problem, wait: None }
    }
}

/// What the log-in is then, and as what it is recorded.
type Proven = (NewLogin<'static>, LoginMethod);

async fn with_code(
    people: &People,
    request_id: RequestId,
    first: &FirstStep,
    code: &str,
    from: (&CookieValue, Option<IpAddr>),
) -> Result<Result<Proven, Unproven>, Fault> {
    let (id, now) = (first.user.id, people.server.clock.now());
    let failed = (people, request_id, &first.user, LoginMethod::PasswordAndCode);
    Ok(match take_code(people, &first.user, code, from).await? {
        SecondStep::Code => Ok((NewLogin::with_code(id, now), LoginMethod::PasswordAndCode)),
        SecondStep::RecoveryCode => {
            let login = NewLogin::with_recovery_code(id, now);
            Ok((login, LoginMethod::PasswordAndRecoveryCode))
        }
        SecondStep::Wrong => {
            fail(failed, LoginFailure::SecondFactor).await?;
            Err(Unproven::forbidden("The code is not right, is over, or was used before."))
        }
        SecondStep::Wait(wait) => {
            let problem = "Too many codes. Wait, or use a recovery code.";
            Err(throttled(failed, from.1, (wait, problem)).await?)
        }
    })
}

async fn with_passkey(
    people: &People,
    request_id: RequestId,
    first: &FirstStep,
    fields: &PageForm,
    from: (&CookieValue, Option<IpAddr>),
) -> Result<Result<Proven, Unproven>, Fault> {
    let (id, now) = (first.user.id, people.server.clock.now());
    let failed = (people, request_id, &first.user, LoginMethod::PasswordAndPasskey);
    Ok(match take_passkey(people, ceremony(first), fields, Some(&first.user), from).await? {
        Shows::Right(_) => {
            let login = NewLogin::with_password_and_passkey(id, now);
            Ok((login, LoginMethod::PasswordAndPasskey))
        }
        Shows::Late => {
            Err(Unproven::forbidden("The page had waited too long, or was sent twice. Try again."))
        }
        Shows::Wrong(reason, _) => {
            let clone = reason == LoginFailure::SignCount;
            let reason = if clone { reason } else { LoginFailure::SecondFactor };
            fail(failed, reason).await?;
            Err(Unproven::forbidden("This passkey is not one of yours here."))
        }
        Shows::Wait(wait) => {
            let problem = "Too many attempts. Wait a while, then try again.";
            Err(throttled(failed, from.1, (wait, problem)).await?)
        }
    })
}

type Failed<'a> = (&'a People, RequestId, &'a UserRow, LoginMethod);

async fn throttled(
    failed: Failed<'_>,
    address: Option<IpAddr>,
    (wait, problem): (Duration, &'static str),
) -> Result<Unproven, Fault> {
    if failed.0.server.auditor.admit_refusal(address) {
        fail(failed, LoginFailure::Throttled).await?;
    }
    Ok(Unproven { status: StatusCode::TOO_MANY_REQUESTS, problem, wait: Some(wait) })
}

async fn fail(
    (people, request_id, user, method): Failed<'_>,
    reason: LoginFailure,
) -> Result<(), Fault> {
    let event = AuditEvent::LoginFail { method, reason };
    people.audit(request_id, Some(user.id), None, event).await
}

const fn ceremony(first: &FirstStep) -> Ceremony<'_> {
    Ceremony { what: "second step", whom: &first.key }
}

async fn render(
    people: &People,
    first: &FirstStep,
    request: Option<&str>,
    (status, problem): (StatusCode, Option<&'static str>),
) -> Result<Response, Fault> {
    let Factors { app, passkeys } = Factors::of(&people.server, first.user.id).await?;
    let passkey = match &*passkeys {
        [] => None,
        theirs => people.ask_passkey(ceremony(first), theirs)?,
    };
    let template = SecondStepPage {
        username: &first.user.username,
        app,
        passkey,
        problem,
        form_token: PURPOSE.token(&first.cookie),
        request: request.unwrap_or_default(),
        host: people.host(),
        root: people.root().to_owned(),
    };
    Ok(match &template.passkey {
        Some(form) => page_with_script(status, &people.server.url(form.script), &template),
        None => page(status, Forms::Ours, &template),
    })
}
