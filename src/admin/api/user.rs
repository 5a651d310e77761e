//! `/api/v1/users`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, NewUser, Operations};
use crate::id::UserId;

use super::input::{Asked, At, Body, Paging, items};

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(&operations.list_users(&page.into()).await?).into_response())
}

/// `201` with the person and, once, `set_up_link`.
pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewUser>,
) -> Result<Response, AdminError> {
    let added = operations.add_user(&actor, new).await?;
    let body = json!({ "user": added.object, "set_up_link": added.secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn find(
    State(operations): State<Operations>,
    At(id): At<UserId>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_user(&id.to_string()).await?).into_response())
}

pub(super) async fn disable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<StatusCode, AdminError> {
    operations.disable_user(&actor, id, true).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn enable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<StatusCode, AdminError> {
    operations.disable_user(&actor, id, false).await.map(|()| StatusCode::NO_CONTENT)
}

/// `201` with the link, once.
pub(super) async fn reset_link(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<Response, AdminError> {
    let link = operations.reset_link(&actor, id).await?;
    Ok((StatusCode::CREATED, Json(json!({ "link": link.expose() }))).into_response())
}
