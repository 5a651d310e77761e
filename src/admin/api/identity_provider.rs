//! `/api/v1/identity-providers`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};

use crate::admin::error::AdminError;
use crate::admin::operations::{
    Actor, IdentityProviderChange, IdentityProviderView, NewIdentityProvider, Operations,
    ProviderEnded,
};

use super::describe::{Described, Operation, schema};
use super::input::{At, Body, Items};

pub(super) fn describe(api: Described) -> Described {
    let base = "/api/v1/identity-providers";
    let one = "/api/v1/identity-providers/{id}";
    let view = schema::<IdentityProviderView>;
    let ended = schema::<ProviderEnded>;
    let all = schema::<Items<IdentityProviderView>>;
    let list_all = Operation::get("list", "List where people log in", all);
    let add_one = Operation::made("add", "Let people log in elsewhere", view)
        .takes(schema::<NewIdentityProvider>)
        .refuses(&[409]);
    let find_one = Operation::get("find", "Show an identity provider", view).refuses(&[404]);
    let change_one = Operation::get("change", "Change an identity provider", view)
        .by("patch")
        .takes(schema::<IdentityProviderChange>)
        .refuses(&[404, 409]);
    let disable_one =
        Operation::get("disable", "Let nobody log in there, end what its people have", ended)
            .by("post")
            .refuses(&[404]);
    let enable_one = Operation::done("post", "enable", "Let people log in there again");
    let remove_one =
        Operation::get("remove", "Take a provider out, end what its people have", ended)
            .by("delete")
            .refuses(&[404]);
    api.on(base, list_all, get(list))
        .on(base, add_one, post(add))
        .on(one, find_one, get(find))
        .on(one, change_one, patch(change))
        .on(one, remove_one, delete(remove))
        .on(format!("{one}/disable"), disable_one, post(disable))
        .on(format!("{one}/enable"), enable_one, post(enable))
}

pub(super) async fn list(State(operations): State<Operations>) -> Result<Response, AdminError> {
    let items = operations.list_identity_providers().await?;
    Ok(Json(Items { items, next: None }).into_response())
}

/// `201`, once this replica serves it.
pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewIdentityProvider>,
) -> Result<Response, AdminError> {
    let control = operations.provider_control()?;
    let added = operations.add_identity_provider(&actor, &*control, new).await?;
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

pub(super) async fn find(
    State(operations): State<Operations>,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_identity_provider(&id).await?).into_response())
}

pub(super) async fn change(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
    Body(change): Body<IdentityProviderChange>,
) -> Result<Response, AdminError> {
    let control = operations.provider_control()?;
    let changed = operations.change_identity_provider(&actor, &*control, (&id, change)).await?;
    Ok(Json(changed).into_response())
}

pub(super) async fn disable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    let control = operations.provider_control()?;
    Ok(Json(operations.disable_identity_provider(&actor, &*control, &id).await?).into_response())
}

pub(super) async fn enable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<StatusCode, AdminError> {
    let control = operations.provider_control()?;
    let enabled = operations.enable_identity_provider(&actor, &*control, &id).await;
    enabled.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    let control = operations.provider_control()?;
    Ok(Json(operations.remove_identity_provider(&actor, &*control, &id).await?).into_response())
}
