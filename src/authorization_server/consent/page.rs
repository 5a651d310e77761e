//! The page and its answer.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use url::Url;

use crate::audit::{AuditEvent, Sent};
use crate::authorization_server::authorize;
use crate::authorization_server::pages::{
    Fault, Forms, RefusedRequest, ScopeWords, in_words, page, query_value, see_other,
};
use crate::authorization_server::person::{People, Visit};
use crate::authorization_server::session::{self, FormPurpose, Session};
use crate::id::RequestId;

use super::introduction::Standing;
use super::question::{Question, waiting};
use super::receiver::{Place, Receiver};

/// `?request=`
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    request: String,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    receiver: &'a Receiver,
    client_name: &'a str,
    standing: &'a Standing,
    asked: Vec<ScopeWords>,
    kept: Vec<ScopeWords>,
    left_out: usize,
    /// Whether another one of its pages was answered before it changed.
    again: bool,
    form_token: String,
    /// For this request, whatever was shown.
    request_token: String,
    request: &'a str,
    /// The same for a URL.
    request_value: String,
    resource: &'a str,
    person: &'a str,
    host: String,
    root: String,
}

#[derive(Template)]
#[template(path = "return.html")]
struct ReturnPage<'a> {
    url: &'a str,
    receiver: &'a str,
    granted: bool,
    host: String,
}

/// `GET /consent`
pub(crate) async fn show(
    State(people): State<People>,
    Query(asked): Query<Asked>,
    visit: Visit,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let handle = &*asked.request;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(people.lead_to(&format!("/login?request={}", query_value(handle))));
    };
    let question = asked_of(people, &visit, &session, handle).await?;
    if question.needs_login(&session.person) {
        return Ok(people.lead_to(&format!("/login?request={}", query_value(handle))));
    }
    if !question.pending.is_met_by(&session.person) {
        return Err(unmet(people, visit.request_id, &session, handle, question).await?);
    }
    if question.is_answered() {
        let url = grant(people, visit.request_id, &session, handle, &question).await?;
        // Never a redirect here: the login form that led to this page has `form-action 'self'` (N107).
        return Ok(go_back(people, &question.receiver, &url, true));
    }
    Ok(render(people, &session, handle, (&question, false)))
}

/// What the person is asked. A client whose host has come to be denied by the settings since its request is refused, which is
/// recorded as its requests at `/authorize` are from then on.
async fn asked_of(
    people: &People,
    visit: &Visit,
    session: &Session,
    handle: &str,
) -> Result<Question, Fault> {
    let asked = Question::ask(people, &session.person, handle).await;
    if let Err(Fault::UnknownClient(error)) = &asked
        && let Some(error_description) = error.denied_host()
        && people.server.auditor.admit_refusal(visit.address)
        && let Some(pending) = waiting(people, handle).await?
    {
        let sent = Box::new(Sent {
            endpoint: Some("/consent"),
            error_description: Some(error_description),
            ..Sent::default()
        });
        let event = AuditEvent::AuthorizeRefuse {
            error: "invalid_client",
            unverified_client_id: None,
            resource: Some(pending.resource),
            sent,
        };
        let user = session.person.user.id;
        people.audit(visit.request_id, Some(user), Some(pending.client_id), event).await?;
    }
    asked
}

/// `again`: an answer came to another question than this one.
fn render(
    people: &People,
    session: &Session,
    handle: &str,
    (question, again): (&Question, bool),
) -> Response {
    let mut asked = in_words(&question.asked(), &people.scope_words);
    let mut kept = in_words(&question.kept, &people.scope_words);
    // Beside what was allowed before it is nothing new.
    let lines = if kept.is_empty() { &mut asked } else { &mut kept };
    lines.extend(in_words(&question.unasked(), &people.scope_words));
    let template = ConsentPage {
        receiver: &question.receiver,
        client_name: &question.client.name,
        standing: &question.client.standing,
        asked,
        kept,
        left_out: question.left_out,
        again,
        form_token: purpose(&[handle, &question.digest]).token(&session.cookie),
        request_token: purpose(&[handle]).token(&session.cookie),
        request: handle,
        request_value: query_value(handle),
        resource: &question.pending.resource,
        person: session.person.name(),
        host: people.host(),
        root: people.root().to_owned(),
    };
    let status = if again { StatusCode::CONFLICT } else { StatusCode::OK };
    page(status, Forms::Anywhere, &template)
}

/// `POST /consent`: the answer counts for what was shown, in this session, and once (N103, N104). A yes to what has changed since, as by an
/// answer in another tab or by new rules, gives nothing: the page comes again as it is now. A no is a no to all of it.
pub(crate) async fn decide(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Err(Fault::Forged);
    };
    let handle = form.fields.text("request");
    let question = asked_of(people, &visit, &session, handle).await?;
    let is_current = form.check(purpose(&[handle, &question.digest]), &session.cookie).is_ok();
    let of_the_request = form.fields.text("request_form");
    if !is_current && !purpose(&[handle]).fits(&session.cookie, of_the_request) {
        return Err(Fault::Forged);
    }
    let granted = match form.fields.text("decision") {
        "allow" if question.needs_login(&session.person) => return Err(Fault::Forged),
        "allow" if !is_current => return Ok(render(people, &session, handle, (&question, true))),
        "allow" if !question.offered.is_empty() => true,
        "deny" => false,
        _ => return Err(Fault::Forged),
    };
    let url = if granted {
        grant(people, visit.request_id, &session, handle, &question).await?
    } else {
        let answered = authorize::deny(&people.server, handle, &session.person).await?;
        decided(people, visit.request_id, &session, &question, false).await?;
        answered.refusal(&people.server)?
    };
    if matches!(url.scheme(), "http" | "https") {
        return Ok(see_other(url.as_str()));
    }
    Ok(go_back(people, &question.receiver, &url, granted))
}

/// Another login would not help: the request is over, and the person decides whether its client is told.
async fn unmet(
    people: &People,
    request_id: RequestId,
    session: &Session,
    handle: &str,
    question: Question,
) -> Result<Fault, Fault> {
    let answered = authorize::deny(&people.server, handle, &session.person).await?;
    decided(people, request_id, session, &question, false).await?;
    let (refused, back) = answered.unmet(&people.server, &session.person)?;
    let receiver = question.receiver;
    Ok(Fault::Refused(Box::new(RefusedRequest { refused, receiver, back })))
}

async fn grant(
    people: &People,
    request_id: RequestId,
    session: &Session,
    handle: &str,
    question: &Question,
) -> Result<Url, Fault> {
    let (server, person) = (&people.server, &session.person);
    // Of several answers one gets here; its word is in the log before anything is given.
    let answered = authorize::approve(server, handle, person, question.offered.clone()).await?;
    decided(people, request_id, session, question, true).await?;
    Ok(answered.grant(server, person, !question.is_answered()).await?)
}

async fn decided(
    people: &People,
    request_id: RequestId,
    session: &Session,
    question: &Question,
    granted: bool,
) -> Result<(), Fault> {
    let (resource, scopes) = (question.pending.resource.clone(), question.offered.clone());
    let event = if granted {
        AuditEvent::AuthorizationGrant { resource, scopes, asked: !question.is_answered() }
    } else {
        AuditEvent::AuthorizationDeny { resource, scopes }
    };
    let (user, client) = (session.person.user.id, question.pending.client_id.clone());
    people.audit(request_id, Some(user), Some(client), event).await
}

/// Leads back by a link and a refresh: for custom schemes, and where a form led here.
fn go_back(people: &People, receiver: &Receiver, url: &Url, granted: bool) -> Response {
    let template =
        ReturnPage { url: url.as_str(), receiver: &receiver.plain, granted, host: people.host() };
    page(StatusCode::OK, Forms::Ours, &template)
}

const fn purpose<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "consent", about }
}
