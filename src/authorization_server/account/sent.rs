//! A form of the account page that changes how its person logs in. It wants the password again, and a second factor where
//! there is one: who finds a browser open changes no log-in.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::login::{
    Again, PasskeyForm, SecondStep, Shows, password_again, take_code, take_passkey,
};
use crate::authorization_server::pages::Fault;
use crate::authorization_server::person::{People, SentForm, Visit};
use crate::authorization_server::second_factor::{Ceremony, Factors};
use crate::authorization_server::session::{self, Session};
use crate::id::RequestId;
use crate::secret_text::SecretText;
use crate::store::{PasskeyRow, UserRow};

/// Why nothing was done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Problem {
    Password,
    Code,
    Passkey,
    /// The question to the passkey was asked too long ago, or answered before.
    Late,
    /// What the browser made is none that is taken.
    NoPasskey,
    /// It is somebody's already, or there are enough.
    Taken,
    Name,
    /// How long to wait.
    Wait(Duration),
}

impl Problem {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Password | Self::Code | Self::Passkey | Self::Late => StatusCode::FORBIDDEN,
            Self::NoPasskey | Self::Taken | Self::Name => StatusCode::BAD_REQUEST,
            Self::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Password => "The password is not right.",
            Self::Code => "The code is not right, is over, or was used before.",
            Self::Passkey => "Confirm this with a passkey of yours.",
            Self::Late => "The page had waited too long, or was sent twice. Try again.",
            Self::NoPasskey => {
                "What the browser made cannot be used here. Nothing was added; remove it there, and try again."
            }
            Self::Taken => {
                "This passkey is not added: it is in use already, you have as many as you may have, or how you log in is another by now. Try again."
            }
            Self::Name => "Give it a name that can be read.",
            Self::Wait(_) => "Too many attempts. Wait a while, then try again.",
        }
    }

    pub(super) fn on(self, mut response: Response) -> Response {
        if let Self::Wait(wait) = self {
            let wait = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// A form of one of these pages, as it came.
pub(super) struct Sent<'a> {
    pub(super) people: &'a People,
    request_id: RequestId,
    address: Option<IpAddr>,
    pub(super) headers: &'a HeaderMap,
    pub(super) form: SentForm,
    pub(super) session: Session,
}

/// A form of somebody who is logged in and has a password; its token is still to be checked. Others are led elsewhere.
///
/// # Errors
///
/// [`Fault::Forged`], [`Fault::Store`]
pub(super) async fn read<'a>(
    people: &'a People,
    (visit, body): (&'a Visit, &[u8]),
) -> Result<Result<Sent<'a>, Response>, Fault> {
    let Visit { request_id, address, headers } = visit;
    let form = people.form(headers, body)?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(Err(people.lead_to("/login")));
    };
    if session.person.user.own_login.is_nothing() {
        return Ok(Err(people.lead_to("/account")));
    }
    let (request_id, address) = (*request_id, *address);
    Ok(Ok(Sent { people, request_id, address, headers, form, session }))
}

/// What asks for a passkey in place of a code; `None` for who has none.
///
/// # Errors
///
/// [`Fault::Store`]
pub(super) fn confirmation(
    people: &People,
    session: &Session,
    theirs: &[PasskeyRow],
) -> Result<Option<PasskeyForm>, Fault> {
    if theirs.is_empty() {
        return Ok(None);
    }
    people.ask_passkey(ceremony(session), theirs)
}

const fn ceremony(session: &Session) -> Ceremony<'_> {
    Ceremony { what: "confirm", whom: &session.person.session }
}

impl Sent<'_> {
    /// Why the password and, of who has one, a second factor do not do: a code, or a passkey instead.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the store, the pool or the audit log does not answer.
    pub(super) async fn wrong(&self) -> Result<Option<Problem>, Fault> {
        if let Some(wrong) = self.wrong_password().await? {
            return Ok(Some(wrong));
        }
        let factors = Factors::of(&self.people.server, self.user().id).await?;
        match self.form.fields.filled("assertion") {
            _ if factors.is_empty() => Ok(None),
            Some(_) => self.wrong_passkey().await,
            None => self.wrong_code().await,
        }
    }

    /// # Errors
    ///
    /// [`Fault`] as for [`Self::wrong`]
    pub(super) async fn wrong_password(&self) -> Result<Option<Problem>, Fault> {
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

    async fn wrong_code(&self) -> Result<Option<Problem>, Fault> {
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

    /// # Errors
    ///
    /// [`Fault`] as for [`Self::wrong`]
    pub(super) async fn wrong_passkey(&self) -> Result<Option<Problem>, Fault> {
        let browser = self.people.browser(self.headers);
        let (asked, from) = (ceremony(&self.session), (&browser, self.address));
        let whose = Some(self.user());
        match take_passkey(self.people, asked, &self.form.fields, whose, from).await? {
            Shows::Right(_) => Ok(None),
            Shows::Late => Ok(Some(Problem::Late)),
            Shows::Wait(wait) => Ok(Some(Problem::Wait(wait))),
            Shows::Wrong(reason, _) => {
                let clone = reason == LoginFailure::SignCount;
                let reason = if clone { reason } else { LoginFailure::SecondFactor };
                let method = LoginMethod::PasswordAndPasskey;
                self.audit(AuditEvent::LoginFail { method, reason }).await?;
                Ok(Some(Problem::Passkey))
            }
        }
    }

    pub(super) fn user(&self) -> &UserRow {
        &self.session.person.user
    }

    /// # Errors
    ///
    /// [`Fault::Audit`]
    pub(super) async fn audit(&self, event: AuditEvent) -> Result<(), Fault> {
        self.people.audit(self.request_id, Some(self.user().id), None, event).await
    }
}
