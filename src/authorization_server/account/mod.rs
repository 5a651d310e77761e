//! `/account`: what a person has allowed, and where they are logged in.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::id::ClientId;

use super::logout::{EVERYWHERE, HERE};
use super::pages::{Fault, Forms, page};
use super::person::{People, Visit};
use super::session::{self, FormPurpose, Session, is_no_session};

mod authenticator;
mod connections;
mod passkeys;
mod password;
mod sent;
mod view;

pub(crate) use authenticator::{other_codes, remove, set_up, show as authenticator};
pub(crate) use connections::{begin, come_back, end};
pub(crate) use passkeys::{
    add as add_passkey, new as new_passkey, remove as remove_passkey, show as passkeys, to_passkeys,
};
pub(crate) use password::{choose as choose_password, show as password};

use authenticator::AuthenticatorView;
use connections::AccountView;
use view::{ClientView, SessionView};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    name: &'a str,
    username: &'a str,
    administrator: bool,
    notice: Option<&'static str>,
    clients: Vec<ClientView>,
    accounts: Vec<AccountView>,
    /// Whether they have one.
    password: bool,
    /// `None` for who logs in elsewhere.
    authenticator: Option<AuthenticatorView>,
    /// What is said of their passkeys; `None` where there are none to be had, and none.
    passkeys: Option<String>,
    sessions: Vec<SessionView>,
    logout_token: String,
    everywhere_token: String,
    host: String,
    root: String,
}

/// `GET /account`
pub(crate) async fn show(
    State(people): State<People>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(people.lead_to("/login"));
    };
    render(&people, &session).await
}

async fn render(people: &People, session: &Session) -> Result<Response, Fault> {
    let user = &session.person.user;
    let clients = view::clients(people, session).await?;
    let notice = clients
        .is_empty()
        .then_some("You are logged in. Go back to your app now and let it connect again.");
    let rows = people.server.store.list_sessions(user.id, people.server.clock.now()).await?;
    let sessions = rows.iter().filter(|row| !row.method.as_deref().is_some_and(is_no_session));
    let template = AccountPage {
        name: session.person.name(),
        username: &user.username,
        administrator: user.administrator,
        password: user.own_login.password_hash().is_some(),
        notice,
        clients,
        accounts: connections::views(people, session).await?,
        authenticator: authenticator::view(people, session).await?,
        passkeys: passkeys::words(people, session).await?,
        sessions: sessions.map(|row| view::session(people, session, row)).collect(),
        logout_token: HERE.token(&session.cookie),
        everywhere_token: EVERYWHERE.token(&session.cookie),
        host: people.host(),
        root: people.root().to_owned(),
    };
    Ok(page(StatusCode::OK, Forms::Ours, &template))
}

/// `POST /account/withdraw`: the client's consents go, its grants are revoked, its tokens with them.
pub(crate) async fn withdraw(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let form = people.form(&visit.headers, &body)?;
    let Some(session) = session::open(&people.server, &visit.headers).await? else {
        return Ok(people.lead_to("/login"));
    };
    let client = form.fields.text("client");
    form.check(withdrawal(&[client]), &session.cookie)?;
    let client: ClientId = client.parse().map_err(|_| Fault::Forged)?;
    let user_id = session.person.user.id;
    let now = people.server.clock.now();
    let grants = people.server.store.withdraw(user_id, &client, now).await?;
    let event = AuditEvent::ConsentWithdraw { grants };
    people.audit(visit.request_id, Some(user_id), Some(client), event).await?;
    Ok(people.lead_to("/account"))
}

const fn withdrawal<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "withdraw", about }
}
