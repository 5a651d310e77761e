//! Passkeys at log-in: alone (`/login/passkey`), and for whoever else has to show one.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::pages::{Fault, PageForm, SCRIPT_INTEGRITY, SCRIPT_PATH};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::second_factor::{
    Assertion, Ceremony, PasskeyError, Question, answered,
};
use crate::authorization_server::session::{self, CookieKind, CookieValue, FormPurpose, NewLogin};
use crate::id::{RequestId, UserId};
use crate::store::{PasskeyRow, PasskeyUse, UserRow};

use super::onward;
use super::password::{Shown, render, too_many};
use super::throttle::{Attempt, know_browser};

const PURPOSE: &str = "passkey";

/// What a page needs to ask for a passkey.
#[derive(Debug)]
pub(crate) struct PasskeyForm {
    /// For `navigator.credentials`.
    pub(crate) options: String,
    /// The same, sealed, to come back with the answer.
    pub(crate) sealed: String,
    /// Where the script is, under the path of `server.public_url`.
    pub(crate) script: &'static str,
    pub(crate) integrity: &'static str,
}

impl From<Question> for PasskeyForm {
    fn from(Question { options, sealed }: Question) -> Self {
        Self { options, sealed, script: &SCRIPT_PATH, integrity: &SCRIPT_INTEGRITY }
    }
}

/// What became of a passkey that somebody showed.
#[derive(Debug)]
pub(crate) enum Shows {
    /// It is this person's.
    Right(Box<UserRow>),
    /// Not looked at: the question was asked too long ago, or answered before.
    Late,
    /// For the audit log alone: why, and whose it may be.
    Wrong(LoginFailure, Option<UserId>),
    /// Not looked at: there were too many. How long to wait.
    Wait(Duration),
}

impl People {
    /// Asks for any passkey, or for one of these. `None` where there are none here.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`]
    pub(crate) fn ask_passkey(
        &self,
        ceremony: Ceremony<'_>,
        of: &[PasskeyRow],
    ) -> Result<Option<PasskeyForm>, Fault> {
        let Some(passkeys) = &self.passkeys else { return Ok(None) };
        Ok(Some(passkeys.ask(&self.server, ceremony, of)?.into()))
    }
}

/// What the browser is asked on the log-in page.
const fn at_login(browser: &crate::store::Digest) -> Ceremony<'_> {
    Ceremony { what: "login", whom: browser }
}

/// The log-in page's part, with the token of its form.
///
/// # Errors
///
/// [`Fault::Store`], never.
pub(super) fn offer(
    people: &People,
    browser: &CookieValue,
) -> Result<Option<(PasskeyForm, String)>, Fault> {
    let whom = browser.digest(CookieKind::Browser);
    let form = people.ask_passkey(at_login(&whom), &[])?;
    Ok(form.map(|form| {
        let about = [&*form.sealed];
        let token = FormPurpose { action: PURPOSE, about: &about }.token(browser);
        (form, token)
    }))
}

/// Looks at what a form of ours brought as the answer of a passkey, and uses the question up. Of `whose` passkeys, who has
/// shown their password in the session, or log-in, that `ceremony` is about; of anybody's otherwise, to open the account.
///
/// # Errors
///
/// [`Fault`]: the store or the audit log does not answer.
pub(crate) async fn take_passkey(
    people: &People,
    ceremony: Ceremony<'_>,
    fields: &PageForm,
    whose: Option<&UserRow>,
    from: (&CookieValue, Option<IpAddr>),
) -> Result<Shows, Fault> {
    let server = &people.server;
    let assertion = Assertion::parse(fields.text("assertion"));
    let named = assertion.as_ref().map(Assertion::credential_id).unwrap_or_default();
    let name = whose.map_or(named.as_str(), |user| user.username.as_str());
    let attempt = Attempt::at_passkey(server, name, from).await?;
    if let Some(wait) = attempt.take(server).await? {
        return Ok(Shows::Wait(wait));
    }
    let Some(question) = answered(server, ceremony, fields.text("challenge")).await? else {
        attempt.failed(server).await?;
        return Ok(Shows::Late);
    };
    let looked = async {
        let (Some(passkeys), Some(assertion)) = (&people.passkeys, &assertion) else {
            return Ok::<_, Fault>(Shows::Wrong(LoginFailure::Credentials, None));
        };
        let Some((row, user)) = find(people, &named, whose).await? else {
            return Ok(Shows::Wrong(LoginFailure::Credentials, None));
        };
        let wrong = |reason| Ok(Shows::Wrong(reason, Some(user.id)));
        let asserted = match passkeys.finish(question, assertion, &row, whose.is_none()) {
            Ok(asserted) => asserted,
            Err(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "passkey.refused");
                return match error {
                    PasskeyError::SignCount => wrong(LoginFailure::SignCount),
                    _ => wrong(LoginFailure::Credentials),
                };
            }
        };
        if user.disabled_at.is_some() || user.own_login.is_nothing() {
            return wrong(LoginFailure::Disabled);
        }
        let beside = whose.map(|_| *ceremony.whom);
        let by_itself = beside.is_none() || ceremony.is_all_they_show(&user);
        if !row.alone && by_itself {
            return wrong(LoginFailure::Credentials);
        }
        let signed_with = PasskeyUse {
            credential_id: row.credential_id,
            sign_count: asserted.sign_count,
            backed_up: asserted.backed_up,
            beside,
            at: server.clock.now(),
        };
        // Of two at once with the same count the other one was first, or it was removed, or the password set anew, meanwhile.
        if !server.store.use_passkey(&signed_with).await? {
            return wrong(LoginFailure::SignCount);
        }
        Ok(Shows::Right(Box::new(user)))
    };
    let shows = looked.await?;
    match &shows {
        Shows::Right(user) => attempt.succeeded(server, user.id).await?,
        _ => attempt.failed(server).await?,
    }
    Ok(shows)
}

/// The passkey of this id, and its person. `None` where there is none, or it is not `whose`.
async fn find(
    people: &People,
    credential_id: &str,
    whose: Option<&UserRow>,
) -> Result<Option<(PasskeyRow, UserRow)>, Fault> {
    let store = &people.server.store;
    let row = store.find_passkey(credential_id).await?;
    let row = row.filter(|row| whose.is_none_or(|user| user.id == row.user_id));
    let Some(row) = row else { return Ok(None) };
    Ok(store.find_user(row.user_id).await?.map(|user| (row, user)))
}

/// `GET /login/passkey`: of who reloads what the form led to.
pub(crate) async fn again(State(people): State<People>) -> Response {
    people.lead_to("/login")
}

/// `POST /login/passkey`. Every failure reads the same.
pub(crate) async fn log_in_with_passkey(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let browser = people.server.cookies().read(CookieKind::Browser, headers);
    let browser = browser.ok_or(Fault::Forged)?;
    let about = [form.fields.text("challenge")];
    form.check(FormPurpose { action: PURPOSE, about: &about }, &browser)?;
    let request = form.fields.filled("request");
    let whom = browser.digest(CookieKind::Browser);
    let from = (&browser, visit.address);
    let shows = take_passkey(people, at_login(&whom), &form.fields, None, from).await?;
    let (status, problem) = match shows {
        Shows::Right(user) => {
            let begun = begin(people, visit.request_id, (headers, &browser), &user, request).await;
            match begun {
                Err(Fault::NoLogin) => {
                    failed(people, visit.request_id, Some(user.id), LoginFailure::Credentials)
                        .await?;
                    (StatusCode::FORBIDDEN, WRONG)
                }
                begun => return begun,
            }
        }
        Shows::Late => {
            failed(people, visit.request_id, None, LoginFailure::Credentials).await?;
            (StatusCode::FORBIDDEN, "The page had waited too long, or was sent twice. Try again.")
        }
        Shows::Wrong(reason, user_id) => {
            failed(people, visit.request_id, user_id, reason).await?;
            (StatusCode::FORBIDDEN, WRONG)
        }
        Shows::Wait(wait) => {
            if people.server.auditor.admit_refusal(visit.address) {
                failed(people, visit.request_id, None, LoginFailure::Throttled).await?;
            }
            return too_many(people, &browser, request, ("", wait)).await;
        }
    };
    render(people, &browser, request, status, Shown::problem(problem)).await
}

const WRONG: &str = "This passkey does not open an account here.";

/// A session for this person, whose passkey was right a moment ago.
///
/// # Errors
///
/// [`Fault::NoLogin`] where their password is another by now, or none.
async fn begin(
    people: &People,
    request_id: RequestId,
    (headers, browser): (&HeaderMap, &CookieValue),
    user: &UserRow,
    request: Option<&str>,
) -> Result<Response, Fault> {
    let event = AuditEvent::LoginSucceed { method: LoginMethod::Passkey };
    people.audit(request_id, Some(user.id), None, event).await?;
    let login = NewLogin::with_passkey(user.id, people.server.clock.now());
    let login = login.compared_with(&user.own_login);
    let cookie = session::begin(&people.server, headers, login).await?;
    know_browser(&people.server, browser, user).await?;
    Ok(with_cookie(people.remember(browser, people.lead_to(&onward(request))), cookie))
}

async fn failed(
    people: &People,
    request_id: RequestId,
    user_id: Option<UserId>,
    reason: LoginFailure,
) -> Result<(), Fault> {
    let event = AuditEvent::LoginFail { method: LoginMethod::Passkey, reason };
    people.audit(request_id, user_id, None, event).await
}
