//! What is decided about each message, which Envoy sends along.

use serde_json::json;

use super::{ASKING, Site, THINGS, call};
use crate::support::raw_http::Request;

// N118
#[tokio::test]
async fn a_proxy_that_asks_about_a_tool_by_header_or_query_is_refused() {
    let site = Site::start().await;
    let token = format!("Bearer {}", site.token(&["weather:*"]));
    for request in [
        Request::new("GET", "/forward-auth/weather?tool=get_forecast"),
        Request::new("GET", "/forward-auth/weather").header("x-mcp-tool", "get_forecast"),
        Request::new("GET", "/ext-authz/weather").header("x-envoy-auth-partial-body", "false"),
        Request::new("GET", "/ext-authz/weather").header("x-original-method", "POST"),
        Request::new("POST", "/ext-authz/weather"),
        Request::new("POST", "/ext-authz/weather").body(call("get_forecast")),
        Request::new("POST", "/ext-authz/weather")
            .header("x-envoy-auth-partial-body", "true")
            .body(call("get_forecast")),
        Request::new("POST", "/ext-authz/weather").header("x-envoy-auth-partial-body", "false"),
        Request::new("POST", "/ext-authz/a.b")
            .header("x-envoy-auth-partial-body", "false")
            .body(call("get_forecast")),
    ] {
        let shown = format!("{request:?}");
        let status = site.0.send(request.header("authorization", &token)).await.status;
        assert!(matches!(status, 400 | 401 | 405), "{status}: {shown}");
    }
}

#[tokio::test]
async fn envoy_with_the_body_is_told_by_policy_about_each_tool() {
    let site = Site::with(ASKING).await;
    assert_eq!(site.call(&["weather:read"], "get_forecast").await.status, 200);
    let stepped = site.call(&["weather:read"], "delete").await;
    assert_eq!(stepped.status, 403);
    assert!(stepped.header("www-authenticate").contains("scope=\"weather:admin\""));
    assert_eq!(site.call(&["weather:read", "weather:admin"], "delete").await.status, 200);
    let unknown = site.call(&["weather:*"], "format_disk").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["message"]),
        (403, &json!("Unknown tool: format_disk"))
    );
    let asks = site.call(&["weather:read"], "pay").await;
    assert_eq!(asks.status, 403);
    assert!(asks.body.contains("needs an approval"), "{}", asks.body);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    assert_eq!(site.0.send(site.envoy(&["weather:read"], list)).await.status, 200);
}

// N118
#[tokio::test]
async fn a_body_that_the_server_could_read_in_another_way_is_refused() {
    let site = Site::start().await;
    let scopes = ["weather:read"];
    let bodies = [
        format!("[{}]", call("delete")),
        call("get_forecast").replace("\"name\"", "\"Name\":\"delete\",\"name\""),
        call("get_forecast").replace("\"name\"", "\"name\":\"delete\",\"name\""),
        call("get_forecast").replace("tools/call", "Tools/Call"),
        format!("{}{}", call("get_forecast"), call("delete")),
    ];
    for body in bodies {
        let answer = site.0.send(site.envoy(&scopes, body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    for (name, value) in
        [("mcp-name", "delete"), ("mcp-method", "tools/list"), ("content-encoding", "gzip")]
    {
        let request = site.envoy(&scopes, call("get_forecast")).header(name, value);
        assert_eq!(site.0.send(request).await.status, 400, "{name}: {value}");
    }
}

// MCP 2026-07-28 Streamable HTTP — TR-24, TR-25, TR-26
#[tokio::test]
async fn headers_that_name_another_prompt_resource_or_argument_than_the_body_are_refused() {
    let site = Site::with(THINGS).await;
    let all = ["weather:read", "weather:things"];
    let (day, open) = (json!({"name": "day"}), json!({"uri": "file:///open/a"}));
    let eu = json!({"name": "get_forecast", "arguments": {"region": "eu"}});
    for (method, params, (name, value), status) in [
        ("prompts/get", &day, ("mcp-name", "day"), 200),
        ("prompts/get", &day, ("mcp-name", "=?base64?ZGF5?="), 200),
        ("prompts/get", &day, ("mcp-name", "admin"), 400),
        ("prompts/get", &day, ("mcp-param-region", "us"), 400),
        ("resources/read", &open, ("mcp-name", "file:///open/a"), 200),
        ("resources/read", &open, ("mcp-name", "file:///etc/passwd"), 400),
        ("tools/list", &json!({}), ("mcp-name", "delete"), 400),
        ("initialize", &json!({}), ("mcp-name", "delete"), 400),
        ("tools/call", &eu, ("mcp-name", "=?base64?Z2V0X2ZvcmVjYXN0?="), 200),
        ("tools/call", &eu, ("mcp-param-region", "eu"), 200),
        ("tools/call", &eu, ("mcp-param-region", "us"), 400),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = site.envoy(&all, body.to_string()).header(name, value);
        let answer = site.0.send(request).await;
        assert_eq!(answer.status, status, "{method} {name}: {value}: {}", answer.body);
    }
}

#[tokio::test]
async fn envoy_is_told_by_policy_about_prompts_and_resources_too() {
    let site = Site::with(THINGS).await;
    let (prompt, resource) = (json!({"name": "day"}), json!({"uri": "file:///open/a"}));
    let all = ["weather:read", "weather:things"];
    assert_eq!(site.message(&all, "prompts/get", prompt.clone()).await.status, 200);
    assert_eq!(site.message(&all, "resources/read", resource.clone()).await.status, 200);
    for scopes in [&["weather:read"][..], &["weather:things"], &[]] {
        let missing: Vec<&str> = all.into_iter().filter(|scope| !scopes.contains(scope)).collect();
        for (method, params) in [("prompts/get", &prompt), ("resources/read", &resource)] {
            let answer = site.message(scopes, method, params.clone()).await;
            assert_eq!(answer.status, 403, "{}", answer.body);
            let named = format!("scope=\"{}\"", missing.join(" "));
            assert!(answer.header("www-authenticate").contains(&named), "{method} {scopes:?}");
        }
    }
    for (method, params, text) in [
        ("prompts/get", json!({"name": "night"}), "Unknown prompt: night"),
        ("resources/read", json!({"uri": "file:///etc/passwd"}), "Resource not found"),
        ("resources/read", json!({"uri": "file:///open/../etc/passwd"}), "dot segments"),
        ("tasks/get", json!({"taskId": "7"}), "Method not found"),
    ] {
        let answer = site.message(&all, method, params).await;
        assert_eq!(answer.status, 403, "{method}");
        assert!(answer.body.contains(text), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_hidden_tool_is_no_challenge_and_a_challenge_is_what_is_missing() {
    let site = Site::start().await;
    let hidden = site.call(&["mail:read"], "format_disk").await;
    assert_eq!((hidden.status, hidden.header("www-authenticate").is_empty()), (403, true));
    let both = site.call(&["mail:read"], "delete").await;
    let challenge = both.header("www-authenticate");
    assert!(challenge.contains("scope=\"weather:admin weather:read\""), "{challenge}");
}
