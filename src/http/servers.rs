//! The servers behind us: one endpoint and one metadata document for each, found by the path.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, header};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tower::Service;

use crate::guard::Endpoint;
use crate::resource_server::PublishedMetadata;

use super::problem::{method_not_allowed, not_found};

/// One server, under one of our names.
#[derive(Clone, Debug)]
pub struct ServerEndpoint {
    pub endpoint: Endpoint,
    /// Its protected resource metadata (RFC 9728).
    pub metadata: PublishedMetadata,
}

/// All of them, under one of our names.
#[derive(Clone, Debug, Default)]
pub struct ServerEndpoints {
    /// Of the settings: for as long as the process lives.
    settled: Arc<HashMap<String, ServerEndpoint>>,
    registered: RegisteredServers,
}

/// Those that were registered while the broker runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct RegisteredServers(Arc<RwLock<Arc<HashMap<String, ServerEndpoint>>>>);

impl RegisteredServers {
    /// From now on these, and no others.
    pub fn replace(&self, servers: HashMap<String, ServerEndpoint>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(servers);
    }

    fn get(&self, id: &str) -> Option<ServerEndpoint> {
        let servers = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        servers.get(id).cloned()
    }
}

impl ServerEndpoints {
    /// Those of the settings go before registered ones.
    #[must_use]
    pub fn new(settled: HashMap<String, ServerEndpoint>, registered: RegisteredServers) -> Self {
        Self { settled: Arc::new(settled), registered }
    }

    /// The server of `/servers/{id}/mcp`, also with a last slash.
    pub(super) fn at(&self, path: &str) -> Option<Endpoint> {
        Some(self.of(path)?.endpoint)
    }

    fn of(&self, path: &str) -> Option<ServerEndpoint> {
        let path = path.strip_prefix("/servers/")?;
        let id = path.strip_suffix('/').unwrap_or(path).strip_suffix("/mcp")?;
        self.settled.get(id).cloned().or_else(|| self.registered.get(id))
    }
}

impl Service<Request> for ServerEndpoints {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.at(request.uri().path()) {
            Some(mut endpoint) => endpoint.call(request),
            None => async { Ok(not_found().await) }.boxed(),
        }
    }
}

/// Their metadata documents.
#[derive(Clone, Debug)]
pub(super) struct ServerDocuments(pub(super) ServerEndpoints);

impl Service<Request> for ServerDocuments {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let path = request.uri().path().strip_prefix("/.well-known/oauth-protected-resource");
        let Some(server) = path.and_then(|path| self.0.of(path)) else {
            return async { Ok(not_found().await) }.boxed();
        };
        let known = request.headers().get(header::IF_NONE_MATCH);
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = reading.then(|| server.metadata.answer(known).map(Body::from));
        async move {
            match answer {
                Some(answer) => Ok(answer),
                None => Ok(method_not_allowed().await),
            }
        }
        .boxed()
    }
}
