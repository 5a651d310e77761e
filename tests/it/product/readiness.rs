//! What `/ready` says while something is away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;
use crate::support::tokens::SigningKey;
use crate::support::until::until;

async fn ready_with(product: &Product, wanted: u16) -> Value {
    until("/ready", async || {
        let ready = product.get("/ready").await;
        (ready.status == wanted).then(|| ready.json())
    })
    .await
}

/// The same token with a key that nobody has heard of: the broker looks at its keys anew.
fn by_another_key(token: &str) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let mut header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"] = json!("another");
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn no_signing_key_that_can_be_opened_makes_the_broker_unready() {
    let product = Product::dev().await;
    let path = product.directory.path().join("data/broker.db");
    let store = rusqlite::Connection::open(path).unwrap();
    store.execute_batch("UPDATE signing_keys SET private = x'7b7d'").unwrap();
    let token = by_another_key(&product.token(&["public:read"]));
    let refused = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    assert_eq!(refused.status, 401);
    let ready = ready_with(&product, 503).await;
    assert_eq!(ready["failing"][0]["name"], "signing keys");
}

#[tokio::test]
async fn an_issuer_that_only_a_server_behind_us_needs_is_degraded_too() {
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[resource_server.issuer]]\nissuer = \"https://login.example\"\njwks_uri = \"http://127.0.0.1:1/keys\"\n[[upstream.server]]\nid = \"weather\"\nurl = \"http://127.0.0.1:1/mcp\"\nera = \"both\"\n";
    let product = Product::start(settings).await;
    let path = "/servers/weather/mcp";
    let claims = json!({ "iss": "https://login.example", "aud": product.url(path) });
    let token = SigningKey::ec().token("k1", claims);
    let list = mcp(Wire::Modern, Some(&token), "tools/list", json!({})).path(path);
    assert_eq!(product.send(list).await.status, 503);
    let degraded = product.get("/ready").await.json()["degraded"].clone();
    assert_eq!(degraded[0]["name"], "issuer https://login.example", "{degraded}");
    assert_eq!(degraded[1], Value::Null, "once");
}

#[tokio::test]
async fn a_store_that_does_not_answer_makes_the_broker_unready_until_it_does() {
    let product = Product::dev().await;
    let path = product.directory.path().join("data/broker.db");
    let store = rusqlite::Connection::open(path).unwrap();
    store.execute_batch("ALTER TABLE revocations RENAME TO away").unwrap();
    let ready = ready_with(&product, 503).await;
    assert_eq!(
        (&ready["status"], &ready["failing"][0]["name"]),
        (&json!("not_ready"), &json!("store"))
    );
    assert_eq!(product.get("/health").await.status, 200);
    store.execute_batch("ALTER TABLE away RENAME TO revocations").unwrap();
    assert_eq!(ready_with(&product, 200).await["failing"], json!([]));
}

/// As on a full disk: what is there can be read.
#[tokio::test]
async fn a_store_that_can_only_be_read_makes_the_broker_unready_until_it_can_be_written() {
    let product =
        Product::start("[authorization_server.administrators]\nsubjects = [\"ada\"]").await;
    let store =
        rusqlite::Connection::open(product.directory.path().join("data/broker.db")).unwrap();
    for (name, when) in [("a", "INSERT ON resources"), ("b", "UPDATE ON signing_keys")] {
        let full =
            format!("CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, 'x'); END");
        store.execute_batch(&full).unwrap();
    }
    let server = json!({ "id": "docs", "url": "https://docs.example/mcp", "scope": "docs:read" });
    let authorization = format!("Bearer {}", product.token(&["broker:admin"]));
    let request = Request::new("POST", "/api/servers").header("authorization", &authorization);
    let request = request.header("content-type", "application/json").body(server.to_string());
    assert!(product.send(request).await.status >= 500);
    assert_eq!(ready_with(&product, 503).await["failing"][0]["name"], "store");
    // Reads go on meanwhile, many times over.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(product.get("/ready").await.status, 503);
    store.execute_batch("DROP TRIGGER a; DROP TRIGGER b").unwrap();
    ready_with(&product, 200).await;
}

#[tokio::test]
async fn a_server_behind_us_that_does_not_answer_is_degraded_until_it_does() {
    let weather = FakeHttp::start(Reply::status(503)).await;
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{}\"\nera = \"both\"\n[[upstream.server.tool]]\nname = \"get\"\nscopes = [\"w:r\"]\n",
        weather.url()
    );
    let product = Product::start(&settings).await;
    let path = "/servers/weather/mcp";
    let token = product.token_with(&["w:r"], |token| token.audience = product.url(path));
    let call = async || {
        let params = json!({ "name": "get", "arguments": {} });
        product.send(mcp(Wire::Modern, Some(&token), "tools/call", params).path(path)).await
    };
    assert_eq!(product.get("/ready").await.json()["degraded"], json!([]));
    weather.answers(Reply::status(500));
    assert!(call().await.body.contains("provider.unavailable"));
    let degraded = product.get("/ready").await.json()["degraded"].clone();
    assert_eq!(degraded, json!([]), "one call that it cannot take says nothing about the others");
    weather.answers(Reply::status(503));
    assert!(call().await.body.contains("provider.unavailable"));
    let ready = product.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
    let away = json!([{ "name": "upstream weather", "reason": "no answer; calls get provider.unavailable" }]);
    assert_eq!(ready.json()["degraded"], away);
    weather.answers(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#));
    assert_eq!(call().await.status, 200);
    assert_eq!(product.get("/ready").await.json()["degraded"], json!([]));
}
