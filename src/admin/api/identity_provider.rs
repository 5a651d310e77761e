//! `/api/v1/identity-providers`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::admin::operations::{IdentityProviderView, Operations};

use super::describe::{Described, Operation, schema};
use super::input::Items;

pub(super) fn describe(api: Described) -> Described {
    let all = schema::<Items<IdentityProviderView>>;
    let list_all = Operation::get("list", "List where people log in, as the settings have it", all);
    api.on("/api/v1/identity-providers", list_all, get(list))
}

pub(super) async fn list(State(operations): State<Operations>) -> Response {
    let items = operations.list_identity_providers().to_vec();
    Json(Items { items, next: None }).into_response()
}
