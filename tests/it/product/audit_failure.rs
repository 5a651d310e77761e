//! An audit log that cannot be written: nothing is done, nothing is said, and it heals by itself.

use serde_json::json;

use crate::support::product::{Product, Wire};

async fn without_log() -> (Product, String) {
    let product = Product::start("[audit]\non_failure = \"deny\"").await;
    let token = product.token(&["graph:read", "public:read"]);
    std::fs::remove_dir_all(product.log_directory()).unwrap();
    // The first one finds out.
    product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    (product, token)
}

#[tokio::test]
async fn without_an_audit_log_nothing_is_answered() {
    let (product, token) = without_log().await;
    for (token, method) in
        [(token.as_str(), "tools/list"), (&token, "ping"), ("garbage", "tools/list")]
    {
        let answer = product.rpc(Wire::Modern, token, method, json!({})).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.body.contains("broker.unavailable"), "{answer:?}");
    }
    let operation = json!({ "method": "GET", "path": "/v1.0/users" });
    let call = json!({ "name": "auth.graph.operation.execute.v1", "arguments": { "operation": operation } });
    let answer = product.rpc(Wire::Modern, &token, "tools/call", call).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.body.contains("contoso"));
}

#[tokio::test]
async fn readiness_names_the_audit_log() {
    let (product, _) = without_log().await;
    let ready = product.get("/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["failing"][0]["name"], "audit");
    assert_eq!(product.get("/health").await.status, 200);
}

#[tokio::test]
async fn when_the_disk_works_again_so_does_the_broker() {
    let (product, token) = without_log().await;
    std::fs::create_dir(product.log_directory()).unwrap();
    while product.get("/ready").await.status != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let answer = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    assert_eq!(answer.status, 200);
    assert!(product.event_types().contains(&"tools.listed".to_owned()));
}
