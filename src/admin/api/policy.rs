//! `/api/v1/policy`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, Operations, PolicyView};

use super::describe::{Described, Operation, schema};

pub(super) fn describe(api: Described) -> Described {
    let view = schema::<PolicyView>;
    let shown = Operation::get("show", "Show which rules are in force", view);
    let reloaded = Operation {
        method: "post",
        ..Operation::get("reload", "Read the policy files again; any fault changes nothing", view)
    };
    api.on("/api/v1/policy", shown, get(show)).on(
        "/api/v1/policy/reload",
        reloaded.refuses(&[422]),
        post(reload),
    )
}

pub(super) async fn show(State(operations): State<Operations>) -> Result<Response, AdminError> {
    Ok(Json(operations.policy()?).into_response())
}

pub(super) async fn reload(
    State(operations): State<Operations>,
    actor: Actor,
) -> Result<Response, AdminError> {
    Ok(Json(operations.reload_policy(&actor).await?).into_response())
}
