//! `/api/servers/{id}/pins`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{
    Actor, NewToolApproval, Operations, PageQuery, ToolPinDetail, ToolPinView,
};

use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Body, Items, items};

const QUERY: &[(&str, &str)] = &[
    ("after", "`next` of the page before"),
    ("limit", "1 to 200; 50 where it is absent"),
    ("changed", "true: only tools whose definition waits to be approved"),
];

/// `?after=…&limit=…&changed=…`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<String>,
    limit: Option<u32>,
    #[serde(default)]
    changed: bool,
}

/// Once for each of the two names of servers.
pub(super) fn describe(api: Described, base: &str) -> Described {
    let list_all = Operation::get(
        "list_pins",
        "List what a server's tools were approved as",
        schema::<Items<ToolPinView>>,
    )
    .asks(QUERY)
    .refuses(&[404]);
    let find_one = Operation::get(
        "find_pin",
        "Show a tool as it was approved, and as it is now",
        schema::<ToolPinDetail>,
    )
    .refuses(&[404]);
    let approve_one = Operation::get("approve_pin", "Approve a definition", schema::<ToolPinView>)
        .by("post")
        .takes(schema::<NewToolApproval>)
        .refuses(&[404, 409]);
    let remove_one = Operation::done("delete", "remove_pin", "Forget what a tool was approved as");
    let one = format!("{base}/{{id}}/pins/{{tool}}");
    api.on(format!("{base}/{{id}}/pins"), list_all, get(list))
        .on(one.clone(), find_one, get(find))
        .on(one.clone(), remove_one, delete(remove))
        .on(format!("{one}/approve"), approve_one, post(approve))
}

async fn list(
    State(operations): State<Operations>,
    At(id): At<String>,
    Asked(Which { after, limit, changed }): Asked<Which>,
) -> Result<Response, AdminError> {
    let page = PageQuery { after, limit };
    Ok(items(operations.list_tool_pins(&id, (changed, &page)).await?).into_response())
}

async fn find(
    State(operations): State<Operations>,
    At((id, tool)): At<(String, String)>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_tool_pin(&id, &tool).await?).into_response())
}

async fn approve(
    State(operations): State<Operations>,
    actor: Actor,
    At((id, tool)): At<(String, String)>,
    Body(approved): Body<NewToolApproval>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.approve_tool(&actor, (&id, &tool), approved).await?).into_response())
}

async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At((id, tool)): At<(String, String)>,
) -> Result<StatusCode, AdminError> {
    operations.delete_tool_pin(&actor, (&id, &tool)).await.map(|()| StatusCode::NO_CONTENT)
}
