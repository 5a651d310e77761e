//! The admin API: JSON over HTTP for who holds `broker:admin`. Cookies are never looked at, so no page can forge a call.

mod access;
mod approval;
mod client;
mod describe;
mod explanation;
mod grant;
mod identity_provider;
mod input;
mod log_level;
mod openapi;
mod policy;
mod problem;
mod registration_token;
mod server;
mod signing_key;
#[cfg(test)]
mod tests;
mod tool_pin;
mod user;

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::operations::Operations;

pub use openapi::routes as document_routes;
pub use problem::unrecorded;

use describe::Described;

/// Every route of the API. They expect a [`Principal`](crate::resource_server::Principal), which
/// [`RequireTokenLayer`](crate::resource_server::RequireTokenLayer) leaves: mount them behind it. Without one they
/// refuse everything.
///
/// `/api/servers` is what it was in the product's predecessor; `/api/v1/resources` is the same.
///
/// `beside` is for the same callers, and no part of the API.
pub fn routes(operations: Operations, beside: Router<Operations>) -> Router {
    described()
        .router
        .merge(beside)
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(operations.clone(), access::administrators_only))
        .with_state(operations)
}

fn described() -> Described {
    let api = server::describe(Described::default(), "/api/servers");
    let api = server::describe(api, "/api/v1/resources");
    let api = tool_pin::describe(api, "/api/servers");
    let api = tool_pin::describe(api, "/api/v1/resources");
    let api = grant::describe(client::describe(user::describe(api)));
    let api = signing_key::describe(identity_provider::describe(api));
    let api = registration_token::describe(api);
    let api = explanation::describe(api);
    log_level::describe(policy::describe(approval::describe(api)))
}
