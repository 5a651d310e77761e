//! `/api/servers` and `/api/v1/resources`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::operations::{
    Actor, KeyView, NewServer, Operations, ProxySettings, ServerChange, ServerView,
};

use super::describe::{Described, Operation, schema};
use super::input::{Asked, At, Body, Items, PAGING, Paging, items};

/// A key to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[serde(default)]
    name: Option<String>,
    /// Absent: until it is revoked.
    #[serde(default)]
    expires_in_seconds: Option<u64>,
}

/// A key that was made.
#[derive(Debug, JsonSchema, Serialize)]
struct Made<'a> {
    key: KeyView,
    /// The whole key. Shown this once.
    api_key: &'a str,
}

/// Once for each of its two names.
pub(super) fn describe(api: Described, base: &str) -> Described {
    let list_all = Operation::get("list", "List servers", schema::<Items<ServerView>>).asks(PAGING);
    let add_one = Operation::made("add", "Register a server", schema::<ServerView>)
        .takes(schema::<NewServer>)
        .refuses(&[409]);
    let find_one = Operation::get("find", "Show a server", schema::<ServerView>).refuses(&[404]);
    let remove_one = Operation::done("delete", "remove", "Take a server out, with its keys");
    let change_one = Operation::get("change", "Change a server", schema::<ServerView>)
        .by("patch")
        .takes(schema::<ServerChange>)
        .refuses(&[404]);
    let set_one =
        Operation::get("set_proxy", "Say anew how a server is reached", schema::<ServerView>)
            .by("put")
            .takes(schema::<ProxySettings>)
            .refuses(&[404]);
    let disable_one = Operation::done("post", "disable", "Give a server no more tokens");
    let enable_one = Operation::done("post", "enable", "Give a disabled server tokens again");
    let list_its_keys =
        Operation::get("list_keys", "List a server's keys", schema::<Items<KeyView>>)
            .refuses(&[404]);
    let add_one_key = Operation::made("add_key", "Make a key", schema::<Made<'static>>)
        .takes(schema::<NewKey>)
        .refuses(&[404]);
    let revoke_one = Operation::done("delete", "revoke_key", "End a key at once");
    api.on(base, list_all, get(list))
        .on(base, add_one, post(add))
        .on(format!("{base}/{{id}}"), find_one, get(find))
        .on(format!("{base}/{{id}}"), change_one, patch(change))
        .on(format!("{base}/{{id}}"), remove_one, delete(remove))
        .on(format!("{base}/{{id}}/proxy"), set_one, put(set_proxy))
        .on(format!("{base}/{{id}}/disable"), disable_one, post(disable))
        .on(format!("{base}/{{id}}/enable"), enable_one, post(enable))
        .on(format!("{base}/{{id}}/keys"), list_its_keys, get(list_keys))
        .on(format!("{base}/{{id}}/keys"), add_one_key, post(add_key))
        .on(format!("{base}/{{id}}/keys/{{prefix}}"), revoke_one, delete(revoke_key))
}

pub(super) async fn list(
    State(operations): State<Operations>,
    Asked(page): Asked<Paging>,
) -> Result<Response, AdminError> {
    Ok(items(operations.list_servers(&page.into()).await?).into_response())
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

pub(super) async fn change(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
    Body(change): Body<ServerChange>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.change_server(&actor, &id, change).await?).into_response())
}

pub(super) async fn remove(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<StatusCode, AdminError> {
    operations.delete_server(&actor, &id).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn set_proxy(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
    Body(proxy): Body<ProxySettings>,
) -> Result<Response, AdminError> {
    Ok(Json(operations.set_server_proxy(&actor, &id, proxy).await?).into_response())
}

pub(super) async fn disable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<StatusCode, AdminError> {
    operations.disable_server(&actor, &id, true).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn enable(
    State(operations): State<Operations>,
    actor: Actor,
    At(id): At<String>,
) -> Result<StatusCode, AdminError> {
    operations.disable_server(&actor, &id, false).await.map(|()| StatusCode::NO_CONTENT)
}

pub(super) async fn list_keys(
    State(operations): State<Operations>,
    At(id): At<String>,
) -> Result<Response, AdminError> {
    let items = operations.list_keys(&id).await?;
    Ok(Json(Items { items, next: None }).into_response())
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
    let body = Made { key: made.object, api_key: made.secret.expose() };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn revoke_key(
    State(operations): State<Operations>,
    actor: Actor,
    At((id, prefix)): At<(String, String)>,
) -> Result<StatusCode, AdminError> {
    operations.revoke_key(&actor, &id, &prefix).await.map(|()| StatusCode::NO_CONTENT)
}
