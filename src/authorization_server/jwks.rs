//! `/.well-known/jwks.json`, and `/jwks` for who guesses: the public half of our signing keys (RFC 7517 §5).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::keys::KeyRing;

/// The key set as it is at each request, those keys among it that do not sign yet.
pub fn routes(keys: Arc<KeyRing>) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/jwks", get(jwks))
        .with_state(keys)
}

async fn jwks(State(keys): State<Arc<KeyRing>>, headers: HeaderMap) -> Response {
    keys.current().document().answer(&headers)
}
