//! `/device`: where a person types the code of their device, and says yes or no.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::authorization_server::authorize::new_grant;
use crate::authorization_server::consent::Standing;
use crate::authorization_server::login::{Bound, for_device};
use crate::authorization_server::pages::{Fault, Forms, ScopeWords, in_words, page, when};
use crate::authorization_server::person::People;
use crate::authorization_server::session::{self, FormPurpose, Session};
use crate::id::{ClientAddress, RequestId};
use crate::store::{CodeRow, DeviceAnswer, DeviceRequestRow, GrantRow};
use crate::time::Timestamp;

use super::question::Question;
use super::user_code::UserCode;
use super::whence::Whence;
use super::{DEVICE_CLASS, NO_CHALLENGE, TIME_TO_POLL};

/// How many codes one person may type in a window, right ones too: whoever has an account could guess at others' codes
/// (RFC 8628 §5.1; N82). 20 of 2^34 is one in a billion.
const TRIES: Bound = Bound { most: 20, window: Duration::from_mins(15) };

#[derive(Template)]
#[template(path = "device.html")]
struct CodePage<'a> {
    problem: Option<&'static str>,
    form_token: String,
    person: &'a str,
    host: String,
    root: String,
}

#[derive(Template)]
#[template(path = "device_consent.html")]
struct ConsentPage<'a> {
    user_code: String,
    client_name: &'a str,
    standing: &'a Standing,
    /// Where the request came from.
    address: Option<String>,
    whence: Whence,
    asked_at: String,
    scopes: Vec<ScopeWords>,
    left_out: usize,
    form_token: String,
    resource: &'a str,
    person: &'a str,
    host: String,
    root: String,
}

#[derive(Template)]
#[template(path = "device_done.html")]
struct DonePage {
    granted: bool,
    host: String,
    root: String,
}

const TYPE_CODE: FormPurpose<'static> = FormPurpose { action: "device code", about: &[] };

/// `GET /device`. Whatever is in its query does not count: the code is typed.
pub(crate) async fn show(State(people): State<People>, headers: HeaderMap) -> Response {
    let shown = async {
        let Some(session) = session::open(&people.server, &headers).await? else {
            return Ok(people.lead_to(&for_device()));
        };
        Ok::<_, Fault>(code_page(&people, &session, StatusCode::OK, None))
    };
    shown.await.unwrap_or_else(|fault| fault.page(people.root(), people.request_id()))
}

fn code_page(
    people: &People,
    session: &Session,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    let template = CodePage {
        problem,
        form_token: TYPE_CODE.token(&session.cookie),
        person: session.person.name(),
        host: people.host(),
        root: people.root().to_owned(),
    };
    page(status, Forms::Ours, &template)
}

/// `POST /device`: shows what the device with this code asks for. From then on only this session may answer (N83).
pub(crate) async fn type_code(
    State(people): State<People>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let address = address.map(|Extension(ClientAddress(address))| address);
    let outcome = try_type(&people, address, &headers, &body).await;
    outcome.unwrap_or_else(|fault| fault.page(people.root(), people.request_id()))
}

async fn try_type(
    people: &People,
    address: Option<IpAddr>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Fault> {
    const WRONG: &str =
        "No device waits with this code. Look at it again; codes work for ten minutes, and once.";
    let form = people.form(headers, body)?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(people.lead_to(&for_device()));
    };
    form.check(TYPE_CODE, &session.cookie)?;
    count_try(people, &session).await?;
    let wrong = || code_page(people, &session, StatusCode::FORBIDDEN, Some(WRONG));
    let Some(code) = UserCode::parse(form.fields.text("user_code")) else { return Ok(wrong()) };
    let Some(row) = claim(people, &session, &code).await? else { return Ok(wrong()) };
    let question = Question::ask(people, &session.person, row).await?;
    let whence = Whence::of(question.asked.address, (address, headers));
    Ok(ask(people, &session, whence, (&code, &question)))
}

async fn count_try(people: &People, session: &Session) -> Result<(), Fault> {
    let key = format!("user_code:{}", session.person.user.id);
    let wait = TRIES.count(&people.server, &key).await?;
    if wait.is_some() { Err(Fault::TooMany) } else { Ok(()) }
}

async fn claim(
    people: &People,
    session: &Session,
    code: &UserCode,
) -> Result<Option<DeviceRequestRow>, Fault> {
    let server = &people.server;
    let (digest, now) = (server.user_codes.digest(code), server.clock.now());
    Ok(server.store.claim_device_request(&digest, &session.person.session, now).await?)
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

fn ask(
    people: &People,
    session: &Session,
    whence: Whence,
    (code, question): (&UserCode, &Question),
) -> Response {
    let user_code = code.shown();
    let template = ConsentPage {
        client_name: &question.client.name,
        standing: &question.client.standing,
        address: question.asked.address.map(|address| address.to_canonical().to_string()),
        whence,
        asked_at: when(Timestamp::from_unix_seconds(question.asked.at)),
        scopes: in_words(&question.offered, &people.scope_words),
        left_out: question.left_out,
        form_token: purpose(&[&user_code, &question.digest]).token(&session.cookie),
        resource: &question.pending.resource,
        person: session.person.name(),
        host: people.host(),
        root: people.root().to_owned(),
        user_code,
    };
    page(StatusCode::OK, Forms::Ours, &template)
}

/// `POST /device/answer`: counts for what was shown, in this session, and once (N83, N103, N104).
pub(crate) async fn answer(
    State(people): State<People>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request_id = people.request_id();
    let outcome = try_answer(&people, request_id, &headers, &body).await;
    outcome.unwrap_or_else(|fault| fault.page(people.root(), request_id))
}

async fn try_answer(
    people: &People,
    request_id: RequestId,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Fault> {
    let form = people.form(headers, body)?;
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
        (DeviceAnswer::Approve(Box::new(rows(people, &session, &question))), event)
    } else {
        (DeviceAnswer::Deny, AuditEvent::AuthorizationDeny { resource, scopes })
    };
    // Its word is in the log before anything is given.
    let (user, client) = (session.person.user.id, question.pending.client_id.clone());
    people.audit(request_id, Some(user), Some(client), event).await?;
    let (digest, now) = (people.server.user_codes.digest(&code), people.server.clock.now());
    let store = &people.server.store;
    if !store.answer_device_request(&digest, &session.person.session, &answer, now).await? {
        return Err(Fault::NoRequest);
    }
    let template = DonePage { granted, host: people.host(), root: people.root().to_owned() };
    Ok(page(StatusCode::OK, Forms::Ours, &template))
}

/// The grant, and what the device redeems for its tokens: its own code.
fn rows(people: &People, session: &Session, question: &Question) -> (GrantRow, CodeRow) {
    let (server, scopes) = (&people.server, &question.offered);
    let grant = new_grant(server, &question.pending, &session.person, (scopes, TIME_TO_POLL));
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
    (grant, code)
}

const fn purpose<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "device", about }
}
