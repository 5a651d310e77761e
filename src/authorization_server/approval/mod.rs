//! `/approvals`: calls that wait for a person, for those who may answer them and for who asked.
//!
//! A link holds an id and nothing else (MCP elicitation EL-6); what it shows and does depends on the login alone (EL-5).

mod view;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::{ApprovalOutcome, Context};
use crate::broker::{Answer, ApprovalError, Approvals, Approver};
use crate::id::{ApprovalId, TraceId};
use crate::store::{ApprovalRow, PageRequest, StoreError};

use super::login::for_approval;
use super::pages::{Fault, Forms, page};
use super::person::{People, Visit};
use super::session::{self, FormPurpose, Session};

use view::{CallView, approver, call};

/// Calls that one page shows.
const MOST: u32 = 200;

const OWN_CALL: &str = "You asked for this. Somebody else has to answer.";
const OTHER_RULES: &str =
    "The rules have changed since this was asked, so no answer opens it. The app may ask anew.";
const MAY_BE_OWN_CALL: &str = "You log in elsewhere than who asked, so nothing shows that it was not you. \
                               Somebody who logs in there has to answer.";

#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage<'a> {
    call: CallView,
    /// `None`: the person may look and not answer.
    form_token: Option<String>,
    notice: Option<&'static str>,
    person: &'a str,
    host: String,
    root: String,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage<'a> {
    calls: Vec<CallView>,
    person: &'a str,
    host: String,
    root: String,
}

/// `GET /approvals`: what waits for this person.
pub(crate) async fn list(
    State(people): State<People>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let approvals = approvals(&people)?;
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(people.lead_to("/login"));
    };
    let person = approver(&people, &session).await?;
    let mine = waiting_for(&people, approvals, &person).await?;
    let mut calls = Vec::with_capacity(mine.len());
    for row in &mine {
        calls.push(call(&people, approvals, row).await?);
    }
    let template = ApprovalsPage {
        calls,
        person: session.person.name(),
        host: people.host(),
        root: people.root().to_owned(),
    };
    Ok(page(StatusCode::OK, Forms::Ours, &template))
}

/// Looks on until a page is full: however many calls wait for others, none hides what waits for this person.
async fn waiting_for(
    people: &People,
    approvals: &Approvals,
    person: &Approver,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let (store, now) = (&people.server.store, people.server.clock.now());
    let (mut mine, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_approvals(&PageRequest { after, limit: MOST }, now).await?;
        let rows = page.rows.into_iter();
        let waits = |row: &ApprovalRow| {
            Approvals::refusal(row, person).is_none() && !approvals.is_of_other_rules(row)
        };
        mine.extend(rows.filter(waits));
        after = page.next;
        if after.is_none() || mine.len() >= MOST as usize {
            mine.truncate(MOST as usize);
            return Ok(mine);
        }
    }
}

/// `GET /approvals/{id}`. Who is not logged in logs in, and comes back here.
pub(crate) async fn show(
    State(people): State<People>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let id = parsed(&id)?;
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(people.lead_to(&for_approval(id)));
    };
    render(&people, &session, id, None).await
}

/// Who may neither answer nor has asked is told what somebody is told who made the id up.
async fn render(
    people: &People,
    session: &Session,
    id: ApprovalId,
    notice: Option<&'static str>,
) -> Result<Response, Fault> {
    let approvals = approvals(people)?;
    let row = people.server.store.find_approval(id).await?.ok_or(Fault::NoApproval)?;
    let person = approver(people, session).await?;
    let refusal = Approvals::refusal(&row, &person);
    if refusal == Some(ApprovalOutcome::NotAnApprover) {
        return Err(Fault::NoApproval);
    }
    let call = call(people, approvals, &row).await?;
    let open = call.waits && row.expires_at > people.server.clock.now() && refusal.is_none();
    let shown = id.to_string();
    let form_token = open.then(|| decision(&[&shown]).token(&session.cookie));
    let notice = notice.or(match refusal {
        Some(ApprovalOutcome::OwnCall) => Some(OWN_CALL),
        Some(ApprovalOutcome::MayBeOwnCall) => Some(MAY_BE_OWN_CALL),
        _ => None,
    });
    let template = ApprovalPage {
        call,
        form_token,
        notice,
        person: session.person.name(),
        host: people.host(),
        root: people.root().to_owned(),
    };
    Ok(page(StatusCode::OK, Forms::Ours, &template))
}

/// `POST /approvals/{id}`: approves or denies, once.
pub(crate) async fn answer(
    State(people): State<People>,
    Path(id): Path<String>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, id, headers) = (&people, &*id, &visit.headers);
    let form = people.form(headers, &body)?;
    let which = parsed(id)?;
    // The session is over: nothing is answered, and after the login the same page is there again.
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(people.lead_to(&for_approval(which)));
    };
    form.check(decision(&[id]), &session.cookie)?;
    let approved = match form.fields.text("decision") {
        "approve" => true,
        "deny" => false,
        _ => return Err(Fault::Forged),
    };
    let approvals = approvals(people)?;
    let person = approver(people, &session).await?;
    let context = Context {
        request_id: visit.request_id,
        trace_id: TraceId::generate(people.server.random.as_ref()),
        requester_id: Some(person.name.clone()),
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    };
    let comment = form.fields.filled("comment").map(str::to_owned);
    let answered = approvals.answer(&context, which, &person, Answer { approved, comment }).await;
    let notice = match answered.map_err(fault)? {
        Some(ApprovalOutcome::Approved) => "Approved. The app may make this call once now.",
        Some(ApprovalOutcome::Denied) => "Denied. The app is told so.",
        Some(ApprovalOutcome::TooLate) => {
            "That came too late: it was answered before, or its time is over."
        }
        Some(ApprovalOutcome::AnotherPolicy) => OTHER_RULES,
        Some(ApprovalOutcome::OwnCall) => OWN_CALL,
        Some(ApprovalOutcome::MayBeOwnCall) => MAY_BE_OWN_CALL,
        Some(ApprovalOutcome::NotAnApprover) | None => return Err(Fault::NoApproval),
    };
    render(people, &session, which, Some(notice)).await
}

/// A link that was cut or altered names no call.
fn parsed(id: &str) -> Result<ApprovalId, Fault> {
    id.parse().map_err(|_| Fault::NoApproval)
}

fn approvals(people: &People) -> Result<&Approvals, Fault> {
    people.approvals.as_ref().ok_or(Fault::NoApproval)
}

const fn decision<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "approval", about }
}

fn fault(error: ApprovalError) -> Fault {
    match error {
        ApprovalError::Store(error) => Fault::Store(error),
        ApprovalError::Audit(error) => Fault::Audit(error),
    }
}
