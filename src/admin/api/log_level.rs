//! `/api/v1/log-levels`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, LogLevelView, NewLogLevel, Operations};

use super::describe::{Described, Operation, schema};
use super::input::{At, Body};

pub(super) fn describe(api: Described) -> Described {
    let views = schema::<Vec<LogLevelView>>;
    let one = "/api/v1/log-levels/{module}";
    let listed = Operation::get("list", "List what this replica logs", views);
    let set_one = Operation {
        method: "put",
        ..Operation::get("set", "Set from which level on a module logs, or all do", views)
    };
    let reset_one = Operation {
        method: "delete",
        ..Operation::get("reset", "Let a module log as all others do", views)
    };
    api.on("/api/v1/log-levels", listed, get(list))
        .on(one, set_one.takes(schema::<NewLogLevel>).refuses(&[404]), put(set))
        .on(one, reset_one.refuses(&[404]), delete(reset))
}

pub(super) async fn list(State(operations): State<Operations>) -> Result<Response, AdminError> {
    Ok(Json(operations.log_levels()?).into_response())
}

pub(super) async fn set(
    State(operations): State<Operations>,
    actor: Actor,
    At(module): At<String>,
    Body(new): Body<NewLogLevel>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.set_log_level(&actor, &module, Some(new.level)).await?).into_response())
}

pub(super) async fn reset(
    State(operations): State<Operations>,
    actor: Actor,
    At(module): At<String>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.set_log_level(&actor, &module, None).await?).into_response())
}
