//! A clock that is wrong by an hour, in either direction, before and after a restart: it opens nothing.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::id::ApprovalId;
use mcp_auth_broker::store::{ApprovalAnswer, Database, StoreSettings, open};
use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock, Timestamp};
use serde_json::{Value, json};

use super::approvals::{asked, delete};
use crate::support::child::command;
use crate::support::product::{EXECUTE, Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

const HOUR: i64 = 3600;
/// Under one name, so that who asks is the same after a restart.
const HOST: &str = "broker.example";
const SETTINGS: &str =
    "policy.file = \"policy.toml\"\nserver.public_url = \"https://broker.example\"";

/// Monday 23 November 2026, half past ten.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_429_800);

async fn start(directory: tempfile::TempDir, settings: &str, clock: &Arc<FixedClock>) -> Product {
    Product::start_in_at(directory, settings, Arc::<FixedClock>::clone(clock)).await
}

async fn with_rules(rules: &str, clock: &Arc<FixedClock>) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    start(directory, SETTINGS, clock).await
}

/// The broker once more, on the same store, with what its clock says now.
async fn restarted(product: Product, at: Timestamp) -> (Product, Arc<FixedClock>) {
    let clock = Arc::new(FixedClock::at(at));
    (start(product.into_directory().await, SETTINGS, &clock).await, clock)
}

/// Good for a day around each of the times here.
fn token(product: &Product, scopes: &[&str], at: Timestamp) -> String {
    product.token_with(scopes, |token| {
        token.issued_at = at.plus_seconds(-60);
        token.expires_at = at.plus_seconds(600);
    })
}

async fn store(product: &Product) -> Arc<dyn Database> {
    let path = product.directory.path().join("data/broker.db");
    open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap()
}

/// A broker with a question about one call that was approved after a minute, and its id.
async fn approved(clock: &Arc<FixedClock>) -> (Product, String) {
    let rules = r#"
        [[rule]]
        id = "delete"
        effect = "ask"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        graph = { methods = ["DELETE"], paths = ["/v1.0/users/{id}"], permissions = ["User.ReadWrite.All"] }
        "#;
    let product = with_rules(rules, clock).await;
    let id = asked(&deletes(&product, clock.now()).await);
    clock.advance(Duration::from_mins(1));
    let answer = ApprovalAnswer {
        approver: "lena".parse().unwrap(),
        approved: true,
        comment: None,
        at: clock.now(),
    };
    let known: ApprovalId = id.parse().unwrap();
    assert!(store(&product).await.answer_approval(known, &answer).await.unwrap());
    (product, id)
}

/// What the one call is answered.
async fn deletes(product: &Product, at: Timestamp) -> Value {
    let params = json!({ "name": EXECUTE, "arguments": delete("grace@contoso.example") });
    call(product, &token(product, &[], at), params).await.json()["result"]["structuredContent"]
        .clone()
}

async fn call(product: &Product, token: &str, params: Value) -> Answer {
    product.send(mcp(Wire::Modern, Some(token), "tools/call", params).header("host", HOST)).await
}

async fn is_asked_again(product: &Product, at: Timestamp, id: &str) -> bool {
    asked(&deletes(product, at).await) != id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_late_is_not_brought_back_by_a_clock_that_is_set_back() {
    // To before it was asked, to before it was answered, and to when it held.
    for back in [HOUR, 590, 300] {
        let clock = Arc::new(FixedClock::at(NOW));
        let (product, id) = approved(&clock).await;
        clock.advance(Duration::from_secs(541));
        // What a broker does each half minute.
        store(&product).await.clean_up(clock.now()).await.unwrap();
        let then = clock.now().plus_seconds(-back);
        let (product, _clock) = restarted(product, then).await;
        assert!(is_asked_again(&product, then, &id).await, "{back} s back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_late_for_a_clock_that_is_an_hour_ahead() {
    let clock = Arc::new(FixedClock::at(NOW));
    let (product, id) = approved(&clock).await;
    let then = clock.now().plus_seconds(HOUR);
    let (product, _clock) = restarted(product, then).await;
    assert!(is_asked_again(&product, then, &id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_step_an_approval_outlives_a_restart() {
    let clock = Arc::new(FixedClock::at(NOW));
    let (product, _) = approved(&clock).await;
    let (product, clock) = restarted(product, clock.now()).await;
    let reply = deletes(&product, clock.now()).await;
    assert_eq!(reply["status"], "ok", "{reply:#}");
}

const FROM_ELEVEN: &str = r#"
    [[rule]]
    id = "from-eleven-to-twelve"
    effect = "allow"
    tools = ["get_public_info"]
    when = "now.getHours('UTC') == 11"
    "#;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_an_hour_opens_no_window_of_a_rule() {
    let clock = Arc::new(FixedClock::at(NOW));
    let product = with_rules(FROM_ELEVEN, &clock).await;
    assert!(!is_served(&product, NOW).await, "half past ten");
    clock.step_wall(NOW.plus_seconds(HOUR));
    assert!(!is_served(&product, NOW.plus_seconds(HOUR)).await, "set forward");
    // What the clock says at the start is all that a broker knows.
    let eleven = NOW.plus_seconds(HOUR);
    let (product, clock) = restarted(product, eleven).await;
    assert!(is_served(&product, eleven).await, "half past eleven");
    clock.step_wall(NOW);
    assert!(!is_served(&product, NOW).await, "set back to half past ten");
    clock.step_wall(eleven);
    clock.advance(Duration::from_hours(1));
    clock.step_wall(eleven);
    assert!(!is_served(&product, eleven).await, "set back into the window");
}

// A reload looks at rules, and nobody has said that the clock is right by now.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_step_that_is_followed_by_a_reload() {
    let clock = Arc::new(FixedClock::at(NOW));
    let product = with_rules(FROM_ELEVEN, &clock).await;
    let ready =
        async || product.send(Request::new("GET", "/ready").header("host", HOST)).await.body;
    assert!(!ready().await.contains("clock"), "{}", ready().await);
    let eleven = NOW.plus_seconds(HOUR);
    clock.step_wall(eleven);
    let told = ready().await;
    assert!(told.contains("\"clock\"") && told.contains("stepped by 3600 s"), "{told}");
    let more = "[[rule]]\nid = \"more\"\neffect = \"deny\"\ntools = [\"other\"]\n";
    std::fs::write(product.directory.path().join("policy.toml"), format!("{FROM_ELEVEN}{more}"))
        .unwrap();
    product.audited(|event| event["event_type"] == "config.reloaded").await;
    assert!(!is_served(&product, eleven).await, "an edit trusts no clock");
    let event =
        product.audited(|event| event["payload"]["reason"] == "policy.rule.deny.default").await;
    assert_eq!(event["payload"]["question"]["clock_step_ms"], 3_600_000, "{event:#}");
    let id = event["event_id"].as_str().unwrap();
    let explain = command(
        product.directory.path(),
        &["policy", "explain", "--event", id, "--log", "log/audit.jsonl", "--json"],
    );
    let told: Value = serde_json::from_slice(&explain.stdout).unwrap();
    assert_eq!((&told["certain"], &told["decision"]["effect"]), (&json!(true), &json!("deny")));
    clock.step_wall(NOW);
    assert!(!ready().await.contains("stepped"), "set right");
}

async fn is_served(product: &Product, at: Timestamp) -> bool {
    let token = token(product, &[], at);
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let answer = call(product, &token, params).await;
    assert_ne!(answer.status, 401, "{}", answer.body);
    answer.json()["result"].is_object()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_an_hour_gives_no_calls_back() {
    let clock = Arc::new(FixedClock::at(NOW));
    let directory = tempfile::tempdir().unwrap();
    let product = start(
        directory,
        "limits.per_client = \"2/day\"\nserver.public_url = \"https://broker.example\"",
        &clock,
    )
    .await;
    let mut passed = Vec::new();
    for step in [0, 0, HOUR, -HOUR, 0] {
        let at = NOW.plus_seconds(step);
        clock.step_wall(at);
        let token = token(&product, &["public:read"], at);
        let params = json!({ "name": "get_public_info", "arguments": {} });
        passed.push(call(&product, &token, params).await.status);
    }
    assert_eq!(passed, [200, 200, 429, 429, 429]);
}
