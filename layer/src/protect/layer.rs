//! The outermost layer: metadata for everybody, the rest for who has a token.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    IF_NONE_MATCH,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower::{Layer, Service};

use crate::resource_server::{RequireToken, RequireTokenFuture};

use super::resource::ProtectedResource;
use super::scope::{RequireScope, RequireScopeFuture, RequireScopeLayer};

/// Serves the metadata, verifies every other request, and wants the scopes that all of them need.
///
/// In the request, `Authorization` is gone and a [`Principal`](crate::resource_server::Principal) is in the
/// extensions. A preflight (`OPTIONS`) carries no token: put a CORS layer outside this one if browsers are to call.
/// Made by [`ProtectedResource::layer`].
#[derive(Clone, Debug)]
pub struct ProtectLayer(ProtectedResource);

impl ProtectLayer {
    pub(super) const fn new(resource: ProtectedResource) -> Self {
        Self(resource)
    }
}

impl<S> Layer<S> for ProtectLayer {
    type Service = Protect<S>;

    fn layer(&self, inner: S) -> Protect<S> {
        let parts = self.0.parts();
        let scope = RequireScopeLayer::new(parts.scope.clone(), parts.denials.clone());
        Protect { inner: parts.token.layer(scope.layer(inner)), resource: self.0.clone() }
    }
}

/// Made by [`ProtectLayer`].
#[derive(Clone, Debug)]
pub struct Protect<S> {
    inner: RequireToken<RequireScope<S>>,
    resource: ProtectedResource,
}

/// The metadata is ready; everything else goes through the token's and the scopes' layers.
pub type ProtectFuture<F, R, E> =
    Either<Ready<Result<R, E>>, RequireTokenFuture<RequireScopeFuture<F, R, E>, R, E>>;

impl<S, B, ResBody> Service<Request<B>> for Protect<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    ResBody: From<Bytes> + Send + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ProtectFuture<S::Future, Self::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.resource.is_metadata(request.uri().path()) {
            return Either::Left(ready(Ok(self.resource.publish(&request))));
        }
        Either::Right(self.inner.call(request))
    }
}

impl ProtectedResource {
    /// The document's own place, and the root form, where clients look that know the host only.
    fn is_metadata(&self, path: &str) -> bool {
        path == self.metadata_path() || path == "/.well-known/oauth-protected-resource"
    }

    /// Public, so every origin may read it.
    fn publish<B, ResBody: From<Bytes>>(&self, request: &Request<B>) -> Response<ResBody> {
        let mut response = match *request.method() {
            Method::GET => self.metadata().answer(request.headers().get(IF_NONE_MATCH)),
            Method::HEAD => {
                let full = self.metadata().answer(request.headers().get(IF_NONE_MATCH));
                full.map(|_body| Bytes::new())
            }
            Method::OPTIONS => empty(StatusCode::NO_CONTENT),
            _ => empty(StatusCode::METHOD_NOT_ALLOWED),
        };
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if *request.method() == Method::OPTIONS {
            let asked = HeaderValue::from_static("authorization, mcp-protocol-version");
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        }
        response.map(ResBody::from)
    }
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}
