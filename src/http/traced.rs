//! What spans say of a request as HTTP has it, in words of our own: no text of a caller goes to a collector.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Version};

use crate::steps::{Over, Sampler};

use super::base_path::BasePath;
use super::endpoint::{method, route};

/// What requests are kept of.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    pub sampler: Sampler,
    /// That of `server.public_url`, which is what clients ask by, whoever ends TLS.
    pub scheme: &'static str,
}

/// By the conventions of OpenTelemetry for HTTP servers, as far as it can be said from closed sets.
pub(super) fn over(request: &Request, base: &BasePath, scheme: &'static str) -> Over {
    let path = request.uri().path();
    let inner = base.inner(path);
    let route = route(inner.as_deref().unwrap_or(path));
    Over {
        method: match method(request.method()) {
            "other" => "_OTHER",
            known => known,
        },
        route,
        // Where the route is the whole of it; behind others is what a caller names, such as a link that logs somebody in.
        path: route.filter(|route| *route == path),
        scheme,
        version: version(request.version()),
        mcp_version: mcp_version(request.headers()),
        rpc_id: None,
        status: None,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

fn mcp_version(headers: &HeaderMap) -> Option<&'static str> {
    const KNOWN: [&str; 5] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
    let named = headers.get("mcp-protocol-version").map(HeaderValue::as_bytes)?;
    KNOWN.into_iter().find(|known| known.as_bytes() == named)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn of(method: &str, target: &str, base: &str) -> Over {
        let request = Request::builder().method(method).uri(target);
        let request = request.header("mcp-protocol-version", "CANARY").body(Body::empty()).unwrap();
        over(&request, &BasePath::new(base), "https")
    }

    #[test]
    fn no_text_of_a_caller_is_said() {
        let said = of("CANARY", "/CANARY?CANARY", "");
        assert_eq!((said.method, said.route, said.path), ("_OTHER", None, None));
        for target in ["/login/link/CANARY", "/servers/CANARY/mcp", "/api/v1/users/CANARY"] {
            let said = of("GET", target, "");
            assert!(said.route.is_some() && said.path.is_none(), "{said:?}");
            assert!(!format!("{said:?}").contains("CANARY"), "{said:?}");
        }
    }

    #[test]
    fn a_path_is_said_where_it_is_the_whole_route() {
        let said = of("POST", "/token?x=y", "");
        assert_eq!((said.method, said.route, said.path), ("POST", Some("/token"), Some("/token")));
        // The path that was asked for has the base before it.
        let said = of("POST", "/broker/token", "/broker");
        assert_eq!((said.route, said.path), (Some("/token"), None));
    }
}
