//! `/api/v1/explain/{request_id}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::admin::error::AdminError;
use crate::admin::operations::Operations;
use crate::broker::Explained;

use super::describe::{Described, Operation, schema};
use super::input::At;

pub(super) fn describe(api: Described) -> Described {
    let summary = "Say why a request was refused, as far as it is on record at this replica";
    let explain_one = Operation::get("show", summary, schema::<Explained>).refuses(&[404]);
    api.on("/api/v1/explain/{request_id}", explain_one, get(show))
}

/// 404 for what is no id, and where nothing is on record.
pub(super) async fn show(
    State(operations): State<Operations>,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    let id = id.parse().map_err(|_| AdminError::NotFound("request"))?;
    let told = operations.explain(id).await?;
    if told.attempts.is_empty() {
        return Err(AdminError::NotFound(if told.in_files {
            "request in the audit log of this replica"
        } else {
            "request among the last refusals of this replica, whose audit log goes to standard output"
        }));
    }
    Ok(Json(told).into_response())
}
