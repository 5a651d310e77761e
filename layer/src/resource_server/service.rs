//! The tower service: verifies, strips the header, hands on; or refuses.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use tower::Service;

use super::bearer::{self, UnverifiedBearer};
use super::cache::TokenHash;
use super::error::{Refusal, TokenError};
use super::layer::Guard;
use super::principal::Principal;
use super::reply;

/// Made by [`RequireTokenLayer`](super::RequireTokenLayer).
#[derive(Clone, Debug)]
pub struct RequireToken<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S> RequireToken<S> {
    pub(super) const fn new(inner: S, guard: Arc<Guard>) -> Self {
        Self { inner, guard }
    }
}

/// Of a request whose token is not in the cache.
type Verifying<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

/// The inner service's own future for a remembered token; ready for a refusal; boxed only where there is a token to verify.
pub type RequireTokenFuture<F, R, E> = Either<F, Either<Ready<Result<R, E>>, Verifying<R, E>>>;

impl<S, B, ResBody> Service<Request<B>> for RequireToken<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    ResBody: From<Bytes> + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RequireTokenFuture<S::Future, Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let token = match bearer::take(request.headers_mut()) {
            Ok(token) => token,
            Err(error) => return refused(reply::refusal(&self.guard, error.into())),
        };
        let hash = TokenHash::of(token.as_str());
        if let Some(known) = self.guard.verifier.recall(&hash) {
            return match self.guard.admit(known) {
                Ok(principal) => {
                    request.extensions_mut().insert(principal);
                    Either::Left(self.inner.call(request))
                }
                Err(refusal) => refused(reply::refusal(&self.guard, refusal)),
            };
        }
        // `poll_ready` reserved `self.inner`, so that one must serve this request.
        let spare = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, spare);
        let guard = Arc::clone(&self.guard);
        Either::Right(Either::Right(Box::pin(verify_then_call(guard, ready, request, token, hash))))
    }
}

fn refused<F, R, E>(response: R) -> RequireTokenFuture<F, R, E> {
    Either::Right(Either::Left(ready(Ok(response))))
}

async fn verify_then_call<S, B, ResBody>(
    guard: Arc<Guard>,
    mut inner: S,
    mut request: Request<B>,
    token: UnverifiedBearer,
    hash: TokenHash,
) -> Result<Response<ResBody>, S::Error>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    let outcome = guard.verifier.verify_first_seen(token.as_str(), hash).await;
    drop(token);
    match guard.admit(outcome) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            inner.call(request).await
        }
        Err(refusal) => Ok(reply::refusal(&guard, refusal)),
    }
}

impl Guard {
    pub(super) fn admit(&self, outcome: Result<Principal, Refusal>) -> Result<Principal, Refusal> {
        let principal = outcome?;
        if self.is_for_us(&principal) {
            return Ok(principal);
        }
        Err(Refusal::new(TokenError::WrongAudience, Some(Arc::clone(principal.token_name()))))
    }
}
