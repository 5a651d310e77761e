//! What `/ready` says while something is away.

use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};

async fn ready_with(product: &Product, wanted: u16) -> Value {
    loop {
        let ready = product.get("/ready").await;
        if ready.status == wanted {
            return ready.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
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
    assert!(call().await.body.contains("provider.unavailable"));
    let ready = product.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
    let away = json!([{ "name": "upstream weather", "reason": "no answer; calls get provider.unavailable" }]);
    assert_eq!(ready.json()["degraded"], away);
    weather.answers(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#));
    assert_eq!(call().await.status, 200);
    assert_eq!(product.get("/ready").await.json()["degraded"], json!([]));
}
