//! `/api/v1/registration-tokens`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::error::AdminError;
use crate::admin::operations::{Actor, NewRegistrationToken, Operations, RegistrationTokenView};

use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Body, Items, PAGING, Paging, items};

/// A token that was made.
#[derive(Debug, JsonSchema, Serialize)]
struct Made<'a> {
    token: RegistrationTokenView,
    /// What the client sends as `Authorization: Bearer`. Shown this once.
    initial_access_token: &'a str,
}

pub(super) fn describe(api: Described) -> Described {
    let base = "/api/v1/registration-tokens";
    let all = schema::<Items<RegistrationTokenView>>;
    let list_all = Operation::get("list", "List initial access tokens", all).asks(PAGING);
    let add_one =
        Operation::made("add", "Let clients register themselves", schema::<Made<'static>>)
            .takes(schema::<NewRegistrationToken>)
            .refuses(&[409]);
    let remove_one = Operation::done("delete", "remove", "Take an initial access token out");
    api.on(base, list_all, get(list)).on(base, add_one, post(add)).on(
        format!("{base}/{{prefix}}"),
        remove_one,
        delete(remove),
    )
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(operations.list_registration_tokens(&page.into()).await?).into_response())
}

/// `201` with the token, once.
pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewRegistrationToken>,
) -> Result<Response, AdminError> {
    let made = operations.add_registration_token(&actor, new).await?;
    let body = Made { token: made.object, initial_access_token: made.secret.expose() };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At(prefix): At<String>,
) -> Result<StatusCode, AdminError> {
    let removed = operations.delete_registration_token(&actor, &prefix).await;
    removed.map(|()| StatusCode::NO_CONTENT)
}
