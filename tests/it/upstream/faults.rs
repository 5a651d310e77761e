//! Servers that are away, slow, broken or hostile: each caller gets a clear answer, and the audit log a code.

use serde_json::{Value, json};

use super::behind::{GET, PATH, broker, call, token};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::free_port::free_port;
use crate::support::product::{Product, Wire, mcp};

/// The code a tool's caller gets, and the audit log has, when the server answers so.
async fn code(reply: Reply, table: &str) -> Value {
    let fake = FakeHttp::start(reply).await;
    let product = broker(fake.url().as_str(), &format!("{table}\n{GET}"), "").await;
    code_of(&product).await
}

async fn code_of(product: &Product) -> Value {
    let answer = product.send(call(product, &["weather:read"], "get_weather")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let message = answer.body.lines().rfind(|line| line.contains("\"jsonrpc\"")).unwrap();
    let message = message.trim_start_matches("data: ");
    let message: Value = serde_json::from_str(message).unwrap();
    assert_eq!(message["id"], 7, "{answer:?}");
    let result = &message["result"];
    assert_eq!(result["isError"], true, "{answer:?}");
    let code = result["structuredContent"]["error"]["code"].clone();
    let event = product.audit().into_iter().rfind(|event| event["event_type"] == "result.emitted");
    let event = event.unwrap();
    assert_eq!(event["payload"]["error_code"], code);
    assert_eq!(event["payload"]["tool_name"], "weather.get_weather");
    code
}

fn events(text: &str) -> Reply {
    Reply::Answer(
        200,
        vec![("content-type", "text/event-stream".to_owned())],
        text.to_owned().into(),
    )
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_said_to_be() {
    let url = format!("http://{}/", free_port());
    assert_eq!(code_of(&broker(&url, GET, "").await).await, "provider.unavailable");
    assert_eq!(code(Reply::Silence, "timeout_ms = 100").await, "provider.timeout");
}

/// A private address counts as away: which addresses there are is not for callers to find out.
#[tokio::test]
async fn a_server_at_a_private_address_needs_an_allowance() {
    let fake = FakeHttp::start(Reply::status(200)).await;
    let url = fake.url().as_str().replace("127.0.0.1", "127.0.0.2");
    let product = broker(&url, GET, "").await;
    assert_eq!(code_of(&product).await, "provider.unavailable");
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn what_is_no_answer_is_not_handed_on() {
    let html = Reply::Answer(200, vec![("content-type", "text/html".into())], "<b>hi".into());
    let result = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (reply, expected) in [
        (html, "provider.bad_response"),
        (Reply::json("<html>"), "provider.bad_response"),
        (Reply::json("[]"), "provider.bad_response"),
        (Reply::json(result("8")), "provider.bad_response"),
        (Reply::json(result("\"7\"")), "provider.bad_response"),
        (
            Reply::json(r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#),
            "provider.bad_response",
        ),
        (Reply::json(nested), "provider.bad_response"),
        (Reply::status(302).header("location", "http://10.0.0.1/"), "provider.bad_response"),
        (Reply::status(500), "provider.unavailable"),
        (Reply::status(429), "provider.rate_limited"),
        (Reply::status(401).header("www-authenticate", "Bearer x=\"y\""), "provider.auth_failed"),
        (Reply::json("{}").header("content-encoding", "gzip"), "provider.bad_response"),
        (events(&format!("data: {}\n\n", result("8"))), "provider.bad_response"),
        (events("data: {\n\n"), "provider.bad_response"),
        (events(""), "provider.bad_response"),
        (events("data: never ends"), "provider.bad_response"),
    ] {
        let shown = format!("{reply:?}");
        assert_eq!(code(reply, "").await, expected, "{shown}");
    }
}

/// Where a server sends its callers is not asked: not another address, and not a private one that the broker could reach.
#[tokio::test]
async fn redirects_are_never_followed() {
    let inside = FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#)).await;
    for status in [301, 302, 303, 307, 308] {
        let away = Reply::status(status).header("location", inside.url().as_str());
        assert_eq!(code(away, "").await, "provider.bad_response", "{status}");
    }
    assert_eq!(inside.count(), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let text = "x".repeat(5_000);
    let large = json!({ "jsonrpc": "2.0", "id": 7, "result": { "content": [{ "text": text }] } });
    let table = "max_response_bytes = 4096";
    let code_of_json = code(Reply::json(large.to_string()), table).await;
    assert_eq!(code_of_json, "provider.bad_response");
    let code_of_event = code(events(&format!("data: {large}\n\n")), table).await;
    assert_eq!(code_of_event, "provider.bad_response");
}

#[tokio::test]
async fn other_methods_get_an_error_with_a_status() {
    let fake = FakeHttp::start(Reply::status(500)).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let token = token(&product, &["weather:read"]);
    let list = mcp(Wire::Modern, Some(&token), "tools/list", json!({})).path(PATH);
    let answer = product.send(list).await;
    assert_eq!(answer.status, 502);
    let error = &answer.json()["error"];
    assert_eq!(
        (&error["code"], &error["data"]["code"]),
        (&json!(-32603), &json!("provider.unavailable"))
    );
    assert!(!answer.body.contains("127.0.0.1"), "{answer:?}");
}

// RS-18, N116: a server opens no door of ours
#[tokio::test]
async fn a_servers_headers_stay_behind() {
    let ok = Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#)
        .header("set-cookie", "a=b")
        .header("www-authenticate", "Bearer error=\"x\"")
        .header("access-control-allow-origin", "*")
        .header("location", "http://evil.example")
        .header("x-leak", "1");
    let fake = FakeHttp::start(ok).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
    assert_eq!(answer.status, 200);
    for name in
        ["set-cookie", "www-authenticate", "access-control-allow-origin", "location", "x-leak"]
    {
        assert_eq!(answer.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn ten_thousand_tools_are_filtered_like_two() {
    let tools: Vec<Value> = (0..10_000).map(|n| json!({ "name": format!("t{n}") })).collect();
    let mut tools = tools;
    tools.push(json!({ "name": "get_weather" }));
    tools.push(json!({ "name": "get weather" }));
    let list = json!({ "jsonrpc": "2.0", "id": 7, "result": { "tools": tools } });
    let fake = FakeHttp::start(Reply::json(list.to_string())).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let token = token(&product, &["weather:read"]);
    let ask = mcp(Wire::Legacy, Some(&token), "tools/list", json!({})).path(PATH);
    let answer = product.send(ask).await.json();
    assert_eq!(answer["result"]["tools"], json!([{ "name": "get_weather" }]));
    let event = product.audited(|event| event["event_type"] == "tools.listed").await;
    assert_eq!(event["payload"]["hidden"], 10_001);
}

/// As where the url of the settings is wrong: nothing says that it is about a session.
#[tokio::test]
async fn a_404_outside_a_session_is_a_server_that_does_not_answer_properly() {
    let html = Reply::Answer(404, vec![("content-type", "text/html".into())], "<b>no".into());
    for reply in [Reply::status(404), html] {
        let fake = FakeHttp::start(reply).await;
        let product = broker(fake.url().as_str(), GET, "").await;
        assert_eq!(code_of(&product).await, "provider.bad_response");
        let token = token(&product, &["weather:read"]);
        let hello = mcp(Wire::Legacy, Some(&token), "initialize", json!({})).path(PATH);
        let answer = product.send(hello).await;
        assert_eq!((answer.status, answer.rpc_error()), (502, json!(-32603)), "{answer:?}");
    }
}

// JSON-RPC 2.0 §5
#[tokio::test]
async fn an_error_that_names_no_request_answers_the_one_that_was_asked() {
    for id in ["\"id\":null,", ""] {
        let body = format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":-32000,"message":"no"}}}}"#);
        let json = vec![("content-type", "application/json".to_owned())];
        let fake = FakeHttp::start(Reply::Answer(400, json, body.into())).await;
        let product = broker(fake.url().as_str(), GET, "").await;
        let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
        assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32000)), "{answer:?}");
        assert_eq!(answer.json()["id"], 7);
    }
}
