//! The names under which the broker is reached: HTTP/2, IPv6, other hosts, browser pages.

use serde_json::json;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a client as others have it: HTTP/2 with `:authority`"
)]
async fn http2_clients_are_served_alike() {
    let product = Product::dev().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let request = || {
        client
            .post(product.url("/mcp"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_string())
    };
    let refused = request().send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.version()), (401, http::Version::HTTP_2));
    let answer = request().bearer_auth(product.token(&["public:read"])).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let foreign = request().header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 421);
}

#[tokio::test]
async fn every_kind_of_public_name_reaches_the_endpoint() {
    for (url, host) in [
        ("http://[::1]:4711", "[::1]:4711"),
        ("http://localhost:4711", "localhost:4711"),
        ("https://broker.example", "broker.example"),
        ("https://broker.example", "BROKER.example"),
        ("https://broker.example", "broker.example:443"),
        ("https://broker.example:8443", "broker.example:8443"),
        ("https://broker.example", "broker.internal:8080"),
    ] {
        let settings =
            format!("[server]\npublic_url = \"{url}\"\nallowed_hosts = [\"broker.internal:8080\"]");
        let product = Product::start(&settings).await;
        let token = product.token(&["public:read"]);
        let list = |token: Option<&str>| {
            mcp(Wire::Modern, token, "tools/list", json!({})).header("host", host)
        };
        let challenge = product.send(list(None)).await.header("www-authenticate");
        assert!(
            challenge.contains(&format!("{url}/.well-known/oauth-protected-resource/mcp")),
            "{host}: {challenge}"
        );
        let answer = product.send(list(Some(&token))).await;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn a_page_of_our_own_may_call_and_read_the_challenge() {
    let product = Product::dev().await;
    let origin = product.url("");
    let preflight = Request::new("OPTIONS", "/mcp")
        .header("origin", &origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, mcp-method");
    let answer = product.send(preflight.clone()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    let answer = product
        .send(mcp(Wire::Modern, None, "tools/list", json!({})).header("origin", &origin))
        .await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, origin));
    assert!(answer.header("access-control-expose-headers").contains("www-authenticate"));
    let foreign = preflight.without("origin").header("origin", "https://evil.example");
    let answer = product.send(foreign).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

// RFC 9110 §12.5.1 — N75
#[tokio::test]
async fn a_person_at_a_path_where_nothing_is_sees_a_page_and_a_program_a_problem() {
    const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
    let product = Product::dev().await;
    let asks = async |path: &str, accept: &str| {
        product.send(Request::new("GET", path).header("accept", accept)).await
    };
    let page = asks("/nowhere", BROWSER).await;
    assert_eq!(page.status, 404);
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(page.header("content-security-policy").contains("default-src 'none'"), "{page:?}");
    assert!(page.body.contains("There is nothing here"), "{page:?}");
    for (path, accept) in [
        ("/nowhere", "*/*"),
        ("/nowhere", "application/json, text/event-stream"),
        ("/.well-known/nowhere", BROWSER),
        ("/api/v1/nowhere", BROWSER),
    ] {
        let problem = asks(path, accept).await;
        assert_eq!(problem.status, 404, "{path}");
        assert_eq!(problem.header("content-type"), "application/problem+json", "{path}");
    }
}
