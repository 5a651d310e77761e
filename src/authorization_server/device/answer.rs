//! `/device/answer`: where a person says yes or no to what they were shown.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::authorization_server::authorize::new_grant;
use crate::authorization_server::pages::{Fault, Forms, page};
use crate::authorization_server::person::{People, Visit};
use crate::authorization_server::session::{self, Session};
use crate::store::{CodeRow, DeviceAnswer, DeviceRequestRow, GrantRow};

use super::page::purpose;
use super::question::Question;
use super::user_code::UserCode;
use super::{DEVICE_CLASS, NO_CHALLENGE, TIME_TO_POLL};

#[derive(Template)]
#[template(path = "device_done.html")]
struct DonePage {
    granted: bool,
    host: String,
    root: String,
}

/// `POST /device/answer`: counts for what was shown, in this session, and once (N83, N103, N104).
pub(crate) async fn answer(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Err(Fault::Forged);
    };
    let code = UserCode::parse(form.fields.text("user_code")).ok_or(Fault::Forged)?;
    let row = claimed(people, &session, &code).await?.ok_or(Fault::NoRequest)?;
    let question = Question::ask(people, &session.person, row).await?;
    form.check(purpose(&[&code.shown(), &question.digest]), &session.cookie)?;
    let granted = match form.fields.text("decision") {
        "allow" if !question.offered.is_empty() => true,
        "deny" => false,
        _ => return Err(Fault::Forged),
    };
    let (resource, scopes) = (question.pending.resource.clone(), question.offered.clone());
    let (answer, event) = if granted {
        let event = AuditEvent::AuthorizationGrant { resource, scopes, asked: true };
        (DeviceAnswer::Approve(Box::new(rows(people, &session, &question).await?)), event)
    } else {
        (DeviceAnswer::Deny, AuditEvent::AuthorizationDeny { resource, scopes })
    };
    // Its word is in the log before anything is given.
    let (user, client) = (session.person.user.id, question.pending.client_id.clone());
    people.audit(visit.request_id, Some(user), Some(client), event).await?;
    let (digest, now) = (people.server.user_codes.digest(&code), people.server.clock.now());
    let store = &people.server.store;
    if !store.answer_device_request(&digest, &session.person.session, &answer, now).await? {
        return Err(Fault::NoRequest);
    }
    let template = DonePage { granted, host: people.host(), root: people.root().to_owned() };
    Ok(page(StatusCode::OK, Forms::Ours, &template))
}

/// What this session has claimed already. An answer finds out nothing else, and takes nothing: only typing, which is
/// counted, tells of a code whether it waits (N82).
async fn claimed(
    people: &People,
    session: &Session,
    code: &UserCode,
) -> Result<Option<DeviceRequestRow>, Fault> {
    let server = &people.server;
    let (digest, now) = (server.user_codes.digest(code), server.clock.now());
    Ok(server.store.claimed_device_request(&digest, &session.person.session, now).await?)
}

/// The grant, and what the device redeems for its tokens: its own code.
async fn rows(
    people: &People,
    session: &Session,
    question: &Question,
) -> Result<(GrantRow, CodeRow), Fault> {
    let (server, scopes) = (&people.server, &question.offered);
    let (pending, person) = (&question.pending, &session.person);
    let grant = new_grant(server, pending, person, (scopes, TIME_TO_POLL)).await?;
    let grant = GrantRow { redirect_origin: Some(DEVICE_CLASS.to_owned()), ..grant };
    let code = CodeRow {
        code: question.device_code,
        grant_id: grant.id,
        client_id: grant.client_id.clone(),
        redirect_uri: DEVICE_CLASS.to_owned(),
        code_challenge: NO_CHALLENGE.to_owned(),
        nonce: None,
        dpop_jkt: None,
        scopes: scopes.clone(),
        expires_at: grant.created_at.plus(TIME_TO_POLL),
        used_at: None,
    };
    Ok((grant, code))
}
