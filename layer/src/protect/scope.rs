//! Scopes for a route.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use tower::{Layer, Service};

use crate::resource_server::Principal;
use crate::scope::Scope;

use super::deny::{Denials, not_authenticated};
use super::tools::require;

/// Lets a request through only if its [`Principal`] has these scopes, else answers `403` with a challenge that names
/// all of them. Made by [`ProtectedResource::require`](super::ProtectedResource::require).
#[derive(Clone, Debug)]
pub struct RequireScopeLayer {
    needed: Arc<Scope>,
    denials: Denials,
}

impl RequireScopeLayer {
    pub(super) fn new(needed: Scope, denials: Denials) -> Self {
        Self { needed: Arc::new(needed), denials }
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        RequireScope { inner, layer: self.clone() }
    }
}

/// Made by [`RequireScopeLayer`].
#[derive(Clone, Debug)]
pub struct RequireScope<S> {
    inner: S,
    layer: RequireScopeLayer,
}

/// The inner service's own future, or a refusal that is ready.
pub type RequireScopeFuture<F, R, E> = Either<F, Ready<Result<R, E>>>;

impl<S, B, ResBody> Service<Request<B>> for RequireScope<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RequireScopeFuture<S::Future, Self::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let verdict = request
            .extensions()
            .get::<Principal>()
            .map(|principal| require(&self.layer.needed, principal));
        match verdict {
            Some(Ok(())) => Either::Left(self.inner.call(request)),
            Some(Err(denied)) => Either::Right(ready(Ok(self.layer.denials.plain(&denied)))),
            None => Either::Right(ready(Ok(not_authenticated()))),
        }
    }
}
