//! `/device`: where a person types the code of their device, and is asked.

use std::time::Duration;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::authorization_server::consent::Standing;
use crate::authorization_server::login::{Bound, for_device};
use crate::authorization_server::pages::{Fault, Forms, ScopeWords, in_words, page, when};
use crate::authorization_server::person::{People, Visit};
use crate::authorization_server::session::{self, FormPurpose, Session};
use crate::store::DeviceRequestRow;
use crate::time::Timestamp;

use super::question::Question;
use super::user_code::UserCode;
use super::whence::Whence;

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

const TYPE_CODE: FormPurpose<'static> = FormPurpose { action: "device code", about: &[] };

/// `GET /device`. Whatever is in its query does not count: the code is typed.
pub(crate) async fn show(
    State(people): State<People>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(people.lead_to(&for_device()));
    };
    Ok(code_page(&people, &session, StatusCode::OK, None))
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
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    const WRONG: &str =
        "No device waits with this code. Look at it again; codes work for ten minutes, and once.";
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(people.lead_to(&for_device()));
    };
    form.check(TYPE_CODE, &session.cookie)?;
    count_try(people, &session).await?;
    let wrong = || code_page(people, &session, StatusCode::FORBIDDEN, Some(WRONG));
    let Some(code) = UserCode::parse(form.fields.text("user_code")) else { return Ok(wrong()) };
    let Some(row) = claim(people, &session, &code).await? else { return Ok(wrong()) };
    let question = Question::ask(people, &session.person, row).await?;
    let whence = Whence::of(question.asked.address, (visit.address, headers));
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

/// Of the form that a yes comes from: good for what was shown.
pub(super) const fn purpose<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "device", about }
}
