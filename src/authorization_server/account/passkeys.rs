//! `/account/passkeys`: the passkeys of somebody who logs in here.
//!
//! A new one takes two steps: who may add it, and then the browser's making it. What the second is to make is sealed into its
//! page by the first.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::authorization_server::login::{Making, PASSKEY, PasskeyForm, Problem, show_codes};
use crate::authorization_server::pages::{Fault, Forms, clean, page, page_with_script, when};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::second_factor::{
    Ceremony, Factors, MOST_PASSKEYS, NewPasskey, Passkeys, RecoveryCode, answered,
};
use crate::authorization_server::session::{self, FormPurpose, NewLogin, Session};
use crate::store::{PasskeyAdded, PasskeyRemoved, PasskeyRow};

use super::authenticator::CODES;
use super::sent::{Sent, confirmation, read};

pub(super) const PATH: &str = "/account/passkeys";
const ADDITION: FormPurpose<'static> = FormPurpose { action: "add passkey", about: &[] };
const REMOVAL: FormPurpose<'static> = FormPurpose { action: "remove passkey", about: &[] };

struct PasskeyView {
    id: String,
    name: String,
    lines: Vec<String>,
}

#[derive(Template)]
#[template(path = "account_passkeys.html")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a part of the page that is there or not"
)]
struct PasskeysPage<'a> {
    passkeys: Vec<PasskeyView>,
    /// Whether another may be added.
    more: bool,
    /// Whether they have one. Without it, the last passkey stays.
    password: bool,
    /// Whether the password alone is not enough: a code, or a passkey.
    second: bool,
    app: bool,
    codes_left: u64,
    required: bool,
    passkey: Option<PasskeyForm>,
    problem: Option<&'static str>,
    name: &'a str,
    add_token: String,
    removal_token: String,
    codes_token: String,
    host: String,
    root: String,
}

/// # Errors
///
/// [`Fault::Store`]
pub(super) async fn words(people: &People, session: &Session) -> Result<Option<String>, Fault> {
    let user = &session.person.user;
    if user.own_login.is_nothing() {
        return Ok(None);
    }
    let theirs = people.server.store.list_passkeys(user.id).await?;
    Ok(match theirs.len() {
        0 if people.passkeys.is_none() => None,
        0 => Some(
            "None. A passkey logs you in without your password, and cannot be phished.".to_owned(),
        ),
        1 => Some(format!("One: {}.", theirs.first().map_or("", |row| row.name.as_str()))),
        many => Some(format!("{many} of them.")),
    })
}

/// `GET /account/passkeys`
pub(crate) async fn show(
    State(people): State<People>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    match session::open(&people.server, &headers).await? {
        Some(session) => render(&people, &session, (None, "")).await,
        None => Ok(people.lead_to("/login")),
    }
}

/// `GET` of what a form leads to: of who reloads it.
pub(crate) async fn to_passkeys(State(people): State<People>) -> Response {
    people.lead_to(PATH)
}

async fn render(
    people: &People,
    session: &Session,
    (again, name): (Option<Problem>, &str),
) -> Result<Response, Fault> {
    let user = &session.person.user;
    let Factors { app, passkeys } = Factors::of(&people.server, user.id).await?;
    let nothing = people.passkeys.is_none() && passkeys.is_empty();
    if user.own_login.is_nothing() || nothing {
        return Ok(people.lead_to("/account"));
    }
    let template = PasskeysPage {
        more: people.passkeys.is_some() && passkeys.len() < MOST_PASSKEYS,
        password: user.own_login.password_hash().is_some(),
        second: app || !passkeys.is_empty(),
        app,
        codes_left: people.server.store.count_recovery_codes(user.id).await?,
        required: !app && people.server.settings.requires_second_factor(user),
        passkey: confirmation(people, session, &passkeys)?,
        passkeys: passkeys.into_iter().map(view).collect(),
        problem: again.map(Problem::words),
        name,
        add_token: ADDITION.token(&session.cookie),
        removal_token: REMOVAL.token(&session.cookie),
        codes_token: CODES.token(&session.cookie),
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

fn view(row: PasskeyRow) -> PasskeyView {
    let used = row
        .last_used_at
        .map_or_else(|| "not used yet".to_owned(), |at| format!("last used {}", when(at)));
    let kept = if row.backed_up {
        "Kept in a password manager, which has copies of it."
    } else {
        "Kept on one device, without a copy."
    };
    let lines = vec![format!("Added {}, {used}.", when(row.created_at)), kept.to_owned()];
    PasskeyView { id: row.credential_id, name: row.name, lines }
}

/// `POST /account/passkeys/new`: what it is to be called, the password, and a second factor of who has one.
pub(crate) async fn new(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    answer(&people, Act::New, (&visit, &body)).await
}

/// `POST /account/passkeys`: what the browser has made.
pub(crate) async fn add(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    answer(&people, Act::Add, (&visit, &body)).await
}

/// `POST /account/passkeys/remove`
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
    New,
    Add,
    Remove,
}

async fn answer(people: &People, act: Act, request: (&Visit, &[u8])) -> Result<Response, Fault> {
    let sent = match read(people, request).await? {
        Ok(sent) => sent,
        Err(elsewhere) => return Ok(elsewhere),
    };
    match (act, &people.passkeys) {
        (Act::Remove, _) => sent.remove_passkey().await,
        (_, None) => Ok(people.lead_to("/account")),
        (Act::New, Some(passkeys)) => sent.new_passkey(passkeys).await,
        (Act::Add, Some(passkeys)) => sent.add_passkey(passkeys).await,
    }
}

const fn ceremony(session: &Session) -> Ceremony<'_> {
    Ceremony { what: "new", whom: &session.person.session }
}

const fn made<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "new passkey", about }
}

impl Sent<'_> {
    async fn new_passkey(self, passkeys: &Passkeys) -> Result<Response, Fault> {
        self.form.check(ADDITION, &self.session.cookie)?;
        let (people, session) = (self.people, &self.session);
        let name = &*clean(self.form.fields.text("name"));
        if name.is_empty() {
            return render(people, session, (Some(Problem::Name), "")).await;
        }
        // What they have now is asked for below.
        let factors = Factors::of(&people.server, self.user().id).await?;
        if let Some(again) = self.wrong().await? {
            return render(people, session, (Some(again), name)).await;
        }
        if factors.passkeys.len() >= MOST_PASSKEYS {
            return render(people, session, (Some(Problem::Taken), "")).await;
        }
        let whose = (self.user(), name);
        let question = passkeys.ask_new(&people.server, ceremony(session), whose, &factors)?;
        let form_token = made(&[&question.sealed]).token(&session.cookie);
        let back = (PATH, "Back to your passkeys");
        Ok(Making { name, action: PATH, form_token, back }.page(people, question))
    }

    async fn add_passkey(self, passkeys: &Passkeys) -> Result<Response, Fault> {
        let (people, fields) = (self.people, &self.form.fields);
        let sealed = fields.text("challenge");
        self.form.check(made(&[sealed]), &self.session.cookie)?;
        let again = |problem| render(people, &self.session, (Some(problem), ""));
        let (server, now) = (&people.server, people.server.clock.now());
        let question = answered::<NewPasskey>(server, ceremony(&self.session), sealed).await?;
        let Some(question) = question else { return again(Problem::Late).await };
        let whose = (self.user(), now);
        let (row, second) = match passkeys.finish_new(question, fields.text("assertion"), whose) {
            Ok(made) => made,
            Err(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "passkey.refused");
                return again(Problem::NoPasskey).await;
            }
        };
        let codes = RecoveryCode::generate_all(server.random.as_ref());
        let digests: Vec<_> = codes.iter().map(|code| code.digest(row.user_id)).collect();
        let guard = self.user().own_login.guard();
        let added =
            server.store.add_passkey(&row, MOST_PASSKEYS, &digests, (guard, second)).await?;
        let first = match added {
            PasskeyAdded::First => true,
            PasskeyAdded::Another => false,
            PasskeyAdded::Refused => return again(Problem::Taken).await,
        };
        self.audit(AuditEvent::PasskeyAdd { first }).await?;
        // They have just shown all of it: this session says so from now on, and is a new one.
        let login = if self.has_password() {
            NewLogin::with_password_and_passkey(self.user().id, now)
        } else {
            NewLogin::with_passkey(self.user().id, now)
        };
        let login = login.compared_with(&self.user().own_login);
        let cookie = session::begin(server, self.headers, login).await?;
        let response = if first {
            show_codes(people, self.user(), (&codes, PASSKEY), PATH.to_owned())
        } else {
            people.lead_to(PATH)
        };
        Ok(with_cookie(response, cookie))
    }

    async fn remove_passkey(self) -> Result<Response, Fault> {
        self.form.check(REMOVAL, &self.session.cookie)?;
        if let Some(again) = self.wrong().await? {
            return render(self.people, &self.session, (Some(again), "")).await;
        }
        let (store, which) = (&self.people.server.store, self.form.fields.text("passkey"));
        match store.remove_passkey(self.user().id, which).await? {
            PasskeyRemoved::Done => self.audit(AuditEvent::PasskeyRemove {}).await?,
            PasskeyRemoved::Unknown => {}
            PasskeyRemoved::Last => {
                let again = (Some(Problem::LastPasskey), "");
                return render(self.people, &self.session, again).await;
            }
        }
        Ok(self.people.lead_to(PATH))
    }
}
