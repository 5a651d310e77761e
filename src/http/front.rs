//! The whole product as one service, with a short way to the MCP endpoint.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, header};
use tower::{Service, ServiceExt};

use crate::mcp::Endpoint as McpEndpoint;

use super::base_path::BasePath;
use super::by_host::{ByHost, host};
use super::router::{KnownHosts, NOSNIFF, Routes, router};
use super::servers::ServerEndpoints;

/// Answers every request. Cheap to clone.
///
/// A call of an MCP endpoint that comes from no web page goes straight to it: of what the router puts before `/mcp`, only
/// the check of the host says anything about such a call (the endpoint has time limits of its own). Everything else, and
/// whatever a browser sends, takes the router, whose layers cost a third of a guarded call.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    base: BasePath,
    router: Router,
    known: KnownHosts,
    mcp: ByHost<McpEndpoint>,
    servers: ByHost<ServerEndpoints>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Front")
    }
}

impl Front {
    #[must_use]
    pub fn new(routes: Routes) -> Self {
        let by_authority =
            |endpoint: &super::router::Endpoint| (endpoint.authority.clone(), endpoint.mcp.clone());
        let mcp = ByHost::new(routes.endpoints.iter().map(by_authority));
        let known = KnownHosts::of(&routes);
        let base = routes.base.clone();
        let servers = routes.endpoints.iter();
        let servers =
            servers.map(|endpoint| (endpoint.authority.clone(), endpoint.servers.clone()));
        let servers = ByHost::new(servers);
        let others = router(routes, known.clone(), mcp.clone(), servers.clone());
        Self(Arc::new(Inner { base, router: others, known, mcp, servers }))
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request) -> Response<Body> {
        let request = self.0.base.strip(request);
        let Some(mut endpoint) = self.0.direct(&request) else {
            return infallible(self.0.router.clone().oneshot(request).await);
        };
        let mut response = infallible(endpoint.call(request).await);
        // What the layers of the router would have added.
        let added = response.headers_mut();
        added.append(header::VARY, VARY);
        let (name, value) = NOSNIFF;
        added.insert(name, value);
        response
    }
}

impl Inner {
    fn direct(&self, request: &Request) -> Option<McpEndpoint> {
        let path = request.uri().path();
        let ours = path == "/mcp";
        let direct = (ours || path.starts_with("/servers/"))
            && *request.method() != Method::OPTIONS
            && !request.headers().contains_key(header::ORIGIN)
            && host(request).is_some_and(|host| self.known.contain(host));
        if !direct {
            return None;
        }
        if ours {
            self.mcp.choose(request).cloned()
        } else {
            self.servers.choose(request)?.at(path)
        }
    }
}

/// As `tower_http::cors` writes it: a cache must not give one page's answer to another.
const VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
