//! The whole product as one service, with a short way to the MCP endpoint.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use tower::{Service, ServiceExt};

use crate::guard::OwnLimit;
use crate::mcp::Endpoint as McpEndpoint;
use crate::metrics::Meters;
use crate::steps::Steps;

use super::base_path::BasePath;
use super::by_host::{ByHost, host};
use super::endpoint::{endpoint, method};
use super::problem::problem;
use super::router::{KnownHosts, LAST_RESORT, NOSNIFF, Routes, in_time, is_of_a_server, router};
use super::servers::ServerEndpoints;
use super::traced::{Traced, over};

/// Answers every request. Cheap to clone.
///
/// A call of an MCP endpoint that comes from no web page goes straight to it: of what the router puts before `/mcp`, only
/// the check of the host and the bound on time say anything about such a call, and both are made here, too. Everything
/// else, and whatever a browser sends, takes the router, whose layers cost a third of a guarded call.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    base: BasePath,
    tls: bool,
    longest: Duration,
    router: Router,
    known: KnownHosts,
    mcp: ByHost<McpEndpoint>,
    servers: ByHost<ServerEndpoints>,
    meters: Option<Meters>,
    traced: Option<Traced>,
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
        let (base, tls, longest) = (routes.base.clone(), routes.tls, routes.longest);
        let (meters, traced) = (routes.meters.clone(), routes.traced);
        let servers = routes.endpoints.iter();
        let servers =
            servers.map(|endpoint| (endpoint.authority.clone(), endpoint.servers.clone()));
        let servers = ByHost::new(servers);
        let others = router(routes, known.clone(), mcp.clone(), servers.clone());
        Self(Arc::new(Inner {
            base,
            tls,
            longest,
            router: others,
            known,
            mcp,
            servers,
            meters,
            traced,
        }))
    }

    /// Answers with these routes alone, for whatever host, and counts nothing.
    pub(super) fn of(router: Router) -> Self {
        Self(Arc::new(Inner {
            base: BasePath::default(),
            tls: false,
            longest: LAST_RESORT,
            router,
            known: KnownHosts::none(),
            mcp: ByHost::new([]),
            servers: ByHost::new([]),
            meters: None,
            traced: None,
        }))
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request) -> Response<Body> {
        let steps = self.0.traced.map(|Traced { sampler, scheme }| {
            Steps::of(sampler, over(&request, &self.0.base, scheme))
        });
        // By itself on the heap: hyper keeps room for all of this as long as the connection lasts, and it may be idle for hours.
        let answer = Box::pin(self.answer_untraced(request));
        let Some(steps) = steps else { return answer.await };
        let response = Steps::within(Some(steps.clone()), answer).await;
        steps.answered(response.status().as_u16());
        response
    }

    async fn answer_untraced(&self, request: Request) -> Response<Body> {
        let request = self.0.base.strip(request);
        let counted =
            self.0.meters.as_ref().map(|meters| {
                meters.request(endpoint(request.uri().path()), method(request.method()))
            });
        let mut response = if is_encoded(&request) {
            not_decoded()
        } else {
            match self.0.direct(&request) {
                Some(endpoint) => straight(endpoint, request, self.0.longest).await,
                None => infallible(self.0.router.clone().oneshot(request).await),
            }
        };
        if self.0.tls {
            response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        if let Some(counted) = counted {
            counted.answered(response.status().as_u16());
        }
        response
    }
}

/// The answer of an MCP endpoint, as the router would have given it.
async fn straight(
    mut endpoint: McpEndpoint,
    mut request: Request,
    longest: Duration,
) -> Response<Body> {
    let of_a_server = is_of_a_server(request.uri().path());
    let own = OwnLimit::default();
    request.extensions_mut().insert(own.clone());
    let answer = async { infallible(endpoint.call(request).await) };
    let mut response =
        if of_a_server { answer.await } else { in_time(longest, &own, answer).await };
    // What the layers of the router would have added.
    let added = response.headers_mut();
    added.append(header::VARY, VARY);
    let (name, value) = NOSNIFF;
    added.insert(name, value);
    response
}

/// Where a reverse proxy asks about a request that goes elsewhere, with its headers; what is read of its body looks at them itself.
const ASKED_BY_PROXIES: [&str; 2] = ["/forward-auth/", "/ext-authz/"];

/// Whether a body comes in a content coding (RFC 9110 §8.4): nothing here decodes any, so that a limit of size is one of
/// memory.
fn is_encoded(request: &Request) -> bool {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && !ASKED_BY_PROXIES.iter().any(|prefix| request.uri().path().starts_with(prefix))
}

/// RFC 9110 §15.5.16; what would be taken is said as §12.5.3 has it.
fn not_decoded() -> Response<Body> {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let mut response = problem(status, "send the body as it is, without Content-Encoding");
    let (name, value) = NOSNIFF;
    response.headers_mut().insert(name, value);
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

impl Inner {
    fn direct(&self, request: &Request) -> Option<McpEndpoint> {
        let path = request.uri().path();
        let ours = is_ours(path);
        let direct = (ours || is_of_a_server(path))
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

/// The broker's own endpoint, also as people write it with a last slash. The path stays as it came: proofs are about it
/// (RFC 9449 §4.3).
fn is_ours(path: &str) -> bool {
    matches!(path, "/mcp" | "/mcp/")
}

/// RFC 6797 §6.1: a year, and for this host alone, for we know nothing of others below it.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use tokio_util::sync::CancellationToken;

    use crate::http::health::{Health, Readiness};
    use crate::http::origin::AllowedOrigins;
    use crate::http::router::Endpoint;
    use crate::resource_server::ResourceMetadata;

    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Readiness for Nothing {
        fn failing(&self) -> Vec<(String, String)> {
            Vec::new()
        }
        fn degraded(&self) -> Vec<(String, String)> {
            Vec::new()
        }
        fn facts(&self) -> Value {
            Value::Null
        }
    }

    fn never_answering(tls: bool) -> Front {
        let resource = "https://broker.example/mcp".parse().unwrap();
        let metadata = ResourceMetadata::new(resource, vec!["https://broker.example".to_owned()]);
        Front::new(Routes {
            base: BasePath::default(),
            tls,
            longest: Duration::from_millis(20),
            health: Health::new(Arc::new(Nothing), CancellationToken::default()),
            origins: AllowedOrigins::new(&[], true),
            endpoints: vec![Endpoint {
                authority: "broker.example".to_owned(),
                mcp: McpEndpoint::new(|_| Box::pin(std::future::pending())),
                metadata: metadata.publish().unwrap(),
                servers: ServerEndpoints::default(),
            }],
            authorization_server: Router::new(),
            pages: Router::new(),
            lost: None,
            allowed_hosts: Vec::new(),
            meters: None,
            traced: None,
        })
    }

    /// On the short way as on the long one, which a request with an `Origin` takes.
    #[tokio::test]
    async fn no_request_waits_for_ever() {
        for origin in [None, Some("http://localhost:6274")] {
            let mut request = Request::post("/mcp").header("host", "broker.example");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let request = request.body(Body::empty()).unwrap();
            let answer = never_answering(false).answer(request).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{origin:?}");
        }
    }

    // RFC 6797 §7.1
    #[tokio::test]
    async fn a_browser_is_told_to_stay_with_tls_where_tls_ends_here() {
        for tls in [false, true] {
            let request = Request::get("/health").body(Body::empty()).unwrap();
            let answer = never_answering(tls).answer(request).await;
            assert_eq!(answer.headers().contains_key("strict-transport-security"), tls);
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        }
    }
}
