//! `/account/password`: a password for who logs in with passkeys and has none.
//!
//! Beside the passkeys, not in their place: it ends nothing.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::authorization_server::login::{PasskeyForm, Problem};
use crate::authorization_server::pages::{Fault, Forms, page, page_with_script};
use crate::authorization_server::password::{NewPassword, WeakPassword};
use crate::authorization_server::person::{People, Visit};
use crate::authorization_server::second_factor::Factors;
use crate::authorization_server::session::{self, FormPurpose, Session};
use crate::secret_text::SecretText;
use crate::store::OwnLogin;

use super::sent::{Sent, confirmation, read};

const CHOICE: FormPurpose<'static> = FormPurpose { action: "add password", about: &[] };

#[derive(Template)]
#[template(path = "account_password.html")]
struct PasswordPage<'a> {
    username: &'a str,
    /// Whether a code of an app does as well.
    app: bool,
    passkey: Option<PasskeyForm>,
    weak: Option<WeakPassword>,
    problem: Option<&'static str>,
    form_token: String,
    host: String,
    root: String,
}

/// Why the page is shown again.
#[derive(Clone, Copy, Debug)]
enum Again {
    Not,
    Weak(WeakPassword),
    Problem(Problem),
}

/// `GET /account/password`
pub(crate) async fn show(
    State(people): State<People>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    match session::open(&people.server, &headers).await? {
        Some(session) => render(&people, &session, Again::Not).await,
        None => Ok(people.lead_to("/login")),
    }
}

/// Who has a password, or logs in elsewhere, has nothing to choose here.
async fn render(people: &People, session: &Session, again: Again) -> Result<Response, Fault> {
    let user = &session.person.user;
    if !matches!(user.own_login, OwnLogin::Passkeys(_)) {
        return Ok(people.lead_to("/account"));
    }
    let (status, weak, problem) = match again {
        Again::Not => (StatusCode::OK, None, None),
        Again::Weak(weak) => (StatusCode::BAD_REQUEST, Some(weak), None),
        Again::Problem(problem) => (problem.status(), None, Some(problem)),
    };
    let Factors { app, passkeys } = Factors::of(&people.server, user.id).await?;
    let template = PasswordPage {
        username: &user.username,
        app,
        passkey: confirmation(people, session, &passkeys)?,
        weak,
        problem: problem.map(Problem::words),
        form_token: CHOICE.token(&session.cookie),
        host: people.host(),
        root: people.root().to_owned(),
    };
    let response = match &template.passkey {
        Some(form) => page_with_script(status, &people.server.url(form.script), &template),
        None => page(status, Forms::Ours, &template),
    };
    Ok(match problem {
        Some(problem) => problem.on(response),
        None => response,
    })
}

/// `POST /account/password`: the password twice, and a passkey or a code.
pub(crate) async fn choose(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    match read(&people, (&visit, &body)).await? {
        Ok(sent) => sent.choose_password().await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

impl Sent<'_> {
    async fn choose_password(self) -> Result<Response, Fault> {
        self.form.check(CHOICE, &self.session.cookie)?;
        let (people, session, user) = (self.people, &self.session, self.user());
        let OwnLogin::Passkeys(mark) = &user.own_login else {
            return Ok(people.lead_to("/account"));
        };
        let typed = |name: &str| SecretText::new(self.form.fields.text(name).to_owned());
        // Before a code is used up.
        let chosen = NewPassword::choose(&typed("password"), &typed("again"), &user.username);
        let password = match chosen {
            Ok(password) => password,
            Err(weak) => return render(people, session, Again::Weak(weak)).await,
        };
        if let Some(problem) = self.wrong().await? {
            return render(people, session, Again::Problem(problem)).await;
        }
        let server = &people.server;
        let hash = people.passwords.hash(password, server.random.as_ref()).await?;
        if !server.store.add_password(user.id, &hash, mark).await? {
            return render(people, session, Again::Problem(Problem::Changed)).await;
        }
        self.audit(AuditEvent::PasswordSet {}).await?;
        Ok(people.lead_to("/account"))
    }
}
