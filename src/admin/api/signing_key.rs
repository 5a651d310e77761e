//! `/api/v1/signing-keys`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, Operations, SigningKeyView};

use super::describe::{Described, Operation, schema};
use super::input::{At, Body, Items};

/// Whether the keys have leaked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Urgency {
    /// Every token of what is replaced or retired is refused within half a minute.
    at_once: bool,
}

pub(super) fn describe(api: Described) -> Described {
    let all = schema::<Items<SigningKeyView>>;
    let list_all = Operation::get("list", "List the keys that sign tokens", all);
    let made = Operation::made("rotate", "Make a key of each algorithm in use", all);
    let retire_one = Operation::done("post", "retire", "Take a key out of use");
    api.on("/api/v1/signing-keys", list_all, get(list))
        .on("/api/v1/signing-keys/rotate", made.takes(schema::<Urgency>), post(rotate))
        .on("/api/v1/signing-keys/{kid}/retire", retire_one.takes(schema::<Urgency>), post(retire))
}

pub(super) async fn list(State(operations): State<Operations>) -> Result<Response, AdminError> {
    let items = operations.list_signing_keys().await?;
    Ok(Json(Items { items, next: None }).into_response())
}

/// `201` with the new keys. They sign in six minutes, or at once.
pub(super) async fn rotate(
    State(operations): State<Operations>,
    actor: Actor,
    Body(Urgency { at_once }): Body<Urgency>,
) -> Result<Response, AdminError> {
    let control = operations.signing_key_control()?;
    let items = operations.rotate_signing_keys(&actor, &*control, at_once).await?;
    Ok((StatusCode::CREATED, Json(Items { items, next: None })).into_response())
}

pub(super) async fn retire(
    State(operations): State<Operations>,
    actor: Actor,
    At(kid): At<String>,
    Body(Urgency { at_once }): Body<Urgency>,
) -> Result<StatusCode, AdminError> {
    let control = operations.signing_key_control()?;
    let done = operations.retire_signing_key(&actor, &*control, (&kid, at_once)).await;
    done.map(|()| StatusCode::NO_CONTENT)
}
