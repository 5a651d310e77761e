//! `/.well-known/jwks.json`: the public half of our signing keys (RFC 7517 §5).

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::keys::SigningKeys;

/// A document that is the same for everybody: made once, answered from memory.
#[derive(Clone, Debug)]
struct Document {
    body: Bytes,
    etag: HeaderValue,
}

/// The routes of the authorization server that exist today.
pub fn routes(keys: &SigningKeys) -> Router {
    let body = serde_json::to_vec(&keys.jwks()).unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
    let tag: String = digest
        .as_ref()
        .iter()
        .take(8)
        .fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}"));
    let etag = HeaderValue::try_from(tag + "\"").unwrap_or(HeaderValue::from_static("\"-\""));
    let document = Document { body: body.into(), etag };
    Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(document)
}

async fn jwks(State(document): State<Document>, headers: HeaderMap) -> Response {
    let common = [
        (header::ETAG, document.etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&document.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, document.body).into_response()
}
