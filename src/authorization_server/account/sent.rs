//! A form of the account page that changes how its person logs in. It wants the password again of who has one, and a second
//! factor where there is one, as there always is without a password: who finds a browser open changes no log-in.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::audit::{AuditEvent, LoginFailure, LoginMethod};
use crate::authorization_server::login::{
    Again, PasskeyForm, Problem, SecondStep, Shows, password_again, take_code, take_passkey,
};
use crate::authorization_server::pages::Fault;
use crate::authorization_server::person::{People, SentForm, Visit};
use crate::authorization_server::second_factor::{Ceremony, Factors};
use crate::authorization_server::session::{self, Session};
use crate::id::RequestId;
use crate::secret_text::SecretText;
use crate::store::{PasskeyRow, UserRow};

/// A form of one of these pages, as it came.
pub(super) struct Sent<'a> {
    pub(super) people: &'a People,
    request_id: RequestId,
    address: Option<IpAddr>,
    pub(super) headers: &'a HeaderMap,
    pub(super) form: SentForm,
    pub(super) session: Session,
}

/// A form of somebody who is logged in and can do so with us; its token is still to be checked. Others are led elsewhere.
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

/// What asks for a passkey in place of a code; `None` for who has none that would do.
///
/// # Errors
///
/// [`Fault::Store`]
pub(super) fn confirmation(
    people: &People,
    session: &Session,
    theirs: &[PasskeyRow],
) -> Result<Option<PasskeyForm>, Fault> {
    let asked = ceremony(session);
    let all_they_show = asked.is_all_they_show(&session.person.user);
    let does = |row: &&PasskeyRow| row.alone || !all_they_show;
    let theirs: Vec<_> = theirs.iter().filter(does).cloned().collect();
    if theirs.is_empty() {
        return Ok(None);
    }
    people.ask_passkey(asked, &theirs)
}

const fn ceremony(session: &Session) -> Ceremony<'_> {
    Ceremony::of_account(&session.person.session)
}

impl Sent<'_> {
    /// Why the password of who has one and, of who has one, a second factor do not do: a code, or a passkey instead.
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
            // The password is all that there is to be asked for.
            _ if factors.is_empty() && self.has_password() => Ok(None),
            Some(_) => self.wrong_passkey().await,
            None => self.wrong_code().await,
        }
    }

    /// # Errors
    ///
    /// [`Fault`] as for [`Self::wrong`]
    pub(super) async fn wrong_password(&self) -> Result<Option<Problem>, Fault> {
        if !self.has_password() {
            return Ok(None);
        }
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
                let method = self.shown_with(LoginMethod::PasswordAndCode);
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
                let method = self.shown_with(LoginMethod::PasswordAndPasskey);
                self.audit(AuditEvent::LoginFail { method, reason }).await?;
                Ok(Some(Problem::Passkey))
            }
        }
    }

    /// As what it is recorded: of who has no password as what they log in with.
    fn shown_with(&self, after_password: LoginMethod) -> LoginMethod {
        if self.has_password() { after_password } else { LoginMethod::Passkey }
    }

    pub(super) fn has_password(&self) -> bool {
        self.user().own_login.password_hash().is_some()
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
