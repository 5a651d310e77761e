//! `/api/v1/users`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::operations::{
    Actor, NewUser, Operations, SecondFactorView, UserChange, UserView,
};
use crate::id::UserId;

use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Body, Items, PAGING, Paging, items};

/// A person who was added.
#[derive(Debug, JsonSchema, Serialize)]
struct Added<'a> {
    user: UserView,
    /// Where they choose a password or make a passkey, once, within a day. Shown this once.
    set_up_link: &'a str,
}

/// A link that was made.
#[derive(Debug, JsonSchema, Serialize)]
struct Link<'a> {
    /// Where a password is chosen or a passkey made, once. Shown this once.
    link: &'a str,
}

/// `?last_administrator=true`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    #[serde(default)]
    last_administrator: bool,
}

const REMOVAL: &[(&str, &str)] =
    &[("last_administrator", "`true`: also where nobody else who can log in has the role")];

pub(super) fn describe(api: Described) -> Described {
    let one = "/api/v1/users/{id}";
    let list_all = Operation::get("list", "List people", schema::<Items<UserView>>).asks(PAGING);
    let add_one = Operation::made("add", "Add a person", schema::<Added<'static>>)
        .takes(schema::<NewUser>)
        .refuses(&[409]);
    let find_one = Operation::get("find", "Show a person", schema::<UserView>).refuses(&[404]);
    let change_one = Operation::get("change", "Change a person", schema::<UserView>)
        .by("patch")
        .takes(schema::<UserChange>)
        .refuses(&[404]);
    let make_link =
        Operation::made("reset_link", "Make a link for a new log-in", schema::<Link<'static>>)
            .refuses(&[404, 409]);
    let remove_one =
        Operation::done("delete", "remove", "Take a person out, end all that they allowed")
            .asks(REMOVAL);
    let disable_one =
        Operation::done("post", "disable", "Refuse a person, end sessions, revoke grants")
            .asks(REMOVAL);
    let enable_one = Operation::done("post", "enable", "Let a disabled person in again");
    let give_role = Operation::done("post", "give_role", "Let a person administer this broker");
    let take_role =
        Operation::done("post", "take_role", "Let a person administer it no more").asks(REMOVAL);
    let remove_second_factor = Operation::made(
        "remove_second_factor",
        "Take a person's authenticator app, passkeys, recovery codes and password away",
        schema::<Link<'static>>,
    )
    .refuses(&[404]);
    let show_second_factor = Operation::get(
        "second_factor",
        "Show what a person has beside their password, or in its place",
        schema::<SecondFactorView>,
    )
    .refuses(&[404]);
    api.on("/api/v1/users", list_all, get(list))
        .on("/api/v1/users", add_one, post(add))
        .on(one, find_one, get(find))
        .on(one, change_one, patch(change))
        .on(one, remove_one, delete(remove))
        .on(format!("{one}/disable"), disable_one, post(disable))
        .on(format!("{one}/enable"), enable_one, post(enable))
        .on(format!("{one}/give-role"), give_role, post(give_the_role))
        .on(format!("{one}/take-role"), take_role, post(take_the_role))
        .on(format!("{one}/reset-link"), make_link, post(reset_link))
        .on(format!("{one}/second-factor"), show_second_factor, get(second_factor))
        .on(
            format!("{one}/remove-second-factor"),
            remove_second_factor,
            post(without_second_factor),
        )
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(operations.list_users(&page.into()).await?).into_response())
}

/// `201` with the person and, once, `set_up_link`.
pub(super) async fn add(
    State(operations): State<Operations>,
    actor: Actor,
    Body(new): Body<NewUser>,
) -> Result<Response, AdminError> {
    let added = operations.add_user(&actor, new).await?;
    let body = Added { user: added.object, set_up_link: added.secret.expose() };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn find(
    State(operations): State<Operations>,
    At(id): At<UserId>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.find_user(&id.to_string()).await?).into_response())
}

pub(super) async fn change(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
    Body(change): Body<UserChange>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.change_user(&actor, id, change).await?).into_response())
}

pub(super) async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
    Asked(removal): Asked<Removal>,
) -> Result<StatusCode, AdminError> {
    let removed = operations.remove_user(&actor, id, removal.last_administrator).await;
    removed.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn disable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
    Asked(asked): Asked<Removal>,
) -> Result<StatusCode, AdminError> {
    let disabled = operations.disable_user(&actor, id, asked.last_administrator).await;
    disabled.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn enable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<StatusCode, AdminError> {
    operations.enable_user(&actor, id).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn give_the_role(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<StatusCode, AdminError> {
    operations.give_role(&actor, id).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn take_the_role(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
    Asked(asked): Asked<Removal>,
) -> Result<StatusCode, AdminError> {
    let taken = operations.take_role(&actor, id, asked.last_administrator).await;
    taken.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn second_factor(
    State(operations): State<Operations>,
    At(id): At<UserId>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.second_factor(id).await?).into_response())
}

pub(super) async fn without_second_factor(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<Response, AdminError> {
    let link = operations.remove_second_factor(&actor, id).await?;
    Ok((StatusCode::CREATED, Json(Link { link: link.expose() })).into_response())
}

/// `201` with the link, once.
pub(super) async fn reset_link(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<UserId>,
) -> Result<Response, AdminError> {
    let link = operations.reset_link(&actor, id).await?;
    Ok((StatusCode::CREATED, Json(Link { link: link.expose() })).into_response())
}
