//! Rules that are only tried out, beside those in force.

use serde_json::{Value, json};

use crate::support::product::{Product, Wire};
use crate::support::raw_http::Request;

use super::policy_reload::{
    ADA, TOOL, administrator, events, is_degraded, is_of, ready, reload, rules, write,
};

/// A broker whose rules allow, and whose shadow does `effect`.
async fn with_shadow(effect: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "policy.toml", &rules("live", "allow"));
    write(directory.path(), "shadow.toml", &rules("shadow", effect));
    let settings = "[policy]\nfile = \"policy.toml\"\nshadow_file = \"shadow.toml\"";
    Product::start_in(directory, settings, &[]).await
}

#[tokio::test]
async fn a_broken_shadow_keeps_the_rules_and_the_shadow_as_they_were() {
    let product = with_shadow("deny").await;
    write(product.directory.path(), "shadow.toml", "[[rule]]");
    let degraded = ready(&product, is_degraded).await;
    assert!(is_of(&degraded["facts"]["policy_version"], "live"), "{degraded}");
    assert!(is_of(&degraded["facts"]["shadow_policy_version"], "shadow"), "{degraded}");
}

#[tokio::test]
async fn a_shadow_that_differs_is_audited_and_never_changes_the_answer() {
    let product = with_shadow("deny").await;
    let token = product.token(&[]);
    assert_eq!(product.graph_get(&token, ADA).await["status"], "ok");
    let plain = product.call(&token, TOOL, json!({})).await;
    assert_ne!(plain["result"]["isError"], true, "{plain}");
    assert!(plain["result"]["content"].is_array(), "{plain}");
    let differed = events(&product, "policy.shadow.differed");
    let tools: Vec<_> = differed.iter().map(|event| &event["payload"]["tool_name"]).collect();
    assert_eq!(tools, ["auth.graph.operation.execute.v1", TOOL]);
    for (event, rule) in differed.iter().zip(["user", "plain"]) {
        let payload = &event["payload"];
        assert_eq!(
            (&payload["decision"], &payload["shadow_decision"]),
            (&json!("allow"), &json!("deny"))
        );
        assert_eq!(payload["shadow_reason"], format!("policy.rule.deny.{rule}"), "{event}");
        assert!(is_of(&payload["policy_version"], "live"), "{event}");
        assert!(is_of(&payload["shadow_policy_version"], "shadow"), "{event}");
    }
    assert_eq!(product.get("/ready").await.json()["facts"]["shadow_differences"], 2);
}

#[tokio::test]
async fn a_shadow_that_allows_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let stricter = rules("live", "allow").replace("/v1.0/users/{id}", "/v1.0/groups/{id}");
    write(directory.path(), "policy.toml", &stricter);
    write(directory.path(), "shadow.toml", &rules("shadow", "allow"));
    let settings = "[policy]\nfile = \"policy.toml\"\nshadow_file = \"shadow.toml\"";
    let product = Product::start_in(directory, settings, &[]).await;
    let refused = product.graph_get(&product.token(&[]), ADA).await;
    assert_eq!(refused["error"]["code"], "policy.denied", "{refused}");
    let differed = events(&product, "policy.shadow.differed");
    assert_eq!(differed[0]["payload"]["shadow_decision"], "allow", "{differed:#?}");
}

#[tokio::test]
async fn a_shadow_that_agrees_says_nothing() {
    let product = with_shadow("allow").await;
    let token = product.token(&[]);
    assert_eq!(product.graph_get(&token, ADA).await["status"], "ok");
    product.call(&token, TOOL, json!({})).await;
    assert_eq!(events(&product, "policy.shadow.differed").len(), 0);
    assert_eq!(product.get("/ready").await.json()["facts"]["shadow_differences"], 0);
}

#[tokio::test]
async fn an_edited_shadow_is_tried_out_without_a_restart() {
    let product = with_shadow("allow").await;
    write(product.directory.path(), "shadow.toml", &rules("stricter", "deny"));
    ready(&product, |ready| is_of(&ready["facts"]["shadow_policy_version"], "stricter")).await;
    let reloaded = events(&product, "config.reloaded").pop().unwrap();
    assert!(is_of(&reloaded["payload"]["shadow_policy_version"], "stricter"), "{reloaded}");
    assert_eq!(product.graph_get(&product.token(&[]), ADA).await["status"], "ok");
    assert_eq!(events(&product, "policy.shadow.differed").len(), 1);
}

/// Who is to promote them sees where they differ; others that take their place begin anew.
#[tokio::test]
async fn an_administrator_sees_where_the_shadow_differs() {
    let product = with_shadow("deny").await;
    let admin = administrator(&product).await;
    for _ in 0..2 {
        product.call(&product.token(&[]), TOOL, json!({})).await;
    }
    let shown = || async {
        let shown = Request::new("GET", "/api/v1/policy");
        product.send(shown.header("authorization", &format!("Bearer {admin}"))).await.json()
    };
    let view = shown().await;
    let kind = &view["shadow_kinds"][0];
    assert_eq!((&view["shadow_differences"], &kind["count"]), (&json!(2), &json!(2)), "{view:#}");
    assert_eq!((&kind["tool"], &kind["decision"]), (&json!(TOOL), &json!("allow")));
    assert_eq!(kind["shadow_reason"], "policy.rule.deny.plain");
    write(product.directory.path(), "shadow.toml", &rules("next", "deny"));
    assert_eq!(reload(&product, &admin).await.status, 200);
    assert_eq!(shown().await["shadow_kinds"], json!([]));
}

/// A freeze, of all things, is not to wait until somebody mends rules that answer nobody.
#[tokio::test]
async fn a_freeze_is_in_force_whatever_the_shadow_file_holds() {
    let running = with_shadow("allow").await;
    write(running.directory.path(), "shadow.toml", "[[rule]");
    ready(&running, is_degraded).await;
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "policy.toml", &rules("live", "allow"));
    let settings = "[policy]\nfile = \"policy.toml\"\nshadow_file = \"missing.toml\"";
    for product in [running, Product::start_in(directory, settings, &[]).await] {
        let token = product.token(&[]);
        assert_eq!(product.graph_get(&token, ADA).await["status"], "ok");
        write(product.directory.path(), "policy.toml", &rules("freeze", "deny"));
        let frozen = |told: &Value| is_of(&told["facts"]["policy_version"], "freeze");
        ready(&product, frozen).await;
        // What is denied to a caller is not there for them.
        let listed = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
        assert!(!listed.body.contains("graph.operation.execute"), "{}", listed.body);
        let degraded = ready(&product, is_degraded).await;
        assert!(degraded["facts"]["shadow_policy_version"].is_null(), "{degraded}");
    }
}

/// What is shown then is which rules are in force, and what is wrong beside them.
#[tokio::test]
async fn a_reload_of_rules_beside_a_broken_shadow_puts_them_in_force() {
    let product = with_shadow("allow").await;
    let admin = administrator(&product).await;
    write(product.directory.path(), "shadow.toml", "[[rule]");
    write(product.directory.path(), "policy.toml", &rules("freeze", "deny"));
    reload(&product, &admin).await;
    let shown = Request::new("GET", "/api/v1/policy");
    let shown = product.send(shown.header("authorization", &format!("Bearer {admin}"))).await;
    assert!(is_of(&shown.json()["policy_version"], "freeze"), "{}", shown.body);
    assert!(shown.json()["fault"].as_str().unwrap().contains("shadow.toml"), "{}", shown.body);
}

// Who only lists, and never calls, sees the difference first.
#[tokio::test]
async fn a_shadow_that_lists_otherwise_is_counted_and_audited_once_for_each_kind() {
    let product = with_shadow("deny").await;
    let token = product.token(&[]);
    for lists in 1..=3 {
        product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
        let differed = events(&product, "policy.shadow.differed");
        assert!(!differed.is_empty());
        let payload = &differed[0]["payload"];
        assert_eq!(
            (&payload["decision"], &payload["shadow_decision"]),
            (&json!("allow"), &json!("deny"))
        );
        let counted = product.get("/ready").await.json()["facts"]["shadow_differences"].clone();
        assert_eq!(counted, differed.len() * lists, "{differed:#?}");
    }
}

/// Rules that change no answer keep nobody from starting.
#[tokio::test]
async fn shadow_rules_with_a_fault_are_none_at_a_start_and_count_once_mended() {
    for broken in [Some("[[rule]"), None] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "policy.toml", &rules("live", "allow"));
        if let Some(text) = broken {
            write(directory.path(), "shadow.toml", text);
        }
        let settings = "[policy]\nfile = \"policy.toml\"\nshadow_file = \"shadow.toml\"";
        let product = Product::start_in(directory, settings, &[]).await;
        let degraded = ready(&product, is_degraded).await;
        assert!(degraded["facts"]["shadow_policy_version"].is_null(), "{degraded}");
        write(product.directory.path(), "shadow.toml", &rules("shadow", "deny"));
        let mended = |told: &Value| is_of(&told["facts"]["shadow_policy_version"], "shadow");
        assert!(!is_degraded(&ready(&product, mended).await));
    }
}
