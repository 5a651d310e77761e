//! Which endpoint a path is of, in words of our own: for metrics and spans, so never a caller's text.

use axum::http::Method;

/// One of a closed set; `other` for what is not served here.
pub(super) fn endpoint(path: &str) -> &'static str {
    const EXACT: [&str; 18] = [
        "/mcp",
        "/token",
        "/authorize",
        "/register",
        "/revoke",
        "/introspect",
        "/userinfo",
        "/par",
        "/device_authorization",
        "/device",
        "/login",
        "/logout",
        "/consent",
        "/account",
        "/approvals",
        "/health",
        "/ready",
        "/metrics",
    ];
    const BELOW: [(&str, &str); 10] = [
        ("/servers/", "/servers/{id}/mcp"),
        ("/forward-auth/", "/forward-auth/{server_id}"),
        ("/ext-authz/", "/ext-authz/{server_id}"),
        ("/api/", "/api"),
        ("/login/", "/login/*"),
        ("/account/", "/account/*"),
        ("/approvals/", "/approvals/{id}"),
        ("/explain/", "/explain/{request_id}"),
        ("/console", "/console"),
        ("/.well-known/", "/.well-known/*"),
    ];
    let path = if path == "/mcp/" { "/mcp" } else { path };
    let exact = EXACT.into_iter().find(|known| *known == path);
    let below = || BELOW.into_iter().find(|(prefix, _)| path.starts_with(prefix));
    exact.or_else(|| below().map(|(_, name)| name)).unwrap_or("other")
}

/// The same for spans, which leave out what is no route of ours.
pub(super) fn route(path: &str) -> Option<&'static str> {
    Some(endpoint(path)).filter(|route| *route != "other")
}

/// One of a closed set: a method may be any token (RFC 9110 §9.1).
pub(super) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_text_is_never_a_name() {
        for path in ["/", "/MCP", "/mcp/x", "/mcp//", "/tokens", "/CANARY", "/servers", "//mcp"] {
            assert_eq!(endpoint(path), "other", "{path}");
        }
        assert_eq!(endpoint("/mcp/"), "/mcp");
        assert_eq!(endpoint("/servers/CANARY/mcp"), "/servers/{id}/mcp");
        assert_eq!(endpoint("/api/v1/users/CANARY"), "/api");
        assert_eq!(endpoint("/login/link/CANARY"), "/login/*");
        assert_eq!(method(&Method::from_bytes(b"CANARY").unwrap()), "other");
    }
}
