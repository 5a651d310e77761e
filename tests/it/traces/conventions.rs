//! What a server's span says, by OpenTelemetry's conventions for HTTP and MCP: everything from closed sets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, Product, Wire, mcp};
use crate::support::raw_http::Request;
use crate::upstream::{GET, behind};

use super::{call, settings, spans, started};

/// Its attributes, but for the id that is another each time.
fn said(span: &Value) -> BTreeMap<String, Value> {
    let attributes = span["attributes"].as_array().unwrap().iter();
    let said = attributes.map(|each| {
        let value = &each["value"];
        let value = value.get("stringValue").or_else(|| value.get("intValue")).unwrap();
        (each["key"].as_str().unwrap().to_owned(), value.clone())
    });
    let mut said: BTreeMap<_, _> = said.collect();
    assert!(said.remove("broker.request_id").is_some(), "{span}");
    said
}

async fn of_server(product: Product, collector: &FakeHttp) -> Value {
    let spans = spans(product, collector).await;
    let servers: Vec<_> = spans.iter().filter(|span| span["kind"] == 2).collect();
    assert_eq!(servers.len(), 1, "{spans:#?}");
    servers[0].clone()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, Value> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
}

const HTTP: [(&str, &str); 3] =
    [("http.request.method", "POST"), ("network.protocol.version", "1.1"), ("url.scheme", "http")];

#[tokio::test]
async fn a_call_says_what_it_is_by_http_and_by_mcp() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let request = call(&product.token(&["graph:read"]));
    let body: Value = serde_json::from_slice(request.parts().2).unwrap();
    let id = body["id"].to_string();
    assert_eq!(product.send(request.path("/mcp?CANARY=CANARY")).await.status, 200);
    let span = of_server(product, &collector).await;
    let mcp = [
        ("broker.status", "ok"),
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", EXECUTE),
        ("http.response.status_code", "200"),
        ("http.route", "/mcp"),
        ("jsonrpc.request.id", &id),
        ("mcp.method.name", "tools/call"),
        ("mcp.protocol.version", "2026-07-28"),
        ("url.path", "/mcp"),
    ];
    assert_eq!(said(&span), expected(&[&HTTP[..], &mcp].concat()));
    assert_eq!(span["status"], json!({}));
    assert!(!span.to_string().contains("CANARY"));
}

#[tokio::test]
async fn a_token_request_says_what_it_is_by_http() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let request = Request::new("POST", "/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=authorization_code&client_id=CANARY&code=CANARY");
    assert_eq!(product.send(request).await.status, 401);
    let span = of_server(product, &collector).await;
    let token =
        [("http.response.status_code", "401"), ("http.route", "/token"), ("url.path", "/token")];
    assert_eq!(said(&span), expected(&[&HTTP[..], &token].concat()));
}

/// It says why, and the client's fault is no failure of the server (HTTP conventions, status).
#[tokio::test]
async fn a_refusal_for_scopes_says_so_and_has_not_failed() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let token = product.token(&["public:read"]);
    let asked = json!({ "name": EXECUTE, "arguments": { "operation": { "method": "GET", "path": "/v1.0/users" } } });
    let request = mcp(Wire::Legacy, Some(&token), "tools/call", asked);
    // An id may be any text, and what a caller writes stays here.
    let mut body: Value = serde_json::from_slice(request.parts().2).unwrap();
    body["id"] = json!("CANARY");
    assert_eq!(product.send(request.body(body.to_string())).await.status, 403);
    let span = of_server(product, &collector).await;
    let refused = [
        ("broker.reason", "policy.rule.deny.scope.not_permitted"),
        ("error.type", "insufficient_scope"),
        ("gen_ai.tool.name", EXECUTE),
        ("http.response.status_code", "403"),
        ("http.route", "/mcp"),
        ("mcp.method.name", "tools/call"),
        ("mcp.protocol.version", "2025-11-25"),
        ("url.path", "/mcp"),
    ];
    assert_eq!(said(&span), expected(&[&HTTP[..], &refused].concat()));
    assert_eq!(span["status"], json!({}));
}

/// Which of them it is stands in the path, which is the caller's text, and in the span below.
#[tokio::test]
async fn a_server_behind_is_a_route_and_no_path() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let server =
        FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#));
    let server = server.await;
    let telemetry = settings(&collector);
    let product = behind::broker(server.url().as_str(), &format!("{GET}{telemetry}"), "").await;
    product.send(behind::call(&product, &["weather:read"], "get_weather")).await;
    let said = said(&of_server(product, &collector).await);
    assert_eq!((&said["http.route"], said.get("url.path")), (&json!("/servers/{id}/mcp"), None));
    assert_eq!(said["http.response.status_code"], "200");
    assert!(said.contains_key("jsonrpc.request.id"), "{said:?}");
}
