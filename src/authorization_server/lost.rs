//! The page at a path where there is nothing, for a person who mistyped an address or followed an old link.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::id::RequestId;

use super::pages::{ErrorPage, error_page};
use super::server::AuthorizationServer;

/// Answers every path, always with this page.
pub fn lost_routes(server: &AuthorizationServer) -> Router {
    Router::new().fallback(lost).with_state(server.clone())
}

/// 404. Does *not* say what there would be elsewhere, but for a person's own page.
async fn lost(State(server): State<AuthorizationServer>) -> Response {
    let request_id = RequestId::generate(&*server.clock, &*server.random);
    tracing::info!(request.id = %request_id, "page.nothing_here");
    let error = ErrorPage::new(
        "There is nothing here",
        "The address may be mistyped, or the link an old one.",
    )
    .step("To connect an app, give it the address that you were told, which ends in /mcp: it is for the app and not for a browser.")
    .link("/account", "Go to your account");
    error_page(StatusCode::NOT_FOUND, server.root(), request_id, &error)
}
