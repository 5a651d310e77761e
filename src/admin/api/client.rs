//! `/api/v1/clients`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, ClientChange, ClientView, NewClient, Operations};
use crate::id::ClientId;
use crate::secret_text::SecretText;

use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Body, Items, PAGING, Paging, items};

/// How a secret is rotated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the secret before is still taken; 30 days at most. 0 where it has leaked.
    grace_seconds: u64,
}

/// A client with its secret, which is shown this once.
#[derive(Debug, JsonSchema, Serialize)]
struct WithSecret<'a> {
    client: ClientView,
    /// Null for a public client, and for one with keys.
    client_secret: Option<&'a str>,
}

pub(super) fn describe(api: Described) -> Described {
    let one = "/api/v1/clients/{id}";
    let list_all = Operation::get("list", "List clients", schema::<Items<ClientView>>).asks(PAGING);
    let add_one = Operation::made("add", "Register a client", schema::<WithSecret<'static>>)
        .takes(schema::<NewClient>)
        .refuses(&[409]);
    let find_one = Operation::get("find", "Show a client", schema::<ClientView>).refuses(&[404]);
    let rotate =
        Operation::made("rotate_secret", "Give a new secret", schema::<WithSecret<'static>>)
            .takes(schema::<Rotation>)
            .refuses(&[404]);
    let change_one = Operation::get("change", "Change a client", schema::<ClientView>)
        .by("patch")
        .takes(schema::<ClientChange>)
        .refuses(&[404, 409]);
    let remove_one =
        Operation::done("delete", "remove", "Take a client out, revoke its grants and tokens");
    let disable_one = Operation::done("post", "disable", "Refuse a client, revoke its grants");
    let enable_one = Operation::done("post", "enable", "Let a disabled client in again");
    api.on("/api/v1/clients", list_all, get(list))
        .on("/api/v1/clients", add_one, post(add))
        .on(one, find_one, get(find))
        .on(one, change_one, patch(change))
        .on(one, remove_one, delete(remove))
        .on(format!("{one}/disable"), disable_one, post(disable))
        .on(format!("{one}/enable"), enable_one, post(enable))
        .on(format!("{one}/rotate-secret"), rotate, post(rotate_secret))
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(operations.list_clients(&page.into()).await?).into_response())
}

/// `201` with the client and, for a confidential one and once, `client_secret`.
pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewClient>,
) -> Result<Response, AdminError> {
    let (client, secret) = operations.add_client(&actor, new).await?;
    let client_secret = secret.as_ref().map(SecretText::expose);
    let body = WithSecret { client, client_secret };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn find(
    State(operations): State<Operations>,
    At(id): At<ClientId>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_client(&id).await?).into_response())
}

pub(super) async fn change(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<ClientId>,
    Body(change): Body<ClientChange>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.change_client(&actor, &id, change).await?).into_response())
}

pub(super) async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<ClientId>,
) -> Result<StatusCode, AdminError> {
    operations.delete_client(&actor, &id).await.map(|()| StatusCode::NO_CONTENT)
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
    let client_secret = Some(rotated.secret.expose());
    let body = WithSecret { client: rotated.object, client_secret };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
