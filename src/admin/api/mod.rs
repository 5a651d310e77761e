//! The admin API: JSON over HTTP for who holds `broker:admin`. Cookies are never looked at, so no page can forge a call.

mod access;
mod client;
mod grant;
mod input;
mod problem;
mod server;
#[cfg(test)]
mod tests;
mod user;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use super::operations::Operations;

/// Every route of the API. They expect a [`Principal`](crate::resource_server::Principal), which
/// [`RequireTokenLayer`](crate::resource_server::RequireTokenLayer) leaves: mount them behind it. Without one they
/// refuse everything.
///
/// `/api/servers` is what it was in the product's predecessor; `/api/v1/resources` is the same.
pub fn routes(operations: Operations) -> Router {
    let servers = Router::new()
        .route("/", get(server::list).post(server::add))
        .route("/{id}", get(server::find).delete(server::remove))
        .route("/{id}/keys", get(server::list_keys).post(server::add_key))
        .route("/{id}/keys/{prefix}", delete(server::revoke_key));
    Router::new()
        .nest("/api/servers", servers.clone())
        .nest("/api/v1/resources", servers)
        .route("/api/v1/users", get(user::list).post(user::add))
        .route("/api/v1/users/{id}", get(user::find))
        .route("/api/v1/users/{id}/disable", post(user::disable))
        .route("/api/v1/users/{id}/enable", post(user::enable))
        .route("/api/v1/users/{id}/reset-link", post(user::reset_link))
        .route("/api/v1/clients", get(client::list).post(client::add))
        .route("/api/v1/clients/{id}", get(client::find))
        .route("/api/v1/clients/{id}/disable", post(client::disable))
        .route("/api/v1/clients/{id}/enable", post(client::enable))
        .route("/api/v1/clients/{id}/rotate-secret", post(client::rotate_secret))
        .route("/api/v1/grants", get(grant::list))
        .route("/api/v1/grants/{id}", delete(grant::revoke))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(operations.clone(), access::administrators_only))
        .with_state(operations)
}
