//! Every route of the product, on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::get;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::guard::OwnLimit;
use crate::mcp::Endpoint as McpEndpoint;
use crate::metrics::Meters;
use crate::resource_server::PublishedMetadata;

use super::base_path::BasePath;
use super::by_host::{ByHost, Handler, host, is_named, names_one_host};
use super::health::{Health, health, ready};
use super::origin::{AllowedOrigins, check_origin, public_cors};
use super::problem::{self, method_not_allowed, not_found, problem};
use super::servers::{ServerDocuments, ServerEndpoints};
use super::traced::Traced;

/// What is mounted. Each part brings its own routes; this module says where they are.
#[derive(Debug)]
pub struct Routes {
    /// The path of `public_url`, which a request may have in front.
    pub base: BasePath,
    /// Whether TLS ends here.
    pub tls: bool,
    /// Until an answer begins; of a server behind us it is for that server's settings to say.
    pub longest: Duration,
    pub health: Health,
    pub origins: AllowedOrigins,
    /// Authorities a request may name in `Host`, with the endpoint each has: `public_url` and, on loopback, its alias.
    pub endpoints: Vec<Endpoint>,
    /// Key set and, in time, the whole authorization server.
    pub authorization_server: Router,
    /// `/login`, `/consent`, `/account`: for people, so without CORS (N112).
    pub pages: Router,
    /// What a person is shown where there is nothing, by its fallback; `None`: what programs are told.
    pub lost: Option<Router>,
    /// Other names a request may be addressed to (`server.allowed_hosts`).
    pub allowed_hosts: Vec<String>,
    /// In which requests are counted; `None` counts nothing.
    pub meters: Option<Meters>,
    /// What each request waits for is kept; `None` keeps nothing.
    pub traced: Option<Traced>,
}

/// The MCP endpoint under one of our names.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port` as clients write it in `Host`; the default port left out.
    pub authority: String,
    /// The guarded MCP service.
    pub mcp: McpEndpoint,
    /// The protected resource metadata of this name (RFC 9728).
    pub metadata: PublishedMetadata,
    /// The servers behind us.
    pub servers: ServerEndpoints,
}

/// Every route. What [`super::Front`] answers on its short way is here, too.
pub(super) fn router(
    routes: Routes,
    known: KnownHosts,
    mcp: ByHost<McpEndpoint>,
    servers: ByHost<ServerEndpoints>,
) -> Router {
    let Routes {
        base,
        health: handles,
        origins,
        endpoints,
        authorization_server,
        pages,
        lost,
        longest,
        ..
    } = routes;
    let documents =
        endpoints.iter().map(|endpoint| (endpoint.authority.clone(), document(&endpoint.metadata)));
    let metadata = ByHost::new(documents);
    let named = servers.clone();
    let behind = endpoints
        .iter()
        .map(|endpoint| (endpoint.authority.clone(), ServerDocuments(endpoint.servers.clone())));
    let behind = ByHost::new(behind);

    let public = Router::new()
        .route_service("/.well-known/oauth-protected-resource", metadata.clone())
        .route_service("/.well-known/oauth-protected-resource/mcp", metadata.clone())
        .route_service("/.well-known/oauth-protected-resource/mcp/", metadata)
        .route_service("/.well-known/oauth-protected-resource/servers/{id}/mcp", behind.clone())
        .route_service("/.well-known/oauth-protected-resource/servers/{id}/mcp/", behind)
        .merge(authorization_server.layer(from_fn_with_state(named, only_of_servers_here)))
        // Before the layer: it answers preflights, and would not stand around what is set after it.
        .method_not_allowed_fallback(method_not_allowed)
        .layer(public_cors());
    // With a last slash, too: people paste it, and clients do not show what a 404 says.
    let guarded = Router::new()
        .route_service("/mcp", mcp.clone())
        .route_service("/mcp/", mcp)
        .route_service("/servers/{id}/mcp", servers.clone())
        .route_service("/servers/{id}/mcp/", servers)
        .layer(
            ServiceBuilder::new()
                .layer(origins.cors()) // answers preflights, which carry no token
                .layer(from_fn_with_state(origins.clone(), check_origin)), // before any token work (TR-2)
        );
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready).with_state(handles))
        .merge(public)
        .merge(guarded)
        .merge(pages)
        .fallback(move |request: Request| nothing_here(lost, base, request))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(known, check_host))
        .layer(from_fn_with_state(longest, catch_slow_handlers))
        .layer(security_headers())
}

/// A person who came by a browser sees a page. What programs look for, they may look for with any `Accept` (N75).
async fn nothing_here(lost: Option<Router>, base: BasePath, request: Request) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    let reading = matches!(*method, Method::GET | Method::HEAD);
    let for_programs = path.contains("/.well-known/") || path.starts_with("/api/");
    match lost {
        Some(lost) if reading && !for_programs && wants_a_page(&request) => {
            match lost.oneshot(request).await {
                Ok(page) => page,
                Err(never) => match never {},
            }
        }
        Some(_) | None => problem::nothing_here(&base),
    }
}

/// Names HTML, as browsers do and programs do not (RFC 9110 §12.5.1).
fn wants_a_page(request: &Request) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

/// Hosts that are ours (N76, DNS rebinding). Probes by address are let through to `/health` and `/ready`.
#[derive(Clone, Debug)]
pub(super) struct KnownHosts {
    /// Our names, with their ports.
    ours: Arc<[String]>,
    /// `server.allowed_hosts`
    allowed: Arc<[String]>,
}

impl KnownHosts {
    pub(super) fn of(routes: &Routes) -> Self {
        let ours = routes.endpoints.iter().map(|endpoint| endpoint.authority.clone());
        Self { ours: ours.collect(), allowed: routes.allowed_hosts.clone().into() }
    }

    /// None are ours.
    pub(super) fn none() -> Self {
        Self { ours: Arc::default(), allowed: Arc::default() }
    }

    /// A name without a port stands for every port: what is in front of us may have another.
    pub(super) fn contain(&self, host: &str) -> bool {
        let bare =
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let bare = bare.map_or(host, |(name, _)| name);
        self.ours.iter().any(|name| is_named(name, host))
            || self
                .allowed
                .iter()
                .any(|name| is_named(name, host) || name.eq_ignore_ascii_case(bare))
    }
}

async fn check_host(
    State(known): State<KnownHosts>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if !names_one_host(&request) {
        return problem(StatusCode::BAD_REQUEST, "a request has one Host header (RFC 9112 §3.2)");
    }
    let probe = matches!(request.uri().path(), "/health" | "/ready" | "/metrics");
    if probe || host(&request).is_some_and(|host| known.contain(host)) {
        return next.run(request).await;
    }
    problem(
        StatusCode::MISDIRECTED_REQUEST,
        "this host is not served here; see server.public_url and server.allowed_hosts",
    )
}

/// The metadata of the authorization server is found under the URL of a server behind us, too, where there is that server: to
/// answer 200 for others would be to say that tokens for them are to be had (N75).
async fn only_of_servers_here(
    State(servers): State<ByHost<ServerEndpoints>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let server = server_named(request.uri().path());
    let here = |path: &str| servers.choose(&request).is_some_and(|known| known.at(path).is_some());
    if server.is_none_or(here) {
        return next.run(request).await;
    }
    not_found().await
}

/// The `/servers/{id}/mcp` in a path at which metadata is looked for.
fn server_named(path: &str) -> Option<&str> {
    let (before, after) = path.split_once("/.well-known/")?;
    if !before.is_empty() {
        return is_of_a_server(before).then_some(before);
    }
    let server = after.find('/').and_then(|at| after.get(at..))?.trim_end_matches('/');
    is_of_a_server(server).then_some(server)
}

/// Serves one protected resource metadata document.
fn document(metadata: &PublishedMetadata) -> Handler {
    let metadata = metadata.clone();
    Handler::new(service_fn(move |request: Request| {
        let known = request.headers().get(header::IF_NONE_MATCH);
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = reading.then(|| metadata.answer(known).map(Body::from));
        async move {
            match answer {
                Some(answer) => Ok(answer),
                None => Ok(method_not_allowed().await),
            }
        }
    }))
}

/// Longer than any handler of ours takes, each of which has its own budget.
pub const LAST_RESORT: Duration = Duration::from_mins(2);

/// A server behind us may take as long as `upstream.server.timeout_ms` lets it.
pub(super) fn is_of_a_server(path: &str) -> bool {
    path.starts_with("/servers/")
}

/// Until the head of the answer; a stream may then stay open. So may one whose `own` limit has begun by then.
pub(super) async fn in_time(
    longest: Duration,
    own: &OwnLimit,
    answer: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    let mut answer = std::pin::pin!(answer);
    let answered = tokio::time::timeout(longest, answer.as_mut()).await;
    match answered {
        Ok(response) => response,
        Err(_elapsed) if own.has_begun() => answer.await,
        Err(_elapsed) => problem(StatusCode::SERVICE_UNAVAILABLE, "the request took too long"),
    }
}

async fn catch_slow_handlers(
    State(longest): State<Duration>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if is_of_a_server(request.uri().path()) {
        return next.run(request).await;
    }
    let own = OwnLimit::default();
    request.extensions_mut().insert(own.clone());
    in_time(longest, &own, next.run(request)).await
}

pub(super) const NOSNIFF: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));

/// On every answer; pages add their own Content-Security-Policy.
fn security_headers() -> SetResponseHeaderLayer<HeaderValue> {
    let (name, value) = NOSNIFF;
    SetResponseHeaderLayer::if_not_present(name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_resort_ends_nothing_that_has_a_limit_of_its_own() {
        for (begins, status) in [(true, 200), (false, 503)] {
            let own = OwnLimit::default();
            let answer = async {
                if !begins {
                    return std::future::pending().await;
                }
                own.begin();
                tokio::time::sleep(Duration::from_millis(20)).await;
                Response::new(Body::empty())
            };
            assert_eq!(in_time(Duration::ZERO, &own, answer).await.status().as_u16(), status);
        }
    }
}
