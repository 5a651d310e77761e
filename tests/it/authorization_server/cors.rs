//! Which pages of other origins may read what: a table, path by path.

use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

const PAGE: &str = "https://page.example";

/// For everybody: documents, and endpoints where a client proves itself in the request.
const OPEN: [(&str, &str); 16] = [
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/jwks"),
    ("POST", "/token"),
    ("POST", "/par"),
    ("POST", "/device_authorization"),
    ("POST", "/register"),
    ("GET", "/register/x"),
    ("PUT", "/register/x"),
    ("DELETE", "/register/x"),
    ("POST", "/revoke"),
    ("GET", "/userinfo"),
    ("POST", "/userinfo"),
];
/// For people's browsers to go to, for servers to ask, and for administrators.
const CLOSED: [(&str, &str); 23] = [
    ("GET", "/authorize"),
    ("POST", "/authorize"),
    ("POST", "/introspect"),
    ("GET", "/device"),
    ("POST", "/device"),
    ("POST", "/device/answer"),
    ("GET", "/approvals"),
    ("POST", "/approvals/x"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/link/x"),
    ("GET", "/consent"),
    ("POST", "/consent"),
    ("GET", "/account"),
    ("POST", "/account/withdraw"),
    ("GET", "/logout"),
    ("POST", "/logout"),
    ("GET", "/end-session"),
    ("POST", "/end-session"),
    ("POST", "/end-session/confirm"),
    ("POST", "/login/logout/contoso"),
    ("GET", "/api/v1/users"),
    ("GET", "/api/openapi.json"),
];

async fn asked(product: &Product, method: &str, path: &str) -> (Answer, Answer) {
    let preflight = Request::new("OPTIONS", path)
        .header("origin", PAGE)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization, dpop, mcp-protocol-version");
    let request = Request::new(method, path).header("origin", PAGE);
    (product.send(preflight).await, product.send(request).await)
}

fn allowed(answer: &Answer) -> String {
    assert_eq!(answer.header("access-control-allow-credentials"), "", "{answer:?}");
    answer.header("access-control-allow-origin")
}

// RFC 9700 §4.17 — N112
#[tokio::test]
async fn any_page_may_read_what_is_public_but_never_with_cookies() {
    let product = Product::dev().await;
    for (method, path) in OPEN {
        let (preflight, answer) = asked(&product, method, path).await;
        assert_eq!((allowed(&preflight), allowed(&answer)), ("*".into(), "*".into()), "{path}");
        let methods = preflight.header("access-control-allow-methods");
        assert!(methods.split(',').any(|known| known == method), "{path}: {methods}");
        let headers = preflight.header("access-control-allow-headers");
        for name in ["authorization", "dpop", "mcp-protocol-version"] {
            assert!(headers.contains(name), "{path}: {headers}");
        }
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("www-authenticate") && exposed.contains("dpop-nonce"), "{path}");
    }
}

// RFC 9700 §4.17 — N112
#[tokio::test]
async fn no_page_may_read_what_is_for_people_servers_and_administrators() {
    let product = Product::dev().await;
    for (method, path) in CLOSED {
        let (preflight, answer) = asked(&product, method, path).await;
        assert_eq!(
            (allowed(&preflight), allowed(&answer)),
            (String::new(), String::new()),
            "{path}"
        );
    }
}

// RFC 8414 §3, RFC 9111 §5.2 — N112
#[tokio::test]
async fn documents_are_kept_for_five_minutes_and_answers_about_somebody_never() {
    let product = Product::dev().await;
    for (method, path) in OPEN.into_iter().chain(CLOSED) {
        let (_, answer) = asked(&product, method, path).await;
        let kept = answer.header("cache-control");
        if path.starts_with("/.well-known/") || path == "/jwks" {
            assert!(kept.contains("public") && kept.contains("max-age=300"), "{path}: {kept}");
        } else if method == "POST" || path.starts_with("/login") || path == "/account" {
            assert!(!kept.contains("public") && !kept.contains("max-age=300"), "{path}: {kept}");
        }
    }
}
