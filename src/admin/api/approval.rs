//! `/api/v1/approvals`: also for who administers nothing, with the scope `broker:approve`, as far as they may answer.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{
    ApprovalAnswer, ApprovalDetail, ApprovalView, Operations, PageQuery,
};
use crate::id::ApprovalId;

use super::access::Asker;
use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Body, Items, items};

const PAGE: &[(&str, &str)] =
    &[("after", "`next` of the page before"), ("limit", "1 to 200; 50 where it is absent")];

pub(super) fn describe(api: Described) -> Described {
    let (page, one) = (schema::<Items<ApprovalView>>, schema::<ApprovalDetail>);
    let all = Operation::get("list", "List the calls that wait for a person", page).asks(PAGE);
    let shown = Operation::get("show", "Show one call that waits or waited", one).refuses(&[404]);
    let answered = Operation {
        method: "post",
        ..Operation::get("answer", "Approve or deny a call, once, as the person of the token", one)
    };
    let answered = answered.takes(schema::<ApprovalAnswer>).refuses(&[404, 409]);
    api.on("/api/v1/approvals", all, get(list)).on("/api/v1/approvals/{id}", shown, get(show)).on(
        "/api/v1/approvals/{id}/answer",
        answered,
        post(answer),
    )
}

/// `?after=…&limit=…`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    after: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(operations): State<Operations>,
    asker: Asker,
    Asked(wanted): Asked<Waiting>,
) -> Result<Response, AdminError> {
    let page = PageQuery { after: wanted.after, limit: wanted.limit };
    let page = operations.list_approvals(&asker.actor, asker.administers, &page).await?;
    Ok(items(page).into_response())
}

pub(super) async fn show(
    State(operations): State<Operations>,
    asker: Asker,
    At(id): At<ApprovalId>,
) -> Result<Response, AdminError> {
    let shown = operations.approval(&asker.actor, asker.administers, id).await?;
    Ok(Json(shown).into_response())
}

pub(super) async fn answer(
    State(operations): State<Operations>,
    asker: Asker,
    At(id): At<ApprovalId>,
    Body(said): Body<ApprovalAnswer>,
) -> Result<Response, AdminError> {
    let shown = operations.answer_approval(&asker.actor, asker.administers, id, said).await?;
    Ok(Json(shown).into_response())
}
