//! Limits of two brokers that share one PostgreSQL.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::json;

use crate::store::postgres::{self, Cluster};
use crate::support::product::{Product, Wire, mcp};

const HOST: &str = "broker.example";

/// One of several brokers under one name.
async fn replica(database: &str, limits: &str) -> Product {
    let settings = format!(
        "[server]\npublic_url = \"https://{HOST}\"\n[store]\nkey_encryption_key = \"{}\"\n[limits]\n{limits}",
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    );
    let overrides = [format!("store.url={database}")];
    Product::start_in(tempfile::tempdir().unwrap(), &settings, &overrides).await
}

/// The status of one call through this broker.
async fn call(product: &Product, token: &str) -> u16 {
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let request = mcp(Wire::Modern, Some(token), "tools/call", params).header("host", HOST);
    product.send(request).await.status
}

/// What passes of so many calls, through one broker after the other.
async fn passed(replicas: &[&Product], token: &str, calls: usize) -> usize {
    let mut passed = 0;
    for (_, product) in (0..calls).zip(replicas.iter().cycle()) {
        match call(product, token).await {
            200 => passed += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    passed
}

// RS-26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_let_through_what_the_limit_says() {
    let database = postgres::database();
    let (one, two) = tokio::join!(
        replica(&database, "per_client = \"10/day\""),
        replica(&database, "per_client = \"10/day\""),
    );
    let token = one.token(&["public:read"]);
    assert_eq!(passed(&[&one, &two], &token, 30).await, 10);
    let other =
        one.token_with(&["public:read"], |token| token.client_id = "other".parse().unwrap());
    assert_eq!(passed(&[&two, &one], &other, 12).await, 10, "another client has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_share_one_limit_too() {
    let database = postgres::database();
    let limit = "[[limits.tool]]\nname = \"get_public_info\"\nrate = \"7/day\"";
    let (one, two) = tokio::join!(replica(&database, limit), replica(&database, limit));
    let token = one.token(&["public:read"]);
    let calls = (0..24).map(|n| call(if n % 2 == 0 { &one } else { &two }, &token));
    let statuses = futures_util::future::join_all(calls).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_each_limit_does_what_its_setting_says() {
    let mut cluster = Cluster::start();
    let (open_at, closed_at) = (cluster.database(), cluster.database());
    let open = replica(&open_at, "per_client = \"3/day\"").await;
    let closed =
        replica(&closed_at, "per_client = \"3/day\"\nclient_on_store_failure = \"closed\"").await;
    let (to_open, to_closed) = (open.token(&["public:read"]), closed.token(&["public:read"]));
    cluster.command("stop");
    assert_eq!(passed(&[&open], &to_open, 5).await, 3, "it counts for itself");
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let request = mcp(Wire::Modern, Some(&to_closed), "tools/call", params).header("host", HOST);
    let refused = closed.send(request).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(refused.json()["error"]["data"]["code"], "broker.unavailable");
    assert_eq!(refused.header("retry-after"), "5");
    cluster.command("start");
    let deadline = SystemClock.now().plus_seconds(30);
    while call(&closed, &to_closed).await != 200 {
        assert!(SystemClock.now() < deadline, "it is back");
    }
}
