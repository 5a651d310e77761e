//! `/.well-known/jwks.json`: the public half of our signing keys (RFC 7517 §5).

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;

use super::keys::SigningKeys;
use super::published::Published;

/// `/.well-known/jwks.json`
pub fn routes(keys: &SigningKeys) -> Router {
    let body = serde_json::to_vec(&keys.jwks()).unwrap_or_default();
    let document = Published::new(body.into(), "application/jwk-set+json");
    Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(document)
}

async fn jwks(State(document): State<Published>, headers: HeaderMap) -> axum::response::Response {
    document.answer(&headers)
}
