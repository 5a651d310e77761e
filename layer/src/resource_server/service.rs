//! The tower service: verifies, strips the header, hands on; or refuses.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use tower::Service;

use super::bearer::{self, UnverifiedBearer};
use super::cache::TokenHash;
use super::certificate::ClientCertificate;
use super::dpop::{HEADER, NONCE_HEADER};
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
        let token = match self.guard.dpop {
            None => bearer::take(request.headers_mut()),
            Some(_) => bearer::take_either(request.headers_mut()),
        };
        let token = match token {
            Ok(token) => token,
            Err(error) => return refused(reply::refusal(&self.guard, error.into())),
        };
        let hash = TokenHash::of(token.as_str());
        let known = self.guard.verifier.recall(&hash);
        let known = if token.is_bound() {
            known
        } else if let Some(known) = known {
            return match self.guard.admit(known, request.extensions().get()) {
                Ok(principal) => {
                    request.headers_mut().remove(HEADER);
                    request.extensions_mut().insert(principal);
                    Either::Left(self.inner.call(request))
                }
                Err(refusal) => refused(reply::refusal(&self.guard, refusal)),
            };
        } else {
            None
        };
        // `poll_ready` reserved `self.inner`, so that one must serve this request.
        let spare = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, spare);
        let guard = Arc::clone(&self.guard);
        let token = Presented { token, hash, known };
        Either::Right(Either::Right(Box::pin(verify_then_call(guard, ready, request, token))))
    }
}

fn refused<F, R, E>(response: R) -> RequireTokenFuture<F, R, E> {
    Either::Right(Either::Left(ready(Ok(response))))
}

/// A token, and what is known of it already.
struct Presented {
    token: UnverifiedBearer,
    hash: TokenHash,
    known: Option<Result<Principal, Refusal>>,
}

async fn verify_then_call<S, B, ResBody>(
    guard: Arc<Guard>,
    mut inner: S,
    mut request: Request<B>,
    presented: Presented,
) -> Result<Response<ResBody>, S::Error>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    let Presented { token, hash, known } = presented;
    let outcome = match known {
        Some(known) => known,
        None => guard.verifier.verify_first_seen(token.as_str(), hash).await,
    };
    let admitted = if token.is_bound() {
        let (uri, headers) = (request.uri(), request.headers());
        guard.admit_bound(outcome, token.as_str(), (request.method().as_str(), uri, headers)).await
    } else {
        guard.admit(outcome, request.extensions().get()).map(|principal| (principal, None))
    };
    drop(token);
    match admitted {
        Ok((principal, nonce)) => {
            // One proof is for one request: nobody behind us could use it for another.
            request.headers_mut().remove(HEADER);
            request.extensions_mut().insert(principal);
            let mut response = inner.call(request).await?;
            if let Some(nonce) = nonce {
                response.headers_mut().insert(NONCE_HEADER, nonce);
            }
            Ok(response)
        }
        Err(refusal) => Ok(reply::refusal(&guard, refusal)),
    }
}

impl Guard {
    /// A bearer token. One that is bound to a key is none (RFC 9449 §7.1); one that is bound to a certificate is good on a
    /// connection with that very one (RFC 8705 §3).
    pub(super) fn admit(
        &self,
        outcome: Result<Principal, Refusal>,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Principal, Refusal> {
        let principal = self.admit_audience(outcome?)?;
        let bound_to = principal.certificate_thumbprint();
        if bound_to.is_some() && bound_to != certificate.map(ClientCertificate::thumbprint) {
            let name = Some(Arc::clone(principal.token_name()));
            return Err(Refusal::new(TokenError::WrongCertificate, name));
        }
        let refused = match (principal.key_thumbprint(), &self.dpop) {
            (Some(_), _) => TokenError::ClaimsInvalid,
            (None, Some(dpop)) if dpop.is_required() => TokenError::NotBound,
            (None, _) => return Ok(principal),
        };
        Err(Refusal::new(refused, Some(Arc::clone(principal.token_name()))))
    }

    /// A token that came with the scheme `DPoP`, and the next nonce.
    async fn admit_bound(
        &self,
        outcome: Result<Principal, Refusal>,
        token: &str,
        request: (&str, &Uri, &HeaderMap),
    ) -> Result<(Principal, Option<HeaderValue>), Refusal> {
        let principal = self.admit_audience(outcome?)?;
        // Without it no such token is taken out of the headers.
        let dpop = self.dpop.as_ref().ok_or(TokenError::Missing)?;
        let nonce = dpop.check(&principal, token, request).await?;
        Ok((principal, nonce))
    }

    fn admit_audience(&self, principal: Principal) -> Result<Principal, Refusal> {
        if self.is_for_us(&principal) {
            return Ok(principal);
        }
        Err(Refusal::new(TokenError::WrongAudience, Some(Arc::clone(principal.token_name()))))
    }
}
