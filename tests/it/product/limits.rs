//! Limits as a client meets them: 429, `Retry-After`, the body, the audit log.

use std::sync::Arc;

use mcp_auth_broker::app::App;
use mcp_auth_broker::config::{Environment, Sources, load};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::SystemClock;
use serde_json::json;

use crate::support::product::{EXECUTE, Product, WIRES, Wire};
use crate::support::raw_http::Answer;

const TOOL: &str = "get_public_info";

async fn call(product: &Product, wire: Wire, token: &str, tool: &str) -> Answer {
    product.rpc(wire, token, "tools/call", json!({ "name": tool, "arguments": {} })).await
}

async fn statuses(product: &Product, token: &str, tool: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(call(product, Wire::Modern, token, tool).await.status);
    }
    statuses
}

// MCP 2026-07-28 server/tools §Security Considerations — RS-26
#[tokio::test]
async fn a_client_over_its_limit_gets_429_in_every_revision() {
    let product = Product::start("[limits]\nper_client = \"1/day\"").await;
    let token = product.token(&["public:read"]);
    assert_eq!(call(&product, Wire::Modern, &token, TOOL).await.status, 200);
    for wire in WIRES {
        let answer = call(&product, wire, &token, TOOL).await;
        assert_eq!(answer.status, 429, "{wire:?}");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((86_000..=86_400).contains(&seconds), "{seconds}");
        let error = &answer.json()["error"];
        assert_eq!(error["data"]["code"], "policy.rate_limited", "{error}");
        assert_eq!(error["data"]["retryable"], true);
        assert!(error["data"]["request_id"].is_string(), "{error}");
        assert_eq!(error["data"]["retry_after_ms"].as_u64().unwrap().div_ceil(1000), seconds);
        assert!(
            answer.json()["id"].is_number() || answer.json()["id"].is_string(),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_call_over_the_limit_ends_once_in_the_audit_log() {
    let product = Product::start("[limits]\nper_client = \"1/day\"").await;
    let token = product.token(&["public:read"]);
    assert_eq!(statuses(&product, &token, TOOL, 2).await, [200, 429]);
    let ended =
        product.audited(|event| event["payload"]["error_code"] == "policy.rate_limited").await;
    assert_eq!(ended["event_type"], "result.emitted");
    assert_eq!(ended["payload"]["tool_name"], TOOL);
    assert_eq!(ended["payload"]["decision"], "allow");
    assert_eq!(ended["payload"]["question"]["tool"], TOOL);
    crate::support::audit::assert_one_terminal_per_request(&product.audit_lines());
}

#[tokio::test]
async fn one_clients_burst_leaves_another_client_alone() {
    let product = Product::start("[limits]\nper_client = \"2/day\"").await;
    let one =
        product.token_with(&["public:read"], |token| token.client_id = "one".parse().unwrap());
    let two =
        product.token_with(&["public:read"], |token| token.client_id = "two".parse().unwrap());
    assert_eq!(statuses(&product, &one, TOOL, 4).await, [200, 200, 429, 429]);
    assert_eq!(statuses(&product, &two, TOOL, 1).await, [200]);
}

#[tokio::test]
async fn a_client_that_ignores_challenges_is_slowed_down_too() {
    let product = Product::start("[limits]\nper_client = \"2/day\"").await;
    let token = product.token(&["public:read"]);
    let statuses = statuses(&product, &token, "get_confidential_info", 3).await;
    assert_eq!(statuses, [403, 403, 429]);
}

/// RS-28: the limit of a tool must not tell that the tool exists.
#[tokio::test]
async fn the_limit_of_a_hidden_tool_is_not_felt() {
    let settings = format!("[limits]\n[[limits.tool]]\nname = \"{TOOL}\"\nrate = \"1/day\"");
    let product = Product::start(&settings).await;
    let shown = product.token(&["public:read"]);
    assert_eq!(statuses(&product, &shown, TOOL, 2).await, [200, 429]);
    assert_eq!(statuses(&product, &shown, "get_no_such_thing", 3).await, [200, 200, 200]);
    let elsewhere = product.token(&[]);
    let statuses = statuses(&product, &elsewhere, TOOL, 3).await;
    assert!(!statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn lists_are_not_tool_calls() {
    let product = Product::start("[limits]\nper_client = \"1/day\"").await;
    let token = product.token(&["public:read"]);
    for _ in 0..3 {
        assert_eq!(product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn nothing_is_limited_in_development_unless_asked_for() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    assert_eq!(statuses(&product, &token, TOOL, 20).await, [200; 20]);
}

#[tokio::test]
async fn a_limit_of_no_tool_is_a_fault_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[[limits.tool]]\nname = \"get_publik_info\"\nrate = \"1/s\"";
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let loaded = load(Sources {
        directory: directory.path().to_owned(),
        environment: Environment::default(),
        overrides: vec![format!("store.url=sqlite:{}/data/b.db", directory.path().display())],
        file: None,
    });
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let variables = mcp_auth_broker::secret::Environment::default();
    let built = Box::pin(App::build(loaded.config.unwrap(), variables, clock, random)).await;
    let error = built.unwrap_err().to_string();
    assert!(error.contains("get_publik_info") && error.contains("get_public_info"), "{error}");
}

// RS-26: over all callers, whoever they are; another tool's calls are no calls of the tenant.
#[tokio::test]
async fn a_tenant_over_its_limit_is_left_alone() {
    let product = Product::start("[limits]\nper_tenant = \"2/day\"").await;
    let ada = product.token(&["graph:read", "public:read"]);
    let eve = product.token_with(&["graph:read"], |token| {
        token.subject = "eve".parse().unwrap();
        token.client_id = "other".parse().unwrap();
    });
    let get =
        || json!({ "operation": { "method": "GET", "path": "/v1.0/users/ada@contoso.example" } });
    assert_eq!(product.graph(&ada, get()).await["status"], "ok");
    assert_eq!(product.graph(&eve, get()).await["status"], "ok");
    let params = json!({ "name": EXECUTE, "arguments": get() });
    let refused = product.rpc(Wire::Modern, &ada, "tools/call", params).await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert_eq!(refused.json()["error"]["data"]["code"], "policy.rate_limited");
    assert_eq!(call(&product, Wire::Modern, &ada, TOOL).await.status, 200);
}
