//! What a registered server may be told, and what it may be shown: nothing but what the settings keep for its URL.

use mcp_auth_broker::app;
use mcp_auth_broker::config::Config;
use mcp_auth_broker::secret::Environment as Variables;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::registered::{LIST, PATH, RULE, administer, ask, start_with, token, until_status};
use crate::support::audit::LIMIT;
use crate::support::child::{Served, command, command_beside};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp, post};
use crate::support::raw_http::{Answer, Request};
use crate::support::tokens::{ISSUER, SigningKey};
use crate::upstream::never_ending;

const SECRET: &str = "the-servers-token-CANARY";

/// What registered servers at this URL and below may be shown.
fn credential(url: &str) -> String {
    format!(
        "[[upstream.credential]]\nname = \"docs\"\nurls = [\"{url}\"]\ncredential = {{ bearer = \"{SECRET}\" }}\n"
    )
}

async fn register(product: &Product, url: &str, proxy: &Value) -> Answer {
    let body = json!({ "id": "docs", "url": url, "scope": "docs:read", "proxy": proxy });
    administer(product, "POST", "/api/servers", &body).await
}

async fn set(product: &Product, proxy: &Value) -> Answer {
    administer(product, "PUT", "/api/servers/docs/proxy", proxy).await
}

async fn tools(product: &Product) -> Value {
    let reader = token(product, &["docs:read"]);
    let list = ask(product, &reader, "tools/list", json!({})).await.json();
    list.pointer("/result/tools").cloned().unwrap_or_default()
}

/// Waits until its list is this.
async fn until_listed(product: &Product, wanted: &Value) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while tools(product).await != *wanted {
        assert!(tokio::time::Instant::now() < deadline, "never {wanted}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_disabled_server_is_not_reached_until_it_is_enabled_again() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start_with(RULE, "").await;
    register(&product, upstream.url().as_str(), &Value::Null).await;
    until_status(&product, 401).await;
    let off = administer(&product, "POST", "/api/servers/docs/disable", &Value::Null).await;
    assert_eq!(off.status, 204);
    until_status(&product, 404).await;
    let before = upstream.count();
    let reader = token(&product, &["docs:read"]);
    assert_eq!(ask(&product, &reader, "tools/list", json!({})).await.status, 404);
    assert_eq!(upstream.count(), before);
    administer(&product, "POST", "/api/servers/docs/enable", &Value::Null).await;
    until_status(&product, 401).await;
    assert_eq!(tools(&product).await, json!([{ "name": "search" }]));
}

/// It is no call that somebody waits for.
#[tokio::test]
async fn the_open_streams_of_a_server_end_when_it_is_disabled() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut running = JoinSet::new();
    running.spawn(never_ending(listener, tokio::sync::watch::Sender::default()));
    let product = start_with(RULE, "").await;
    register(&product, &url, &json!({ "era": "both" })).await;
    until_status(&product, 401).await;
    let reader = token(&product, &["docs:read"]);
    let session = ask(&product, &reader, "initialize", json!({})).await.header("mcp-session-id");
    let get = Request::new("GET", PATH)
        .header("authorization", &format!("Bearer {reader}"))
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &session);
    let mut stream = TcpStream::connect(&product.authority).await.unwrap();
    stream.write_all(&get.bytes(&product.authority)).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    administer(&product, "POST", "/api/servers/docs/disable", &Value::Null).await;
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
}

// OWASP ASVS 5 — N116
#[tokio::test]
async fn a_server_is_shown_what_the_settings_keep_for_its_url_and_nothing_shows_it_to_others() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start_with(RULE, &credential(upstream.url().as_str())).await;
    let named = json!({ "credential": "docs" });
    let added = register(&product, upstream.url().as_str(), &named).await;
    assert_eq!((added.status, &added.json()["proxy"]["credential"]), (201, &json!("docs")));
    assert!(!added.body.contains("CANARY"));
    until_status(&product, 401).await;
    assert_eq!(tools(&product).await, json!([{ "name": "search" }]));
    let asked = upstream.asked();
    assert_eq!(asked.last().unwrap().headers["authorization"], format!("Bearer {SECRET}"));
}

// OWASP ASVS 5 — N116, N117
#[tokio::test]
async fn no_administrator_gets_a_secret_by_registering_a_server_of_their_own() {
    let theirs = FakeHttp::start(Reply::json(LIST)).await;
    let product = start_with(RULE, &credential("https://docs.example/mcp")).await;
    let url = theirs.url().to_string();
    for proxy in [
        json!({ "credential": "docs" }),
        json!({ "credential": "env:PATH" }),
        json!({ "credential": "file:/etc/hostname" }),
        json!({ "credential": { "bearer": "env:PATH" } }),
        json!({ "bearer": "env:PATH" }),
        json!({ "command": "sh" }),
    ] {
        let refused = register(&product, &url, &proxy).await;
        assert_eq!(refused.status, 422, "{proxy}");
        assert!(!refused.body.contains("CANARY"), "{}", refused.body);
    }
    register(&product, &url, &Value::Null).await;
    until_status(&product, 401).await;
    let changed = set(&product, &json!({ "credential": "docs" })).await;
    assert_eq!(changed.status, 422, "{}", changed.body);
    tools(&product).await;
    assert!(theirs.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
}

/// Whatever a store says that another wrote: the settings of the broker that serves decide.
#[tokio::test]
async fn a_server_whose_credential_the_settings_do_not_have_is_not_served_without_it() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n";
    let served = Served::start(directory.path(), settings, &[]).await;
    let url = upstream.url().to_string();
    std::fs::write(directory.path().join("broker.toml"), [settings, &credential(&url)].concat())
        .unwrap();
    let beside = |arguments: &[&str]| {
        let done = command_beside(directory.path(), &served.authority, arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    beside(&["server", "add", "docs", "--url", &url, "--credential", "docs"]);
    beside(&["server", "add", "plain", "--url", &url]);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while served.send(post(None, "{}").path("/servers/plain/mcp")).await.status != 401 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(served.send(post(None, "{}").path(PATH)).await.status, 404);
    assert!(served.stderr().contains("upstream.registered_without_its_credential"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn pins_and_limits_count_as_those_of_the_settings() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start_with(RULE, "").await;
    register(&product, upstream.url().as_str(), &Value::Null).await;
    until_status(&product, 401).await;
    until_listed(&product, &json!([{ "name": "search" }])).await;
    let other = format!("sha256:{}", "0".repeat(64));
    let pinned = json!({ "pins": { "search": other }, "on_change": "hide" });
    let told = set(&product, &pinned).await;
    assert_eq!((told.status, &told.json()["proxy"]["pins"]["search"]), (200, &json!(other)));
    until_listed(&product, &json!([])).await;
    assert_eq!(set(&product, &json!({})).await.status, 200);
    until_listed(&product, &json!([{ "name": "search" }])).await;
    assert_eq!(set(&product, &json!({ "max_response_bytes": 20 })).await.status, 200);
    until_listed(&product, &Value::Null).await;
    let reader = token(&product, &["docs:read"]);
    let answer = ask(&product, &reader, "tools/list", json!({})).await.json();
    assert_eq!(answer["error"]["data"]["code"], "provider.bad_response");
    let elsewhere = json!({ "id": "beside", "uri": "https://d.example", "scope": "" });
    administer(&product, "POST", "/api/servers", &elsewhere).await;
    let none = administer(&product, "PUT", "/api/servers/beside/proxy", &json!({})).await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn it_is_told_who_calls_and_stands_beside_our_tools_where_that_is_wished() {
    let search = r#""search","inputSchema":{"type":"object"}"#;
    let list = LIST.replace("\"id\":7", "\"id\":\"list\"").replace("\"search\"", search);
    let upstream = FakeHttp::start(Reply::json(list)).await;
    let product = start_with(RULE, "").await;
    let proxy = json!({ "fold": true, "identity_header": true, "era": "both" });
    register(&product, upstream.url().as_str(), &proxy).await;
    until_status(&product, 401).await;
    let reader = product.token(&["docs:read"]);
    let listed = product.rpc(Wire::Modern, &reader, "tools/list", json!({})).await.json();
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "docs.search"), "{listed}");
    assert!(tools.iter().all(|tool| tool["name"] != "docs.erase"), "{listed}");
    assert!(upstream.asked().last().unwrap().headers.contains_key("x-broker-identity"));
    assert_eq!(set(&product, &json!({ "fold": false })).await.status, 200);
    let deadline = tokio::time::Instant::now() + LIMIT;
    let call = mcp(Wire::Modern, Some(&reader), "tools/list", json!({}));
    while product.send(call.clone()).await.body.contains("docs.search") {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn a_command_says_how_a_server_is_reached_and_says_it_anew() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let done = command(directory.path(), arguments);
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let digest = format!("search=sha256:{}", "a".repeat(64));
    let add = ["server", "add", "docs", "--url", "https://d.example", "--pin", &digest, "--json"];
    let (code, added) = run(&add);
    let added: Value = serde_json::from_str(&added).unwrap();
    assert_eq!((code, added["proxy"]["pins"].as_object().unwrap().len()), (Some(0), 1));
    let set = ["server", "set", "docs", "--timeout-ms", "5", "--on-change", "hide", "--json"];
    let (code, set) = run(&set);
    let set: Value = serde_json::from_str(&set).unwrap();
    assert_eq!((code, &set["proxy"]["timeout_ms"]), (Some(0), &json!(5)));
    assert_eq!(set["proxy"]["pins"], json!({}));
    for refused in [
        &["server", "set", "docs", "--credential", "env:HOME"][..],
        &["server", "set", "nobody", "--fold"],
        &["server", "add", "e", "https://e.example", "--fold"],
    ] {
        assert_ne!(run(refused).0, Some(0), "{refused:?}");
    }
}

/// What `broker check --live` says of the registered server with these settings.
async fn checked(product: &Product, change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = product.config().clone();
    change(&mut config);
    let clock = std::sync::Arc::new(SystemClock);
    let faults = app::check(&config, Variables::default(), true, clock).await;
    let told = faults.iter().map(|fault| fault.told().0);
    told.filter(|told| told.contains("`docs`")).collect()
}

#[tokio::test]
async fn a_check_looks_at_registered_servers_as_at_those_of_the_settings() {
    let list = json!({ "supportedVersions": ["2026-07-28"], "tools": [{ "name": "search" }] });
    let answer = json!({ "jsonrpc": "2.0", "id": "broker", "result": list });
    let upstream = FakeHttp::start(Reply::json(answer.to_string())).await;
    let url = upstream.url();
    let product = start_with(RULE, &credential(url.as_str())).await;
    let proxy = json!({ "credential": "docs" });
    assert_eq!(register(&product, url.as_str(), &proxy).await.status, 201);
    assert_eq!(checked(&product, |_| ()).await, [""; 0]);
    let asked = upstream.asked();
    assert_eq!(asked.last().unwrap().headers["authorization"], format!("Bearer {SECRET}"));
    let without = checked(&product, |config| config.upstream.credentials.clear()).await;
    let why = "the registered server `docs` is not served: no upstream.credential of its name is for its URL";
    assert_eq!(without, [why]);
    let moved = checked(&product, |config| config.server.public_url.set_path("/moved")).await;
    assert!(moved[0].contains("registered while server.public_url was another"), "{moved:?}");
    upstream.answers(Reply::status(500));
    let away = checked(&product, |_| ()).await;
    assert!(away[0].starts_with("upstream.server `docs` was not looked at"), "{away:?}");
    assert!(!away.concat().contains("CANARY"), "{away:?}");
}

/// What `docs` answers a caller with a token of another issuer that nobody has seen before.
async fn called_by_a_stranger(product: &Product, key: &SigningKey, jti: &str) -> u16 {
    let now = SystemClock.now().unix_seconds();
    let audience = product.url(PATH);
    let claims =
        json!({ "aud": audience, "iat": now, "exp": now + 600, "jti": jti, "scope": "docs:read" });
    ask(product, &key.token("k1", claims), "tools/list", json!({})).await.status
}

/// A broker that takes tokens of another issuer, and what answers for that one's keys.
async fn with_an_issuer(key: &SigningKey) -> (Product, FakeHttp) {
    let issuer = FakeHttp::start(Reply::json(key.jwks("k1"))).await;
    let known = format!(
        "[[resource_server.issuer]]\nissuer = \"{ISSUER}\"\njwks_uri = \"{}\"\n",
        issuer.url()
    );
    (start_with(RULE, &known).await, issuer)
}

/// For an outage of its issuer a key set lasts a day.
#[tokio::test]
async fn a_change_of_one_server_leaves_the_keys_of_other_issuers_to_all() {
    let (upstream, key) = (FakeHttp::start(Reply::json(LIST)).await, SigningKey::ec());
    let (product, issuer) = with_an_issuer(&key).await;
    register(&product, upstream.url().as_str(), &Value::Null).await;
    until_status(&product, 401).await;
    assert_eq!(called_by_a_stranger(&product, &key, "1").await, 200);
    issuer.answers(Reply::status(503));
    let other = json!({ "id": "other", "url": upstream.url(), "scope": "docs:read" });
    assert_eq!(administer(&product, "POST", "/api/servers", &other).await.status, 201);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while product.send(post(None, "{}").path("/servers/other/mcp")).await.status != 401 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(called_by_a_stranger(&product, &key, "2").await, 200);
    assert_eq!(issuer.count(), 1);
}

#[tokio::test]
async fn the_last_server_that_is_taken_out_takes_no_keys_along() {
    let (upstream, key) = (FakeHttp::start(Reply::json(LIST)).await, SigningKey::ec());
    let (product, issuer) = with_an_issuer(&key).await;
    register(&product, upstream.url().as_str(), &Value::Null).await;
    until_status(&product, 401).await;
    assert_eq!(called_by_a_stranger(&product, &key, "1").await, 200);
    issuer.answers(Reply::status(503));
    for (change, status) in [("disable", 404), ("enable", 401)] {
        administer(&product, "POST", &format!("/api/servers/docs/{change}"), &Value::Null).await;
        until_status(&product, status).await;
    }
    assert_eq!(called_by_a_stranger(&product, &key, "2").await, 200);
    assert_eq!(issuer.count(), 1);
}
