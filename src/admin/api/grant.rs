//! `/api/v1/grants`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, GrantView, Operations, PageQuery};
use crate::id::{ClientId, GrantId, UserId};
use crate::store::GrantFilter;

use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Items, items};

const FILTER: &[(&str, &str)] = &[
    ("user_id", "only of this person"),
    ("client_id", "only to this client"),
    ("ended", "those that have ended, too"),
    ("after", "`next` of the page before"),
    ("limit", "1 to 200; 50 where it is absent"),
];

pub(super) fn describe(api: Described) -> Described {
    let list_all = Operation::get("list", "List grants", schema::<Items<GrantView>>).asks(FILTER);
    let revoke_one = Operation::done("delete", "revoke", "End a grant and its tokens");
    api.on("/api/v1/grants", list_all, get(list)).on(
        "/api/v1/grants/{id}",
        revoke_one,
        delete(revoke),
    )
}

/// `?user_id=…&client_id=…&ended=true`, and the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grants {
    user_id: Option<UserId>,
    client_id: Option<ClientId>,
    #[serde(default)]
    ended: bool,
    after: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(asked): Asked<Grants>,
) -> Result<Response, AdminError> {
    let filter =
        GrantFilter { user_id: asked.user_id, client_id: asked.client_id, ended: asked.ended };
    let page = PageQuery { after: asked.after, limit: asked.limit };
    Ok(items(operations.list_grants(&filter, &page).await?).into_response())
}

pub(super) async fn revoke(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<GrantId>,
) -> Result<StatusCode, AdminError> {
    operations.revoke_grant(&actor, id).await.map(|()| StatusCode::NO_CONTENT)
}
