//! Servers that are registered while the broker runs, and are reached through it.

use serde_json::{Value, json};

use crate::support::audit::LIMIT;
use crate::support::child::{Served, command};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp, post};
use crate::support::raw_http::{self, Answer, Request};

pub(crate) const PATH: &str = "/servers/docs/mcp";
pub(crate) const RULE: &str = "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"docs\"\neffect = \"allow\"\ntools = [\"docs\\\\.search\"]\nscopes = [\"docs:read\"]\n";
pub(crate) const LIST: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"search"},{"name":"erase"}]}}"#;

/// A broker whose administrator is Ada.
async fn start(policy: &str) -> Product {
    start_with(policy, "").await
}

/// The same with more settings.
pub(crate) async fn start_with(policy: &str, more: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[authorization_server.administrators]\nsubjects = [\"ada\"]\n[[upstream.server]]\nid = \"settled\"\nurl = \"http://127.0.0.1:1/mcp\"\n";
    let settings = [settings, more].concat();
    let policy = format!("policy.file={}", directory.path().join("policy.toml").display());
    let overrides = if std::fs::metadata(directory.path().join("policy.toml")).unwrap().len() > 0 {
        vec![policy]
    } else {
        Vec::new()
    };
    Product::start_in(directory, &settings, &overrides).await
}

pub(crate) async fn administer(
    product: &Product,
    method: &str,
    path: &str,
    body: &Value,
) -> Answer {
    let token = product.token(&["broker:admin"]);
    let request = Request::new(method, path)
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    product.send(request.body(body)).await
}

async fn register(product: &Product, url: &str) -> Answer {
    let body = json!({ "id": "docs", "url": url, "scope": "docs:read" });
    administer(product, "POST", "/api/servers", &body).await
}

pub(crate) fn token(product: &Product, scopes: &[&str]) -> String {
    product.token_with(scopes, |token| token.audience = product.url(PATH))
}

pub(crate) async fn ask(product: &Product, token: &str, method: &str, params: Value) -> Answer {
    product.send(mcp(Wire::Legacy, Some(token), method, params).path(PATH)).await
}

/// Waits until the path answers an unknown caller so.
pub(crate) async fn until_status(product: &Product, wanted: u16) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while product.send(post(None, "{}").path(PATH)).await.status != wanted {
        assert!(tokio::time::Instant::now() < deadline, "never {wanted}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_registered_server_is_guarded_like_any_other_without_a_restart() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start(RULE).await;
    assert_eq!(product.send(post(None, "{}").path(PATH)).await.status, 404);
    let added = register(&product, upstream.url().as_str()).await;
    assert_eq!((added.status, &added.json()["uri"]), (201, &json!(product.url(PATH))));
    until_status(&product, 401).await;
    let metadata = format!("/.well-known/oauth-protected-resource{PATH}");
    let metadata = product.get(&metadata).await.json();
    assert_eq!(metadata["resource"], product.url(PATH));
    assert_eq!(metadata["scopes_supported"], json!(["docs:read"]));
    let reader = token(&product, &["docs:read"]);
    let listed = ask(&product, &reader, "tools/list", json!({})).await.json();
    assert_eq!(listed["result"]["tools"], json!([{ "name": "search" }]));
    let erase = ask(&product, &reader, "tools/call", json!({ "name": "erase" })).await;
    assert_eq!(erase.rpc_error(), -32602);
    let nobody = token(&product, &[]);
    let search = json!({ "name": "search" });
    assert_eq!(ask(&product, &nobody, "tools/call", search).await.status, 403);
    let sent = upstream.asked();
    assert_eq!(sent.iter().filter(|asked| asked.body.contains("tools/")).count(), 1);
    assert!(sent.iter().all(|asked| !asked.headers.contains_key("authorization")));
}

#[tokio::test]
async fn nothing_of_a_registered_server_is_seen_until_a_rule_names_it() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start("").await;
    register(&product, upstream.url().as_str()).await;
    until_status(&product, 401).await;
    let all = token(&product, &["docs:read", "public:read", "graph:read"]);
    let listed = ask(&product, &all, "tools/list", json!({})).await.json();
    assert_eq!(listed["result"]["tools"], json!([]));
    let search = ask(&product, &all, "tools/call", json!({ "name": "search" })).await;
    assert_eq!(search.rpc_error(), -32602);
}

/// As of a server of the settings.
#[tokio::test]
async fn its_tools_have_limits_and_counts_of_their_own() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let more = "[server]\nadmin_listen = \"127.0.0.1:0\"\n[telemetry]\nmetrics = true\n\
        [[limits.tool]]\nname = \"docs.search\"\nrate = \"1/day\"\n";
    let product = start_with(RULE, more).await;
    register(&product, upstream.url().as_str()).await;
    until_status(&product, 401).await;
    let reader = token(&product, &["docs:read"]);
    upstream.answers(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#));
    let call = async || ask(&product, &reader, "tools/call", json!({ "name": "search" })).await;
    assert_eq!((call().await.status, call().await.status), (200, 429));
    let scrape = Request::new("GET", "/metrics").bytes("prometheus.internal:9090");
    let page = raw_http::exchange(product.admin.as_ref().unwrap(), &scrape).await.body;
    let counted = "broker_tool_calls_total{tool=\"docs.search\",status=\"ok\",code=\"none\"} 1";
    assert!(page.contains(counted), "{page}");
    assert!(!page.contains("tool=\"other\""), "{page}");
}

// RFC 8707 §2 — RS-9, RS-10
#[tokio::test]
async fn its_tokens_are_its_own_and_end_with_it() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start(RULE).await;
    register(&product, upstream.url().as_str()).await;
    until_status(&product, 401).await;
    let own = token(&product, &["docs:read", "public:read"]);
    let others = product.token(&["docs:read", "public:read"]);
    assert_eq!(ask(&product, &own, "tools/list", json!({})).await.status, 200);
    assert_eq!(ask(&product, &others, "tools/list", json!({})).await.status, 401);
    let elsewhere = mcp(Wire::Legacy, Some(&own), "tools/list", json!({}));
    assert_eq!(product.send(elsewhere.clone()).await.status, 401);
    assert_eq!(product.send(elsewhere.path("/servers/settled/mcp")).await.status, 401);
    let gone = administer(&product, "DELETE", "/api/servers/docs", &Value::Null).await;
    assert_eq!(gone.status, 204);
    until_status(&product, 404).await;
    assert_eq!(ask(&product, &own, "tools/list", json!({})).await.status, 404);
}

// N117, N116
#[tokio::test]
async fn what_cannot_be_reached_through_us_is_refused_with_the_reason() {
    let product = start("").await;
    let own = product.url("/mcp");
    for (body, field) in [
        (json!({ "id": "docs", "url": "file:///bin/sh" }), "url"),
        (json!({ "id": "docs", "url": "stdio:sh" }), "url"),
        (json!({ "id": "docs", "url": "http://u:p@docs.example/" }), "url"),
        (json!({ "id": "docs", "url": "http://docs.example/#x" }), "url"),
        (json!({ "id": "docs", "url": own }), "url"),
        (json!({ "id": "docs" }), "uri"),
        (json!({ "id": "docs", "uri": "https://d.example", "url": "https://d.example" }), "uri"),
        (
            json!({ "id": "docs", "url": "https://d.example", "aliases": ["https://e.example"] }),
            "aliases",
        ),
        (json!({ "id": "auth", "url": "https://d.example" }), "id"),
        (json!({ "id": "a.b", "url": "https://d.example" }), "id"),
    ] {
        let refused = administer(&product, "POST", "/api/servers", &body).await;
        assert_eq!(refused.status, 422, "{body}");
        assert!(refused.body.contains(field), "{body}: {}", refused.body);
    }
    let taken = json!({ "id": "settled", "url": "https://d.example" });
    assert_eq!(administer(&product, "POST", "/api/servers", &taken).await.status, 409);
}

/// The address is looked at when it is called, as for the settings' servers.
#[tokio::test]
async fn a_private_address_that_is_not_allowed_is_not_reached() {
    let product = start(RULE).await;
    register(&product, "http://10.0.0.1:3001/mcp").await;
    until_status(&product, 401).await;
    let reader = token(&product, &["docs:read"]);
    let answer = ask(&product, &reader, "tools/list", json!({})).await;
    assert_eq!(answer.json()["error"]["data"]["code"], "provider.unavailable");
    assert!(!answer.body.contains("10.0.0.1"));
}

/// By a process of its own, as on another replica.
#[tokio::test]
async fn what_another_process_registers_and_takes_out_is_seen_by_a_running_broker() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n";
    let served = Served::start(directory.path(), settings, &[]).await;
    let url = upstream.url().to_string();
    let beside = |arguments: &[&str]| {
        crate::support::child::command_beside(directory.path(), &served.authority, arguments)
    };
    let added = beside(&["server", "add", "docs", "--url", &url]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let until = async |wanted: u16| {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while served.send(post(None, "{}").path(PATH)).await.status != wanted {
            assert!(tokio::time::Instant::now() < deadline, "never {wanted}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    until(401).await;
    let resource = format!("http://{}{PATH}", served.authority);
    let token = served.mint_at(&resource, "docs:read");
    let list = mcp(Wire::Legacy, Some(&token), "tools/list", json!({})).path(PATH);
    assert_eq!(served.send(list).await.json()["result"]["tools"], json!([]));
    assert!(beside(&["server", "remove", "docs"]).status.success());
    until(404).await;
}

#[test]
fn a_command_names_either_where_clients_go_or_where_the_broker_goes() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["server", "add", "docs"][..],
        &["server", "add", "docs", "https://d.example", "--url", "https://d.example"],
        &["server", "add", "docs", "--url", "https://d.example", "--alias", "https://e.example"],
    ] {
        assert_eq!(command(directory.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}
