//! `/explain/{request id}`: why a request was refused, for administrators alone.
//!
//! Whoever is none learns nothing: whether the id exists is not even looked up for them.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::broker::{AttemptView, ExplainError, Explained, Explainer};
use crate::id::RequestId;

use super::login::for_explanation;
use super::pages::{Fault, Forms, clean_to, page};
use super::person::People;
use super::session;

/// Of one text; others chose many of them.
const LONGEST: usize = 1000;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage<'a> {
    told: Explained,
    person: &'a str,
    host: String,
}

/// `GET /explain/{request id}`. Who is not logged in logs in, and comes back here.
pub(crate) async fn show(
    State(people): State<People>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    // Not named by its id: of a refusal here nothing is to be explained.
    // A link that was cut or altered names no request.
    let id: RequestId = id.parse().map_err(|_| Fault::NoExplanation)?;
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(people.lead_to(&for_explanation(id)));
    };
    if !people.server.settings.administrators.include(&session.person.user) {
        return Err(Fault::NoExplanation);
    }
    let explainer = explainer(&people)?;
    let told = tidy(explainer.explain(id).await?);
    let status = if told.attempts.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let template = ExplainPage { told, person: session.person.name(), host: people.host() };
    Ok(page(status, Forms::Ours, &template))
}

fn explainer(people: &People) -> Result<&Explainer, Fault> {
    people.explainer.as_ref().ok_or(Fault::NoExplanation)
}

impl From<ExplainError> for Fault {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Store(error) => Self::Store(error),
            ExplainError::Log(error) => Self::Log(error),
        }
    }
}

/// Nothing that a caller chose may change how the page reads (N93).
fn tidy(mut told: Explained) -> Explained {
    for attempt in &mut told.attempts {
        texts(attempt, |text| *text = clean_to(text, LONGEST));
    }
    told
}

fn texts(attempt: &mut AttemptView, mut change: impl FnMut(&mut String)) {
    let AttemptView {
        endpoint,
        client,
        person,
        address,
        sent,
        outcome,
        decision,
        changes,
        events,
        ..
    } = attempt;
    change(endpoint);
    changes.iter_mut().for_each(&mut change);
    change(&mut outcome.code);
    change(&mut outcome.says);
    [person, address].into_iter().flatten().for_each(&mut change);
    if let Some(client) = client {
        change(&mut client.id);
        client.name.iter_mut().for_each(&mut change);
        change(&mut client.registration);
    }
    for sent in sent {
        change(&mut sent.name);
        change(&mut sent.shape);
    }
    for event in events {
        change(&mut event.event_type);
        change(&mut event.occurred_at);
    }
    let Some(decision) = decision else { return };
    change(&mut decision.tool);
    change(&mut decision.reason);
    for compared in decision.rules.iter_mut().flat_map(|rule| &mut rule.compared) {
        change(&mut compared.wants);
        change(&mut compared.saw);
    }
}
