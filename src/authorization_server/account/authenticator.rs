//! `/account/authenticator`: the authenticator app of somebody who logs in here with a password.
//!
//! Whatever changes it wants the password again, and a second factor where there is one.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::authorization_server::login::{
    APP, Offer, PASSKEY, PasskeyForm, Problem, Unconfirmed, know_browser_at_codes, show_codes,
};
use crate::authorization_server::pages::{Fault, Forms, page, page_with_script, when};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::second_factor::{Factors, RecoveryCode};
use crate::authorization_server::session::{self, FormPurpose, NewLogin, Session};

use super::passkeys::PATH as PASSKEYS_PATH;
use super::sent::{Sent, confirmation, read};

const PATH: &str = "/account/authenticator";
pub(super) const CODES: FormPurpose<'static> = FormPurpose { action: "recovery codes", about: &[] };
const REMOVAL: FormPurpose<'static> = FormPurpose { action: "remove authenticator", about: &[] };

/// What the account page says of it.
#[derive(Debug)]
pub(super) struct AuthenticatorView {
    /// `None`: there is none.
    pub(super) since: Option<String>,
    pub(super) codes_left: u64,
    /// Whether the password opens the account by itself.
    pub(super) alone: bool,
}

#[derive(Template)]
#[template(path = "account_authenticator.html")]
struct ManagePage {
    since: String,
    codes_left: u64,
    /// Whether they have one, which the app follows.
    password: bool,
    required: bool,
    passkey: Option<PasskeyForm>,
    problem: Option<&'static str>,
    codes_token: String,
    removal_token: String,
    host: String,
    root: String,
}

/// # Errors
///
/// [`Fault::Store`]
pub(super) async fn view(
    people: &People,
    session: &Session,
) -> Result<Option<AuthenticatorView>, Fault> {
    let user = &session.person.user;
    if user.own_login.is_nothing() {
        return Ok(None);
    }
    let store = &people.server.store;
    let row = store.find_authenticator(user.id).await?;
    let since = row.map(|row| when(row.confirmed_at));
    let codes_left = store.count_recovery_codes(user.id).await?;
    let alone = since.is_none() && store.list_passkeys(user.id).await?.is_empty();
    Ok(Some(AuthenticatorView { since, codes_left, alone }))
}

/// `GET /account/authenticator`
pub(crate) async fn show(
    State(people): State<People>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    match session::open(&people.server, &headers).await? {
        Some(session) => render(&people, &session, None).await,
        None => Ok(people.lead_to("/login")),
    }
}

/// What there is, or an offer where there is nothing.
async fn render(
    people: &People,
    session: &Session,
    again: Option<Problem>,
) -> Result<Response, Fault> {
    let Some(view) = view(people, session).await? else { return Ok(people.lead_to("/account")) };
    let theirs = people.server.store.list_passkeys(session.person.user.id).await?;
    let passkey = confirmation(people, session, &theirs)?;
    let password = session.person.user.own_login.password_hash().is_some();
    let Some(since) = view.since else {
        return if password {
            offer(session, passkey).page(people, None)
        } else {
            Ok(people.lead_to("/account"))
        };
    };
    let template = ManagePage {
        since,
        codes_left: view.codes_left,
        password,
        // A passkey does as well.
        required: theirs.is_empty()
            && people.server.settings.requires_second_factor(&session.person.user),
        passkey,
        problem: again.map(Problem::words),
        codes_token: CODES.token(&session.cookie),
        removal_token: REMOVAL.token(&session.cookie),
        host: people.host(),
        root: people.root().to_owned(),
    };
    let status = again.map_or(StatusCode::OK, Problem::status);
    let response = match &template.passkey {
        Some(form) => page_with_script(status, &people.server.url(form.script), &template),
        None => page(status, Forms::Ours, &template),
    };
    Ok(match again {
        Some(problem) => problem.on(response),
        None => response,
    })
}

const fn offer(session: &Session, passkey: Option<PasskeyForm>) -> Offer<'_> {
    Offer {
        user: &session.person.user,
        whom: session.person.session,
        cookie: &session.cookie,
        action: PATH,
        password: true,
        passkey,
        request: None,
    }
}

/// `POST /account/authenticator`: the password, and a code of the new app.
pub(crate) async fn set_up(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    answer(&people, Act::SetUp, (&visit, &body)).await
}

/// `POST /account/authenticator/codes`: ten others.
pub(crate) async fn other_codes(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    answer(&people, Act::OtherCodes, (&visit, &body)).await
}

/// `POST /account/authenticator/remove`
pub(crate) async fn remove(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    answer(&people, Act::Remove, (&visit, &body)).await
}

/// What a form is for.
#[derive(Clone, Copy, Debug)]
enum Act {
    SetUp,
    OtherCodes,
    Remove,
}

async fn answer(people: &People, act: Act, request: (&Visit, &[u8])) -> Result<Response, Fault> {
    let sent = match read(people, request).await? {
        Ok(sent) => sent,
        Err(elsewhere) => return Ok(elsewhere),
    };
    match act {
        Act::SetUp => sent.set_up().await,
        Act::OtherCodes => sent.other_codes().await,
        Act::Remove => sent.remove().await,
    }
}

impl Sent<'_> {
    async fn set_up(self) -> Result<Response, Fault> {
        let (people, fields) = (self.people, &self.form.fields);
        // There is none that its codes would follow.
        if !self.has_password() {
            return Ok(people.lead_to("/account"));
        }
        let theirs = people.server.store.list_passkeys(self.user().id).await?;
        let offer = offer(&self.session, confirmation(people, &self.session, &theirs)?);
        let authenticator = offer.read(people, (fields.text("secret"), fields.text("form")))?;
        // Who has passkeys shows one: the code is of the app that is being set up.
        let wrong = match self.wrong_password().await? {
            None if !theirs.is_empty() => self.wrong_passkey().await?,
            wrong => wrong,
        };
        if let Some(wrong) = wrong {
            let (status, problem) = (wrong.status(), wrong.words());
            let again = Unconfirmed { authenticator, problem, status };
            return Ok(wrong.on(offer.page(people, Some(again))?));
        }
        let confirmed = match offer.confirm(people, authenticator, fields.text("code"))? {
            Ok(confirmed) => confirmed,
            Err(again) => return offer.page(people, Some(again)),
        };
        let codes = confirmed.keep(people).await?;
        self.audit(AuditEvent::SecondFactorSet {}).await?;
        let browser = people.browser(self.headers);
        know_browser_at_codes(&people.server, &browser, self.user()).await?;
        // They have just shown both: this session says so from now on, and is a new one.
        let login = NewLogin::with_code(self.user().id, people.server.clock.now());
        let login = login.compared_with(&self.user().own_login);
        let cookie = session::begin(&people.server, self.headers, login).await?;
        let shown = show_codes(people, self.user(), (&codes, APP), PATH.to_owned());
        Ok(with_cookie(shown, cookie))
    }

    async fn other_codes(self) -> Result<Response, Fault> {
        self.form.check(CODES, &self.session.cookie)?;
        if let Some(again) = self.wrong().await? {
            return render(self.people, &self.session, Some(again)).await;
        }
        let (server, user) = (&self.people.server, self.user());
        let codes = RecoveryCode::generate_all(server.random.as_ref());
        let digests: Vec<_> = codes.iter().map(|code| code.digest(user.id)).collect();
        if !server.store.replace_recovery_codes(user.id, &digests).await? {
            return Ok(self.people.lead_to(PATH));
        }
        self.audit(AuditEvent::RecoveryCodesReplace {}).await?;
        let factors = Factors::of(server, user.id).await?;
        let (lost, onward) = if factors.app { (APP, PATH) } else { (PASSKEY, PASSKEYS_PATH) };
        Ok(show_codes(self.people, user, (&codes, lost), onward.to_owned()))
    }

    /// On to another app: where one is required, the next log-in asks for it.
    async fn remove(self) -> Result<Response, Fault> {
        self.form.check(REMOVAL, &self.session.cookie)?;
        if let Some(again) = self.wrong().await? {
            return render(self.people, &self.session, Some(again)).await;
        }
        if self.people.server.store.remove_authenticator(self.user().id).await? {
            self.audit(AuditEvent::SecondFactorRemove {}).await?;
        }
        Ok(self.people.lead_to(PATH))
    }
}
