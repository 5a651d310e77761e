//! Which browser pages may talk to us: the `Origin` check (TR-2) and CORS, from one list.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use std::sync::Arc;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::{Host, Url};

use super::problem::problem;

/// The origins whose pages may call `/mcp` (RFC 6454).
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    exact: Vec<String>,
    any_loopback: bool,
}

impl AllowedOrigins {
    /// `exact` are serialised origins such as `https://console.example`; `any_loopback` adds `http://localhost:*` and its likes.
    #[must_use]
    pub fn new(exact: &[Url], any_loopback: bool) -> Self {
        let exact = exact.iter().map(|url| url.origin().ascii_serialization()).collect();
        Self(Arc::new(Inner { exact, any_loopback }))
    }

    /// Whether pages of this origin may call.
    #[must_use]
    pub fn permits(&self, origin: &HeaderValue) -> bool {
        let Some(url) = origin.to_str().ok().and_then(|text| Url::parse(text).ok()) else {
            return false; // also the opaque origin `null`
        };
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.0.exact.contains(&url.origin().ascii_serialization())
            || (self.0.any_loopback && loopback)
    }

    /// CORS for `/mcp`: these origins only, and the headers that browser-based clients send and read (N112).
    pub(super) fn cors(&self) -> CorsLayer {
        let origins = self.clone();
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| origins.permits(origin)))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed())
    }
}

/// CORS for public documents and the token endpoint: any origin, never with credentials (N112).
pub(super) fn public_cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(tower_http::cors::Any)
        // The last two for clients that manage their registration (RFC 7592).
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed())
}

fn exposed() -> [HeaderName; 5] {
    [
        header::WWW_AUTHENTICATE,
        header::RETRY_AFTER,
        HeaderName::from_static("dpop-nonce"),
        HeaderName::from_static("mcp-session-id"),
        HeaderName::from_static("x-request-id"),
    ]
}

/// Refuses a request from a page that is not on the list, before any token is looked at.
pub(super) async fn check_origin(
    State(origins): State<AllowedOrigins>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let mut presented = request.headers().get_all(header::ORIGIN).iter();
    if presented.all(|origin| origins.permits(origin)) {
        return next.run(request).await;
    }
    problem(
        StatusCode::FORBIDDEN,
        "the page's origin may not call this endpoint; see server.allowed_origins",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(origin: &str, any_loopback: bool) -> bool {
        let exact = ["https://console.example".parse().unwrap()];
        AllowedOrigins::new(&exact, any_loopback).permits(&HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn only_listed_origins_pass() {
        assert!(permits("https://console.example", false));
        for other in [
            "http://console.example",
            "https://console.example:444",
            "https://console.example.evil",
            "https://evil/console.example",
            "null",
            "",
        ] {
            assert!(!permits(other, true), "{other}");
        }
    }

    #[test]
    fn loopback_pages_pass_in_development_only() {
        for origin in ["http://localhost:6274", "http://127.0.0.1:3000", "http://[::1]:1"] {
            assert!(permits(origin, true) && !permits(origin, false), "{origin}");
        }
        assert!(!permits("http://localhost.evil:1", true));
        assert!(!permits("http://127.0.0.1.evil:1", true));
    }
}
