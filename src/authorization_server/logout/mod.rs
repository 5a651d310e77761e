//! Logging out: one session or all of a person's, for a client, and where an identity provider says so.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::store::{Digest, LogOut, LoggedOut, Revokes, StoreError};

use super::login::KnownBrowser;
use super::pages::{Fault, Forms, page, query_value};
use super::person::{People, Person, Visit, with_cookie};
use super::session::{self, CookieKind, FormPurpose};

mod elsewhere;
mod notices;
mod relying_party;
mod token;

pub(crate) use elsewhere::log_out_elsewhere;
#[cfg(test)]
pub(super) use notices::Telling;
pub(super) use relying_party::PATH as END_SESSION_PATH;
pub(crate) use relying_party::{ask, confirm, forward};
pub(super) use token::EVENT;

/// The form of this page and of the account page.
pub(crate) const HERE: FormPurpose<'static> = FormPurpose { action: "logout", about: &[] };
/// The one that ends every session.
pub(crate) const EVERYWHERE: FormPurpose<'static> =
    FormPurpose { action: "logout", about: &["everywhere"] };

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage {
    form: Option<Question>,
    host: String,
    root: String,
}

struct Question {
    name: String,
    token: String,
    request: String,
    back: String,
}

/// `?request=`: where somebody comes from who is not the one that is logged in.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct From {
    request: Option<String>,
}

/// `GET /logout` asks; only the form logs out, so that no link or image can.
pub(crate) async fn show(
    State(people): State<People>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let session = session::open(&people.server, &headers).await?;
    let request = from.request.unwrap_or_default();
    let form = session.map(|session| Question {
        name: session.person.name().to_owned(),
        token: HERE.token(&session.cookie),
        back: back(&request),
        request,
    });
    let template = LogoutPage { form, host: people.host(), root: people.root().to_owned() };
    Ok(page(StatusCode::OK, Forms::Ours, &template))
}

/// `POST /logout`.
pub(crate) async fn log_out(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let form = people.form(&visit.headers, &body)?;
    let Some(session) = session::open(&people.server, &visit.headers).await? else {
        return Ok(people.lead_to("/logout"));
    };
    let everywhere = form.fields.filled("everywhere").is_some();
    form.check(if everywhere { EVERYWHERE } else { HERE }, &session.cookie)?;
    let request = form.fields.filled("request");
    let person = &session.person;
    let ended = if everywhere {
        end_everywhere(&people, &visit.headers, person).await?
    } else {
        let (session, sid) = (person.session, person.login.sid.clone());
        // Who comes next in this browser answers the request that this one was shown.
        let left = request.map(Digest::of);
        let which = LogOut::Session { session, sid, revokes: Revokes::Nothing, left };
        end(&people, &which).await?
    };
    let event = AuditEvent::LogOut { everywhere, grants: ended.grants };
    people.audit(visit.request_id, Some(session.person.user.id), None, event).await?;
    let onward = match request {
        Some(handle) => format!("/login?request={}", query_value(handle)),
        None => "/logout".to_owned(),
    };
    let cookie = people.server.cookies().remove(CookieKind::Session);
    Ok(with_cookie(people.lead_to(&onward), cookie))
}

/// Ends log-ins, and has whom that concerns told.
async fn end(people: &People, which: &LogOut) -> Result<LoggedOut, StoreError> {
    let ended = people.server.store.log_out(which, people.server.clock.now()).await?;
    people.server.logged_out.notify_one();
    Ok(ended.unwrap_or_default())
}

/// This browser stays known, where it was: whoever guesses at the person's password must not keep them out (N108).
async fn end_everywhere(
    people: &People,
    headers: &HeaderMap,
    person: &Person,
) -> Result<LoggedOut, StoreError> {
    let browser = KnownBrowser::find(&people.server, headers, &person.user).await?;
    let ended = end(people, &LogOut::Everywhere(person.user.id)).await?;
    if let Some(browser) = browser {
        browser.keep(&people.server).await?;
    }
    Ok(ended)
}

fn back(request: &str) -> String {
    if request.is_empty() {
        "/account".to_owned()
    } else {
        format!("/consent?request={}", query_value(request))
    }
}
