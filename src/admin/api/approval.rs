//! `/api/v1/approvals`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{ApprovalView, Operations, PageQuery};

use super::describe::{Described, Operation, schema};
use super::input::{Asked, Items, items};

const PAGE: &[(&str, &str)] =
    &[("after", "`next` of the page before"), ("limit", "1 to 200; 50 where it is absent")];

pub(super) fn describe(api: Described) -> Described {
    let answer = schema::<Items<ApprovalView>>;
    let all = Operation::get("list", "List the calls that wait for a person", answer).asks(PAGE);
    api.on("/api/v1/approvals", all, get(list))
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
    Asked(asked): Asked<Waiting>,
) -> Result<Response, AdminError> {
    let page = PageQuery { after: asked.after, limit: asked.limit };
    Ok(items(operations.list_approvals(&page).await?).into_response())
}
