//! An audit log that cannot be written: nothing is done, nothing is said, and it heals by itself.

use serde_json::json;

use crate::support::child::{Served, command};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;
use crate::support::until::until;

async fn without_log() -> (Product, String) {
    let product = Product::start("[audit]\non_failure = \"deny\"").await;
    let token = product.token(&["graph:read", "public:read"]);
    std::fs::remove_dir_all(product.log_directory()).unwrap();
    // The first one finds out.
    product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    (product, token)
}

async fn is_ready(product: &Product, status: u16) {
    let is = async || (product.get("/ready").await.status == status).then_some(());
    until("/ready", is).await;
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
    is_ready(&product, 200).await;
    let answer = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    assert_eq!(answer.status, 200);
    assert!(product.event_types().contains(&"tools.listed".to_owned()));
}

#[tokio::test]
async fn a_request_waits_for_the_log_where_it_is_to_block() {
    let product = Product::start("[audit]\non_failure = \"block\"").await;
    let token = product.token(&["public:read"]);
    std::fs::remove_dir_all(product.log_directory()).unwrap();
    let waiting = product.rpc(Wire::Modern, &token, "tools/list", json!({}));
    let heals = async {
        is_ready(&product, 503).await;
        std::fs::create_dir(product.log_directory()).unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, heals);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(product.event_types(), ["auth.token.accepted", "tools.listed"]);
}

#[tokio::test]
async fn a_full_disk_stops_the_broker_s_answers_and_not_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[audit]\non_failure = \"deny\"\n[server]\ndrain_pause_ms = 0";
    let mut served = Served::start_on_a_small_disk(directory.path(), settings).await;
    let token = served.mint("public:read");
    let list = || mcp(Wire::Modern, Some(&token), "tools/list", json!({}));
    assert_eq!(served.send(list()).await.status, 200);
    let size = served.audit_lines().iter().map(|line| line.len() + 1).sum::<usize>();
    served.limit_files(&(size + 100).to_string());
    // The log is not durable: what was acknowledged last is in memory, and written once there is room.
    let refused = until("refused", async || {
        Some(served.send(list()).await).filter(|answer| answer.status != 200)
    })
    .await;
    assert!(refused.status == 503 && refused.body.contains("broker.unavailable"), "{refused:?}");
    let ready = Request::new("GET", "/ready");
    assert_eq!(served.send(ready.clone()).await.json()["failing"][0]["name"], "audit");
    served.limit_files("unlimited");
    let again = async || (served.send(ready.clone()).await.status == 200).then_some(());
    until("ready again", again).await;
    assert_eq!(served.send(list()).await.status, 200);
    served.terminate();
    assert!(served.ended().await.success(), "{}", served.stderr());
    for line in served.audit_lines() {
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
    let log = directory.path().join("audit.jsonl").display().to_string();
    assert!(command(directory.path(), &["audit", "tail", "--file", &log]).status.success());
}

/// As where a log driver blocks: a write to it does not return.
#[tokio::test]
async fn an_output_that_nobody_reads_makes_the_broker_unready_and_keeps_nothing_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let settings =
        "[audit]\non_failure = \"deny\"\nqueue_length = 64\n[server]\ndrain_pause_ms = 0";
    let (mut served, mut unread) = Served::start_unread(directory.path(), settings).await;
    let token = served.mint("public:read");
    let list = || mcp(Wire::Modern, Some(&token), "tools/list", json!({}));
    let mut answered = 0;
    while served.send(list()).await.status == 200 {
        answered += 1;
    }
    let ready = Request::new("GET", "/ready");
    let failing = until("unready", async || {
        Some(served.send(ready.clone()).await).filter(|answer| answer.status == 503)
    })
    .await;
    assert_eq!(failing.json()["failing"][0]["name"], "audit");
    let listed =
        || served.audit_lines().iter().filter(|line| line.contains("tools.listed")).count();
    until("the file has all", async || (listed() >= answered).then_some(())).await;
    let reader = std::thread::spawn(move || std::io::copy(&mut unread, &mut std::io::sink()));
    let again = async || (served.send(ready.clone()).await.status == 200).then_some(());
    until("ready again", again).await;
    assert_eq!(served.send(list()).await.status, 200);
    served.terminate();
    assert!(served.ended().await.success(), "{}", served.stderr());
    reader.join().unwrap().unwrap();
}
