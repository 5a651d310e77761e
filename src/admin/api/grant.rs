//! `/api/v1/grants`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, Operations, PageQuery};
use crate::id::{ClientId, GrantId, UserId};
use crate::store::GrantFilter;

use super::input::{Asked, At, items};

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
    Ok(items(&operations.list_grants(&filter, &page).await?).into_response())
}

pub(super) async fn revoke(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<GrantId>,
) -> Result<StatusCode, AdminError> {
    operations.revoke_grant(&actor, id).await.map(|()| StatusCode::NO_CONTENT)
}
