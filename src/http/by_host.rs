//! One service for each of our names: the request goes to the one it was addressed to.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Version, header};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::problem::not_found;

/// A service that answers everything.
pub type Handler = BoxCloneSyncService<Request, Response<Body>, Infallible>;

/// Chooses by `Host`; the first one (`public_url`) serves the other allowed hosts.
#[derive(Clone)]
pub(super) struct ByHost<S>(Arc<[(String, S)]>);

impl<S> ByHost<S> {
    pub(super) fn new(services: impl IntoIterator<Item = (String, S)>) -> Self {
        Self(services.into_iter().collect())
    }

    pub(super) fn choose(&self, request: &Request) -> Option<&S> {
        let named = host(request)
            .and_then(|host| self.0.iter().find(|(authority, _)| is_named(authority, host)));
        named.or(self.0.first()).map(|(_, handler)| handler)
    }
}

impl<S> Service<Request> for ByHost<S>
where
    S: Service<Request, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.choose(&request) {
            Some(handler) => handler.clone().oneshot(request).boxed(),
            None => async { Ok(not_found().await) }.boxed(),
        }
    }
}

/// Whether `host` is `known`; the default port of either scheme may be written out (RFC 9110 §4.2.3).
pub(super) fn is_named(known: &str, host: &str) -> bool {
    let bare = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80"));
    std::iter::once(host).chain(bare).any(|host| known.eq_ignore_ascii_case(host))
}

/// Whether a request has as many `Host` headers as its version asks for (RFC 9112 §3.2): two are how somebody gets past whoever
/// reads the other one.
pub(super) fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => false,
        (Some(_), None) => true,
        (None, None) => {
            request.version() != Version::HTTP_11 || request.uri().authority().is_some()
        }
    }
}

/// The one `Host` of a request, or the authority of HTTP/2. `None` for none, two, or two that differ.
pub(super) fn host(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (request.uri().authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => None,
        (Some(authority), None, None) => Some(authority.as_str()),
        (Some(authority), Some(host), None) => {
            (host.as_bytes() == authority.as_str().as_bytes()).then_some(authority.as_str())
        }
        (None, host, None) => host?.to_str().ok(),
    }
}
