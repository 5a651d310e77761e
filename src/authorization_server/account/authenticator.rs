//! `/account/authenticator`: the authenticator app of somebody who logs in here with a password.
//!
//! Whatever changes it wants the password again, and a code: who finds a browser open changes no log-in.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::login::{
    Again, Offer, SecondStep, Unconfirmed, know_browser_at_codes, password_again, show_codes,
    take_code,
};
use crate::authorization_server::pages::{Fault, Forms, page, when};
use crate::authorization_server::person::{People, SentForm, with_cookie};
use crate::authorization_server::second_factor::RecoveryCode;
use crate::authorization_server::session::{self, FormPurpose, NewLogin, Session};
use crate::id::{ClientAddress, RequestId};
use crate::secret_text::SecretText;
use crate::store::UserRow;

const PATH: &str = "/account/authenticator";
const CODES: FormPurpose<'static> = FormPurpose { action: "recovery codes", about: &[] };
const REMOVAL: FormPurpose<'static> = FormPurpose { action: "remove authenticator", about: &[] };

/// Why nothing was done.
#[derive(Clone, Copy, Debug)]
enum Problem {
    Password,
    Code,
    /// How long to wait.
    Wait(Duration),
}

impl Problem {
    const fn status(self) -> StatusCode {
        match self {
            Self::Password | Self::Code => StatusCode::FORBIDDEN,
            Self::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Password => "The password is not right.",
            Self::Code => "The code is not right, is over, or was used before.",
            Self::Wait(_) => "Too many attempts. Wait a while, then try again.",
        }
    }

    fn on(self, mut response: Response) -> Response {
        if let Self::Wait(wait) = self {
            let wait = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// What the account page says of it.
#[derive(Debug)]
pub(super) struct AuthenticatorView {
    /// `None`: there is none.
    pub(super) since: Option<String>,
    pub(super) codes_left: u64,
}

#[derive(Template)]
#[template(path = "account_authenticator.html")]
struct ManagePage {
    since: String,
    codes_left: u64,
    required: bool,
    problem: Option<&'static str>,
    codes_token: String,
    removal_token: String,
    host: String,
    root: String,
}

/// A form of one of these pages, as it came.
struct Sent<'a> {
    people: &'a People,
    request_id: RequestId,
    address: Option<IpAddr>,
    headers: &'a HeaderMap,
    form: SentForm,
    session: Session,
}

/// # Errors
///
/// [`Fault::Store`]
pub(super) async fn view(
    people: &People,
    session: &Session,
) -> Result<Option<AuthenticatorView>, Fault> {
    let user = &session.person.user;
    if user.password_hash.is_none() {
        return Ok(None);
    }
    let row = people.server.store.find_authenticator(user.id).await?;
    let since = row.map(|row| when(row.confirmed_at));
    let codes_left = people.server.store.count_recovery_codes(user.id).await?;
    Ok(Some(AuthenticatorView { since, codes_left }))
}

/// `GET /account/authenticator`
pub(crate) async fn show(State(people): State<People>, headers: HeaderMap) -> Response {
    let shown = async {
        match session::open(&people.server, &headers).await? {
            Some(session) => render(&people, &session, None).await,
            None => Ok(people.lead_to("/login")),
        }
    };
    shown.await.unwrap_or_else(|fault: Fault| fault.page(people.root(), people.request_id()))
}

/// What there is, or an offer where there is nothing.
async fn render(
    people: &People,
    session: &Session,
    again: Option<Problem>,
) -> Result<Response, Fault> {
    let Some(view) = view(people, session).await? else { return Ok(people.lead_to("/account")) };
    let Some(since) = view.since else { return offer(session).page(people, None) };
    let template = ManagePage {
        since,
        codes_left: view.codes_left,
        required: people.server.settings.requires_second_factor(&session.person.user),
        problem: again.map(Problem::words),
        codes_token: CODES.token(&session.cookie),
        removal_token: REMOVAL.token(&session.cookie),
        host: people.host(),
        root: people.root().to_owned(),
    };
    let response = page(again.map_or(StatusCode::OK, Problem::status), Forms::Ours, &template);
    Ok(match again {
        Some(problem) => problem.on(response),
        None => response,
    })
}

const fn offer(session: &Session) -> Offer<'_> {
    Offer {
        user: &session.person.user,
        whom: session.person.session,
        cookie: &session.cookie,
        action: PATH,
        password: true,
        request: None,
    }
}

/// `POST /account/authenticator`: the password, and a code of the new app.
pub(crate) async fn set_up(
    State(people): State<People>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&people, Act::SetUp, (address, &headers, &body)).await
}

/// `POST /account/authenticator/codes`: ten others.
pub(crate) async fn other_codes(
    State(people): State<People>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&people, Act::OtherCodes, (address, &headers, &body)).await
}

/// `POST /account/authenticator/remove`
pub(crate) async fn remove(
    State(people): State<People>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&people, Act::Remove, (address, &headers, &body)).await
}

/// What a form is for.
#[derive(Clone, Copy, Debug)]
enum Act {
    SetUp,
    OtherCodes,
    Remove,
}

async fn answer(
    people: &People,
    act: Act,
    request: (Option<Extension<ClientAddress>>, &HeaderMap, &[u8]),
) -> Response {
    let request_id = people.request_id();
    let outcome = async {
        let sent = match read(people, request_id, request).await? {
            Ok(sent) => sent,
            Err(elsewhere) => return Ok(elsewhere),
        };
        match act {
            Act::SetUp => sent.set_up().await,
            Act::OtherCodes => sent.other_codes().await,
            Act::Remove => sent.remove().await,
        }
    };
    outcome.await.unwrap_or_else(|fault: Fault| fault.page(people.root(), request_id))
}

/// A form of somebody who is logged in and has a password; its token is still to be checked. Others are led elsewhere.
async fn read<'a>(
    people: &'a People,
    request_id: RequestId,
    (address, headers, body): (Option<Extension<ClientAddress>>, &'a HeaderMap, &[u8]),
) -> Result<Result<Sent<'a>, Response>, Fault> {
    let form = people.form(headers, body)?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(Err(people.lead_to("/login")));
    };
    if session.person.user.password_hash.is_none() {
        return Ok(Err(people.lead_to("/account")));
    }
    let address = address.map(|Extension(ClientAddress(address))| address);
    Ok(Ok(Sent { people, request_id, address, headers, form, session }))
}

impl Sent<'_> {
    async fn set_up(self) -> Result<Response, Fault> {
        let (people, fields) = (self.people, &self.form.fields);
        let offer = offer(&self.session);
        let authenticator = offer.read(people, (fields.text("secret"), fields.text("form")))?;
        if let Some(wrong) = self.wrong_password().await? {
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
        let login = login.compared_with(self.user().password_hash.as_deref());
        let cookie = session::begin(&people.server, self.headers, login).await?;
        let shown = show_codes(people, self.user(), &codes, PATH.to_owned());
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
        Ok(show_codes(self.people, user, &codes, PATH.to_owned()))
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

    /// Why the password and the code together do not do.
    async fn wrong(&self) -> Result<Option<Problem>, Fault> {
        if let Some(wrong) = self.wrong_password().await? {
            return Ok(Some(wrong));
        }
        let browser = self.people.browser(self.headers);
        let code = self.form.fields.text("code");
        match take_code(self.people, self.user(), code, (&browser, self.address)).await? {
            SecondStep::Code | SecondStep::RecoveryCode => Ok(None),
            SecondStep::Wait(wait) => Ok(Some(Problem::Wait(wait))),
            SecondStep::Wrong => {
                let method = LoginMethod::PasswordAndCode;
                let reason = LoginFailure::SecondFactor;
                self.audit(AuditEvent::LoginFail { method, reason }).await?;
                Ok(Some(Problem::Code))
            }
        }
    }

    async fn wrong_password(&self) -> Result<Option<Problem>, Fault> {
        let browser = self.people.browser(self.headers);
        let typed = SecretText::new(self.form.fields.text("password").to_owned());
        let from = (&browser, self.address);
        let again = password_again(self.people, self.request_id, self.user(), typed, from).await?;
        Ok(match again {
            Again::Right => None,
            Again::Wrong => Some(Problem::Password),
            Again::Wait(wait) => Some(Problem::Wait(wait)),
        })
    }

    fn user(&self) -> &UserRow {
        &self.session.person.user
    }

    async fn audit(&self, event: AuditEvent) -> Result<(), Fault> {
        self.people.audit(self.request_id, Some(self.user().id), None, event).await
    }
}
