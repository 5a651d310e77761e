//! `/api/servers` and `/api/v1/resources`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, NewServer, Operations};

use super::input::{Asked, At, Body, Paging, items};

/// A key to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[serde(default)]
    name: Option<String>,
    /// Absent: until it is revoked.
    #[serde(default)]
    expires_in_seconds: Option<u64>,
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(&operations.list_servers(&page.into()).await?).into_response())
}

pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewServer>,
) -> Result<Response, AdminError> {
    let server = operations.add_server(&actor, new).await?;
    Ok((StatusCode::CREATED, Json(server)).into_response())
}

pub(super) async fn find(
    State(operations): State<Operations>,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_server(&id).await?).into_response())
}

pub(super) async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<StatusCode, AdminError> {
    operations.delete_server(&actor, &id).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn list_keys(
    State(operations): State<Operations>,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    Ok(Json(json!({ "items": operations.list_keys(&id).await? })).into_response())
}

/// `201` with the key, once.
pub(super) async fn add_key(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
    Body(new): Body<NewKey>,
) -> Result<Response, AdminError> {
    let lives = new.expires_in_seconds.map(Duration::from_secs);
    let made = operations.add_key(&actor, &id, new.name.as_deref(), lives).await?;
    let body = json!({ "key": made.object, "api_key": made.secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn revoke_key(
    State(operations): State<Operations>,
    actor: Actor,
    At((id, prefix)): At<(String, String)>,
) -> Result<StatusCode, AdminError> {
    operations.revoke_key(&actor, &id, &prefix).await.map(|()| StatusCode::NO_CONTENT)
}
