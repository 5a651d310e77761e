//! The URL of an endpoint with a last slash, as people paste it: the same endpoint.

use serde_json::json;

use crate::support::product::{Product, WIRES, Wire, mcp};
use crate::support::raw_http::Request;

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

/// With an `Origin` by the router, without one on the short way before it.
#[tokio::test]
async fn the_endpoint_with_a_last_slash_is_the_endpoint() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let origin = product.url("");
    for wire in WIRES {
        for from_a_page in [false, true] {
            let list = |token: Option<&str>, path: &str| {
                let request = mcp(wire, token, "tools/list", json!({})).path(path);
                if from_a_page { request.header("origin", &origin) } else { request }
            };
            let refused = product.send(list(None, "/mcp/")).await;
            let challenge = refused.header("www-authenticate");
            assert_eq!(refused.status, 401, "{refused:?}");
            assert!(challenge.contains(&format!("\"{}\"", product.url(METADATA))), "{challenge}");
            let plain = product.send(list(None, "/mcp")).await;
            assert_eq!(challenge, plain.header("www-authenticate"));
            let readable = if from_a_page { origin.as_str() } else { "" };
            assert_eq!(refused.header("access-control-allow-origin"), readable);
            assert_eq!(product.send(list(Some(&token), "/mcp/")).await.status, 200);
            assert_eq!(product.send(list(Some(&token), "/mcp//")).await.status, 404);
        }
    }
    let refused = product.audit().into_iter();
    let refused = refused.filter(|event| event["event_type"] == "auth.token.rejected");
    let at: Vec<_> = refused.map(|event| event["payload"]["endpoint"].clone()).collect();
    assert!(!at.is_empty() && at.iter().all(|endpoint| endpoint == "/mcp"), "{at:?}");
}

#[tokio::test]
async fn a_page_may_ask_whether_it_may_call_there_and_another_sites_may_not() {
    let product = Product::dev().await;
    for (origin, allowed) in [(product.url(""), true), ("https://evil.example".to_owned(), false)] {
        let preflight = Request::new("OPTIONS", "/mcp/")
            .header("origin", &origin)
            .header("access-control-request-method", "POST");
        let answer = product.send(preflight).await;
        assert_eq!(answer.header("access-control-allow-origin") == origin, allowed, "{answer:?}");
        let token = product.token(&["public:read"]);
        let call = mcp(Wire::Modern, Some(&token), "tools/list", json!({})).path("/mcp/");
        let status = product.send(call.header("origin", &origin)).await.status;
        assert_eq!(status, if allowed { 200 } else { 403 });
    }
}

// RFC 9728 §3.1 — RS-3, RS-5
#[tokio::test]
async fn its_metadata_with_a_last_slash_is_the_same_document() {
    let product = Product::dev().await;
    let document = product.get(METADATA).await;
    let with_slash = product.get(&format!("{METADATA}/")).await;
    assert_eq!((with_slash.status, &with_slash.body), (200, &document.body), "{with_slash:?}");
    assert_eq!(with_slash.header("access-control-allow-origin"), "*");
    assert_eq!(with_slash.json()["resource"], product.url("/mcp"));
}
