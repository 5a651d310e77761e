//! An endpoint that answers everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::future::BoxFuture;
use tower::Service;

/// The guarded endpoint: it answers everything. Cheap to clone, always ready.
#[derive(Clone)]
pub struct Endpoint(Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>);

impl Endpoint {
    #[must_use]
    pub fn new(answer: impl Fn(Request<Body>) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

/// Of one request: the one box on its way.
pub type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Service<Request<Body>> for Endpoint {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        (self.0)(request)
    }
}
