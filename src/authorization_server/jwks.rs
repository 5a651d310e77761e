//! `/.well-known/jwks.json`: the public half of our signing keys (RFC 7517 §5).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::keys::KeyRing;

/// The key set as it is at each request, those keys among it that do not sign yet.
pub fn routes(keys: Arc<KeyRing>) -> Router {
    Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(keys)
}

async fn jwks(State(keys): State<Arc<KeyRing>>, headers: HeaderMap) -> Response {
    let keys = keys.current();
    let document = keys.document();
    let common = [
        (header::ETAG, document.etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&document.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, document.body.clone()).into_response()
}
