//! Setting up an authenticator app: an offer, and a code of the app that confirms it. From the account page, or right
//! after the password where a second factor is required.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::{AuditEvent, LoginMethod};
use crate::authorization_server::pages::{Fault, Forms, page, page_with_script};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::second_factor::{Authenticator, Factors, QrPicture, RecoveryCode};
use crate::authorization_server::session::{self, CookieKind, CookieValue, FormPurpose, NewLogin};
use crate::store::{AuthenticatorRow, Digest, OwnLogin, StoreError, UserRow};

use super::first_step::{ENROL_PATH, FirstStep};
use super::passkey::PasskeyForm;
use super::password::Waiting;
use super::throttle::{know_browser, know_browser_at_codes};
use super::{onward, with_request};

/// An app that somebody may set up; nothing is stored until it is confirmed.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) user: &'a UserRow,
    /// What the form is bound to: the session, or the first step of a log-in.
    pub(crate) whom: Digest,
    pub(crate) cookie: &'a CookieValue,
    /// Where the form goes.
    pub(crate) action: &'static str,
    /// Whether the password is asked for again.
    pub(crate) password: bool,
    /// What asks for a passkey, where there is one: nobody gets past it by an app of theirs.
    pub(crate) passkey: Option<PasskeyForm>,
    pub(crate) request: Option<&'a str>,
}

/// An app that showed its code, not stored yet.
#[derive(Debug)]
pub(crate) struct Confirmed {
    row: AuthenticatorRow,
    /// Of how the person logged in when this began.
    guard: Option<String>,
}

/// Why the page is shown again, with the same secret.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) authenticator: Authenticator,
    pub(crate) problem: &'static str,
    pub(crate) status: StatusCode,
}

/// What recovery codes are for when they are shown.
pub(crate) const APP: &str = "your authenticator app";
/// The same of a passkey.
pub(crate) const PASSKEY: &str = "your passkey";

#[derive(Template)]
#[template(path = "authenticator.html")]
struct OfferPage<'a> {
    username: &'a str,
    required: bool,
    password: bool,
    passkey: Option<&'a PasskeyForm>,
    problem: Option<&'static str>,
    picture: Option<QrPicture>,
    link: String,
    secret: String,
    action: &'a str,
    form_token: String,
    sealed: String,
    request: &'a str,
    host: String,
    root: String,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage {
    codes: Vec<String>,
    /// Of what they are the replacement, in words.
    lost: &'static str,
    /// Whether there is no password that one of them would follow.
    alone: bool,
    username: String,
    onward: String,
    host: String,
    root: String,
}

impl Offer<'_> {
    fn token(&self, sealed: &str) -> String {
        FormPurpose { action: "authenticator", about: &[sealed] }.token(self.cookie)
    }

    /// The page, with a new secret or with the one that was not confirmed.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`], never.
    pub(crate) fn page(
        &self,
        people: &People,
        again: Option<Unconfirmed>,
    ) -> Result<Response, Fault> {
        let (status, problem) = again
            .as_ref()
            .map_or((StatusCode::OK, None), |again| (again.status, Some(again.problem)));
        let authenticator = again.map_or_else(
            || Authenticator::generate(people.server.random.as_ref()),
            |again| again.authenticator,
        );
        let sealed = authenticator.seal_for(&people.server.encryption, self.user.id, &self.whom);
        let sealed = sealed.ok_or(StoreError::Corrupt("authenticators.sealed"))?;
        let link = authenticator.link(&people.host(), &self.user.username);
        let template = OfferPage {
            username: &self.user.username,
            required: people.server.settings.requires_second_factor(self.user),
            password: self.password,
            passkey: self.passkey.as_ref(),
            problem,
            picture: QrPicture::of(&link),
            link,
            secret: authenticator.in_groups(),
            action: self.action,
            form_token: self.token(&sealed),
            sealed,
            request: self.request.unwrap_or_default(),
            host: people.host(),
            root: people.root().to_owned(),
        };
        Ok(match &self.passkey {
            Some(form) => page_with_script(status, &people.server.url(form.script), &template),
            None => page(status, Forms::Ours, &template),
        })
    }

    /// The secret that this form offered, which our own page sent.
    ///
    /// # Errors
    ///
    /// [`Fault::Forged`]
    pub(crate) fn read(
        &self,
        people: &People,
        (sealed, token): (&str, &str),
    ) -> Result<Authenticator, Fault> {
        let purpose = FormPurpose { action: "authenticator", about: &[sealed] };
        if !purpose.fits(self.cookie, token) {
            return Err(Fault::Forged);
        }
        let encryption = &people.server.encryption;
        Authenticator::open_for(encryption, self.user.id, &self.whom, sealed).ok_or(Fault::Forged)
    }

    /// Whether `code` is the app's at this moment; stores nothing yet.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`], never.
    pub(crate) fn confirm(
        &self,
        people: &People,
        authenticator: Authenticator,
        code: &str,
    ) -> Result<Result<Confirmed, Unconfirmed>, Fault> {
        let (server, user_id) = (&people.server, self.user.id);
        let now = server.clock.now();
        let Some(step) = authenticator.step_of(code, now) else {
            let problem = "The code is not the app's. Compare the time of your device, and type the code that the app shows now.";
            let status = StatusCode::BAD_REQUEST;
            return Ok(Err(Unconfirmed { authenticator, problem, status }));
        };
        let sealed = authenticator.seal(&server.encryption, user_id);
        let sealed = sealed.ok_or(StoreError::Corrupt("authenticators.sealed"))?;
        // The code that confirmed it is used up.
        let row = AuthenticatorRow { user_id, sealed, last_step: step, confirmed_at: now };
        let guard = self.user.own_login.guard().map(str::to_owned);
        Ok(Ok(Confirmed { row, guard }))
    }
}

impl Confirmed {
    /// Stores it; gives the recovery codes, shown this once.
    ///
    /// # Errors
    ///
    /// [`Fault::Forged`] where the person has an app already, of another tab, or logs in otherwise by now.
    pub(crate) async fn keep(self, people: &People) -> Result<Vec<RecoveryCode>, Fault> {
        let Self { row, guard } = self;
        let codes = RecoveryCode::generate_all(people.server.random.as_ref());
        let digests: Vec<_> = codes.iter().map(|code| code.digest(row.user_id)).collect();
        let store = &people.server.store;
        let added = store.add_authenticator(&row, &digests, guard.as_deref()).await?;
        added.then_some(codes).ok_or(Fault::Forged)
    }
}

/// The page that shows recovery codes, this once.
pub(crate) fn show_codes(
    people: &People,
    user: &UserRow,
    (codes, lost): (&[RecoveryCode], &'static str),
    onward: String,
) -> Response {
    let template = CodesPage {
        codes: codes.iter().map(RecoveryCode::shown).collect(),
        lost,
        alone: matches!(user.own_login, OwnLogin::Passkeys(_)),
        username: user.username.clone(),
        onward,
        host: people.host(),
        root: people.root().to_owned(),
    };
    page(StatusCode::OK, Forms::Ours, &template)
}

/// `GET /login/authenticator`: after the password of somebody who must have an app and has none.
pub(crate) async fn offer_first(
    State(people): State<People>,
    Query(waiting): Query<Waiting>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let request = waiting.request.as_deref();
    match first(&people, &headers).await? {
        Some(first) => offer(&first, request).page(&people, None),
        None => Ok(people.lead_to(&with_request("/login", request))),
    }
}

/// `POST /login/authenticator`
pub(crate) async fn enrol(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let request = form.fields.filled("request");
    let Some(first) = first(people, headers).await? else {
        return Ok(people.lead_to(&with_request("/login", request)));
    };
    let offer = offer(&first, request);
    let sent = (form.fields.text("secret"), form.fields.text("form"));
    let authenticator = offer.read(people, sent)?;
    let confirmed = match offer.confirm(people, authenticator, form.fields.text("code"))? {
        Ok(confirmed) => confirmed,
        Err(again) => return offer.page(people, Some(again)),
    };
    // Before anything is stored: a first step that is over leaves no app behind.
    let user = first.finish(people).await?;
    let codes = confirmed.keep(people).await?;
    people.audit(visit.request_id, Some(user.id), None, AuditEvent::SecondFactorSet {}).await?;
    let event = AuditEvent::LoginSucceed { method: LoginMethod::PasswordAndCode };
    people.audit(visit.request_id, Some(user.id), None, event).await?;
    let login = NewLogin::with_code(user.id, people.server.clock.now());
    let login = login.compared_with(&user.own_login);
    let cookie = session::begin(&people.server, headers, login).await?;
    let browser = people.browser(headers);
    know_browser(&people.server, &browser, &user).await?;
    know_browser_at_codes(&people.server, &browser, &user).await?;
    let shown = show_codes(people, &user, (&codes, APP), onward(request));
    let over = people.server.cookies().remove(CookieKind::FirstStep);
    Ok(with_cookie(with_cookie(people.remember(&browser, shown), cookie), over))
}

/// The first step of somebody who has no second factor yet: who has a passkey shows that.
async fn first(people: &People, headers: &HeaderMap) -> Result<Option<FirstStep>, Fault> {
    let Some(first) = FirstStep::find(people, headers).await? else { return Ok(None) };
    let none = Factors::of(&people.server, first.user.id).await?.is_empty();
    Ok(none.then_some(first))
}

const fn offer<'a>(first: &'a FirstStep, request: Option<&'a str>) -> Offer<'a> {
    let FirstStep { key, cookie, user } = first;
    Offer { user, whom: *key, cookie, action: ENROL_PATH, password: false, passkey: None, request }
}
