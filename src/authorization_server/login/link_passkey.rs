//! A passkey in place of a password, by a one-time link: for a new account, or one whose password or passkey is lost.
//!
//! Two steps, as on the account page: what it is to be called, and then the browser's making it. The link alone does not get
//! past a second factor: who has one shows it in the first step.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;

use crate::api_key::BearerSecret;
use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::pages::{Fault, PageForm, clean};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::second_factor::{
    Ceremony, Factors, MOST_PASSKEYS, NewPasskey, RecoveryCode, answered,
};
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::session::{self, CookieKind, CookieValue, FormPurpose, NewLogin};
use crate::store::{OneTimeLink, OwnLogin, PasskeyAdded, PasskeySetUp, UserRow};

use super::enrolment::{PASSKEY, show_codes};
use super::link::{Again, Opened, find, render};
use super::new_passkey::Making;
use super::onward;
use super::passkey::{PasskeyForm, Shows, take_passkey};
use super::problem::Problem;
use super::second_step::{SecondStep, take_code};
use super::throttle::{KnownBrowser, know_browser};

/// What the page of a link needs for it.
pub(super) struct Way<'a> {
    pub(super) name: &'a str,
    /// Whether a second factor has to be shown: a code, or a passkey.
    pub(super) second: bool,
    pub(super) app: bool,
    pub(super) asked: Option<PasskeyForm>,
    pub(super) form_token: String,
}

impl<'a> Way<'a> {
    /// `None` where no browser would give a passkey, or the person has as many as they may have.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`]
    pub(super) async fn of(
        people: &People,
        opened: &Opened<'_>,
        (browser, name): (&CookieValue, &'a str),
    ) -> Result<Option<Self>, Fault> {
        let factors = Factors::of(&people.server, opened.user.id).await?;
        if people.passkeys.is_none() || factors.passkeys.len() >= MOST_PASSKEYS {
            return Ok(None);
        }
        let asked = match &*factors.passkeys {
            [] => None,
            theirs => people.ask_passkey(confirmation(&opened.link), theirs)?,
        };
        let form_token = beginning(&[opened.token]).token(browser);
        Ok(Some(Self { name, second: !factors.is_empty(), app: factors.app, asked, form_token }))
    }
}

/// What is asked of a passkey in place of a code.
const fn confirmation(link: &OneTimeLink) -> Ceremony<'_> {
    Ceremony { what: "confirm by link", whom: &link.link }
}

/// What is to be made.
const fn making(link: &OneTimeLink) -> Ceremony<'_> {
    Ceremony { what: "new by link", whom: &link.link }
}

const fn beginning<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "link passkey", about }
}

const fn made<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "link passkey made", about }
}

/// `GET` of what the forms lead to: of who reloads it.
pub(crate) async fn to_link(
    State(people): State<People>,
    Path(token): Path<String>,
) -> Result<Response, Fault> {
    if !BearerSecret::OneTimeLink.may_be(&token) {
        return Err(Fault::NoLink);
    }
    Ok(people.lead_to(&format!("/login/link/{token}")))
}

/// `POST /login/link/{link}/passkey`: what it is to be called, and a second factor of who has one. Uses nothing up.
pub(crate) async fn begin_by_passkey(
    State(people): State<People>,
    Path(token): Path<String>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let people = &people;
    let form = people.form(&visit.headers, &body)?;
    let browser = people.server.cookies().read(CookieKind::Browser, &visit.headers);
    let browser = browser.ok_or(Fault::Forged)?;
    form.check(beginning(&[&token]), &browser)?;
    let opened = find(people, &token).await?;
    let page = format!("/login/link/{token}");
    let Some(passkeys) = &people.passkeys else { return Ok(people.lead_to(&page)) };
    let name = clean(form.fields.text("name"));
    let again = |problem| render(people, &opened, (&browser, Again::Passkey(problem, &name)));
    if name.is_empty() {
        return again(Problem::Name).await;
    }
    // What they have now is asked for below.
    let factors = Factors::of(&people.server, opened.user.id).await?;
    if !factors.is_empty()
        && let Some(problem) = unproven(people, &visit, &opened, (&form.fields, &browser)).await?
    {
        return again(problem).await;
    }
    if factors.passkeys.len() >= MOST_PASSKEYS {
        return again(Problem::Taken).await;
    }
    let (whose, ceremony) = ((&opened.user, &*name), making(&opened.link));
    let question = passkeys.ask_new(&people.server, ceremony, whose, &factors)?;
    let form_token = made(&[&token, &question.sealed]).token(&browser);
    let action = format!("{page}/passkey/made");
    let back = (&*page, "Back to where you choose");
    Ok(Making { name: &name, action: &action, form_token, back }.page(people, question))
}

/// Why the second factor of who has one does not do.
async fn unproven(
    people: &People,
    visit: &Visit,
    Opened { link, user, .. }: &Opened<'_>,
    (fields, browser): (&PageForm, &CookieValue),
) -> Result<Option<Problem>, Fault> {
    let from = (browser, visit.address);
    let (problem, reason) = if fields.filled("assertion").is_some() {
        match take_passkey(people, confirmation(link), fields, Some(user), from).await? {
            Shows::Right(_) => return Ok(None),
            Shows::Late => return Ok(Some(Problem::Late)),
            Shows::Wait(wait) => return Ok(Some(Problem::Wait(wait))),
            Shows::Wrong(LoginFailure::SignCount, _) => (Problem::Passkey, LoginFailure::SignCount),
            Shows::Wrong(..) => (Problem::Passkey, LoginFailure::SecondFactor),
        }
    } else {
        match take_code(people, user, fields.text("code"), from).await? {
            SecondStep::Code | SecondStep::RecoveryCode => return Ok(None),
            SecondStep::Wait(wait) => return Ok(Some(Problem::Wait(wait))),
            SecondStep::Wrong => (Problem::Code, LoginFailure::SecondFactor),
        }
    };
    let event = AuditEvent::LoginFail { method: LoginMethod::Passkey, reason };
    people.audit(visit.request_id, Some(user.id), None, event).await?;
    Ok(Some(problem))
}

/// `POST /login/link/{link}/passkey/made`: takes what the browser made in place of the password, ends every session of the
/// person, begins one here.
pub(crate) async fn finish_by_passkey(
    State(people): State<People>,
    Path(token): Path<String>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let (server, now) = (&people.server, people.server.clock.now());
    let form = people.form(headers, &body)?;
    let browser = server.cookies().read(CookieKind::Browser, headers).ok_or(Fault::Forged)?;
    let sealed = form.fields.text("challenge");
    form.check(made(&[&token, sealed]), &browser)?;
    let opened = find(people, &token).await?;
    let Some(passkeys) = &people.passkeys else {
        return Ok(people.lead_to(&format!("/login/link/{token}")));
    };
    let again = |problem| render(people, &opened, (&browser, Again::Passkey(problem, "")));
    let question = answered::<NewPasskey>(server, making(&opened.link), sealed).await?;
    let Some(question) = question else { return again(Problem::Late).await };
    let (whose, sent) = ((&opened.user, now), form.fields.text("assertion"));
    let (row, second) = match passkeys.finish_new(question, sent, whose) {
        Ok(made) => made,
        Err(error) => {
            tracing::info!(error = &error as &dyn std::error::Error, "passkey.refused");
            return again(Problem::NoPasskey).await;
        }
    };
    let codes = RecoveryCode::generate_all(server.random.as_ref());
    let mark = random_text(server.random.as_ref()).to_string();
    let new = PasskeySetUp {
        recovery_codes: codes.iter().map(|code| code.digest(row.user_id)).collect(),
        row,
        most: MOST_PASSKEYS,
        second,
        link: opened.link.link,
        mark: mark.clone(),
        at: now,
    };
    let known = KnownBrowser::find(server, headers, &opened.user).await?;
    let first = match server.store.set_up_passkey(&new).await? {
        PasskeyAdded::First => true,
        PasskeyAdded::Another => false,
        PasskeyAdded::Refused => {
            // Somebody may have used the link meanwhile.
            find(people, &token).await.map(drop)?;
            return again(Problem::Taken).await;
        }
    };
    let user = UserRow { own_login: OwnLogin::Passkeys(mark), ..opened.user.clone() };
    let event = AuditEvent::PasskeySet { first };
    people.audit(visit.request_id, Some(user.id), None, event).await?;
    // As after a new password: what it was known for before it stays known for.
    if let Some(known) = known {
        known.keep(server).await?;
    }
    know_browser(server, &browser, &user).await?;
    let login = NewLogin::with_passkey(user.id, now).compared_with(&user.own_login);
    let cookie = session::begin(server, headers, login).await?;
    let response = if first {
        show_codes(people, &user, (&codes, PASSKEY), onward(None))
    } else {
        people.lead_to(&onward(None))
    };
    Ok(with_cookie(people.remember(&browser, response), cookie))
}
