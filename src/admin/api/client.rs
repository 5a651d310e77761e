//! `/api/v1/clients`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, NewClient, Operations};
use crate::id::ClientId;
use crate::secret_text::SecretText;

use super::input::{Asked, At, Body, Paging, items};

/// How a secret is rotated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the secret before is still taken; 30 days at most. 0 where it has leaked.
    grace_seconds: u64,
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(&operations.list_clients(&page.into()).await?).into_response())
}

/// `201` with the client and, for a confidential one and once, `client_secret`.
pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewClient>,
) -> Result<Response, AdminError> {
    let (client, secret) = operations.add_client(&actor, new).await?;
    let secret = secret.as_ref().map(SecretText::expose);
    let body = json!({ "client": client, "client_secret": secret });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn find(
    State(operations): State<Operations>,
    At(id): At<ClientId>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_client(&id).await?).into_response())
}

pub(super) async fn disable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<ClientId>,
) -> Result<StatusCode, AdminError> {
    operations.disable_client(&actor, &id, true).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn enable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<ClientId>,
) -> Result<StatusCode, AdminError> {
    operations.disable_client(&actor, &id, false).await.map(|()| StatusCode::NO_CONTENT)
}

/// `201` with the client and, once, its new secret.
pub(super) async fn rotate_secret(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<ClientId>,
    Body(rotation): Body<Rotation>,
) -> Result<Response, AdminError> {
    let grace = Duration::from_secs(rotation.grace_seconds);
    let rotated = operations.rotate_client_secret(&actor, &id, grace).await?;
    let body = json!({ "client": rotated.object, "client_secret": rotated.secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
