//! `/.well-known/oauth-protected-resource/{server_id}` (RFC 9728): a registered server's metadata, at our address.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, header};

use crate::resource_server::ResourceMetadata;

use super::ForwardAuth;
use super::answer;
use super::servers::NotServed;

/// The document. `resource` is the server's own URL: clients compare it with the one they called (§3.3).
///
/// # Errors
///
/// `404` for a server that is not registered, `503` where the store is away.
pub(super) async fn document(
    State(gate): State<ForwardAuth>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response<Body> {
    let Ok(Path(server_id)) = path else { return answer::not_served(&NotServed::Unknown) };
    let row = match gate.row(&server_id).await {
        Ok(row) => row,
        Err(why) => return answer::not_served(&why),
    };
    let Ok(resource) = row.uri.parse() else {
        return answer::not_served(&NotServed::Unknown); // such as `urn:…`: no client can call it
    };
    let mut metadata =
        ResourceMetadata::new(resource, vec![gate.0.parts.issuer.as_str().to_owned()]);
    metadata.scopes_supported = row.scopes;
    metadata.resource_name = Some(row.name);
    match metadata.publish() {
        Ok(published) => published.answer(headers.get(header::IF_NONE_MATCH)).map(Body::from),
        Err(_) => answer::not_served(&NotServed::Unknown),
    }
}
