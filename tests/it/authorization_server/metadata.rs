//! What clients read first.

use serde_json::Value;

use crate::support::product::Product;
use crate::support::raw_http::Request;

const PATHS: [&str; 13] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/oauth-authorization-server",
    "/mcp/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server/mcp/",
    "/.well-known/openid-configuration/mcp/",
    "/.well-known/oauth-authorization-server/servers/weather/mcp",
    "/.well-known/openid-configuration/servers/weather/mcp",
    "/.well-known/oauth-authorization-server/servers/weather/mcp/",
    "/servers/weather/mcp/.well-known/oauth-authorization-server",
    "/servers/weather/mcp/.well-known/openid-configuration",
];

// RFC 8414 §3, OIDC Discovery §4 — N75, AS-2, AS-3
#[tokio::test]
async fn the_same_document_is_at_every_place_where_clients_look() {
    let weather = "[[upstream.server]]\nid = \"weather\"\nurl = \"http://127.0.0.1:9/mcp\"\n";
    let product = Product::start(weather).await;
    let first = product.send(Request::new("GET", PATHS[0])).await;
    assert_eq!(first.json()["issuer"], product.url(""));
    for path in PATHS {
        let request = Request::new("GET", path).header("origin", "https://inspector.example");
        let answer = product.send(request).await;
        assert_eq!((answer.status, &answer.body), (200, &first.body), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        let known = Request::new("GET", path).header("if-none-match", &answer.header("etag"));
        assert_eq!(product.send(known).await.status, 304, "{path}");
    }
}

// RFC 8414 §3.1 — N75
#[tokio::test]
async fn nothing_is_said_of_a_server_that_is_not_there() {
    let product = Product::dev().await;
    for path in PATHS {
        let status = if path.contains("/servers/") { 404 } else { 200 };
        let request = Request::new("GET", path).header("origin", "https://inspector.example");
        let answer = product.send(request).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
}

// RFC 9110 §13.1.2
#[tokio::test]
async fn who_has_the_document_is_told_so_however_its_tag_was_rewritten_on_the_way() {
    let product = Product::dev().await;
    let tag = product.send(Request::new("GET", PATHS[0])).await.header("etag").clone();
    let status = async |known: String| {
        let request = Request::new("GET", PATHS[0]).header("if-none-match", &known);
        product.send(request).await.status
    };
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", W/{tag}"), "*".to_owned()] {
        assert_eq!(status(known.clone()).await, 304, "{known}");
    }
    for other in ["\"x\"".to_owned(), format!("x{tag}"), tag.replace('"', "")] {
        assert_eq!(status(other.clone()).await, 200, "{other}");
    }
}

// RFC 8414 §3.3 — N76, AS-25
#[tokio::test]
async fn a_host_that_a_request_names_changes_nothing_in_the_document() {
    let product = Product::dev().await;
    let localhost = product.authority.replace("127.0.0.1", "localhost");
    let request = Request::new("GET", PATHS[0])
        .header("host", &localhost)
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https");
    assert_eq!(product.send(request).await.json()["issuer"], product.url(""));
}

/// Clients keep what they registered by the issuer, and one more slash would strand them.
// MCP 2026-07-28 authorization §Authorization Server Binding — AS-25
#[tokio::test]
async fn the_issuer_is_the_same_however_the_settings_end_it() {
    for url in ["https://broker.example", "https://broker.example/"] {
        let product = Product::start(&format!("server.public_url = \"{url}\"")).await;
        let request = Request::new("GET", PATHS[0]).header("host", "broker.example");
        let document = product.send(request).await.json();
        assert_eq!(document["issuer"], "https://broker.example", "{url}");
    }
}

#[tokio::test]
async fn every_endpoint_that_is_named_is_there() {
    let product = Product::dev().await;
    let document = product.send(Request::new("GET", PATHS[0])).await.json();
    let members = document.as_object().unwrap();
    let endpoints =
        members.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    for (name, url) in endpoints {
        let path = url.as_str().and_then(|url| url.strip_prefix(&product.url(""))).unwrap();
        let answer = product.send(Request::new("OPTIONS", path)).await;
        assert_ne!(answer.status, 404, "{name}");
    }
    assert!(members.values().all(|member| *member != Value::Null));
}
