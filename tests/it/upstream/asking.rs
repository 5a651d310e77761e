//! A call of a server's tool that waits for a person, by a client of 2026-07-28 whose user is sent to the page.

use std::sync::Arc;

use mcp_auth_broker::store::{ApprovalAnswer, StoreSettings, open};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::behind::{PATH, broker, token};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, post};

const ASKS: &str =
    "[[rule]]\nid = \"weather.delete\"\neffect = \"ask\"\ntools = ['weather\\.delete_city']\n";
const DONE: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"resultType":"complete"}}"#;
const QUESTION: &str = "mcp-auth-broker/approval";
const LINKS: &str = r#"{ "elicitation": { "url": {} } }"#;

async fn start() -> (FakeHttp, Product) {
    let fake = FakeHttp::start(Reply::json(DONE)).await;
    let product = broker(fake.url().as_str(), "", ASKS).await;
    (fake, product)
}

/// What a client with these capabilities gets for a call of this city, with these members beside.
async fn send(
    product: &Product,
    (token, capabilities): (&str, &str),
    city: &str,
    back: &Value,
) -> Value {
    let capabilities: Value = serde_json::from_str(capabilities).unwrap();
    let mut params = json!({
        "name": "delete_city",
        "arguments": { "city": city },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        },
    });
    for (name, value) in back.as_object().unwrap() {
        params[name] = value.clone();
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let request = post(Some(token), body.to_string())
        .path(PATH)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "delete_city");
    product.send(request).await.json()["result"].clone()
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["error"]["code"].as_str().unwrap_or("none")
}

fn answered(action: &Value, state: &Value) -> Value {
    json!({ "inputResponses": { QUESTION: action }, "requestState": state })
}

async fn approve(product: &Product, required: &Value) {
    let url = required["inputRequests"][QUESTION]["params"]["url"].as_str().unwrap();
    let id = url.strip_prefix(&product.url("/approvals/")).unwrap().parse().unwrap();
    let path = product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let (approver, at) = ("lena".parse().unwrap(), SystemClock.now());
    let answer = ApprovalAnswer { approver, approved: true, comment: None, at };
    assert!(store.answer_approval(id, &answer).await.unwrap());
}

// The server is asked once, for the call that was approved, and never sees the answer to a question of ours.
// MCP 2026-07-28 client/elicitation §Security Considerations — EL-1, EL-2, EL-6, EL-8
#[tokio::test]
async fn a_modern_client_that_opens_links_is_sent_to_the_page_once() {
    let (fake, product) = start().await;
    let token = token(&product, &[]);
    let call = async |back: &Value| send(&product, (&token, LINKS), "paris", back).await;
    let required = call(&json!({})).await;
    assert_eq!(required["resultType"], "input_required", "{required:#}");
    let question = &required["inputRequests"][QUESTION];
    assert_eq!(
        (&question["method"], &question["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url"))
    );
    let accept = answered(&json!({ "action": "accept" }), &required["requestState"]);
    // Saying that the person accepted is not the person's answer.
    assert_eq!(code(&call(&accept).await), "policy.approval_required");
    approve(&product, &required).await;
    assert!(fake.asked().is_empty());
    let done = call(&accept).await;
    assert!(done["content"].is_array(), "{done:#}");
    let asked = fake.asked();
    assert_eq!(asked.len(), 1);
    let sent: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(sent["params"]["arguments"], json!({ "city": "paris" }));
    let names: Vec<_> = sent["params"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["_meta", "arguments", "name"]);
    crate::support::audit::assert_one_terminal_per_request(&product.audit_lines());
}

// Who declines to go on has nothing done in their name, also where somebody approved it meanwhile.
// MCP 2026-07-28 client/elicitation §Security Considerations — EL-7
#[tokio::test]
async fn a_declined_question_spends_no_approval_and_runs_nothing() {
    let (fake, product) = start().await;
    let token = token(&product, &[]);
    let call = async |back: &Value| send(&product, (&token, LINKS), "paris", back).await;
    let required = call(&json!({})).await;
    let state = &required["requestState"];
    approve(&product, &required).await;
    for no in
        [json!({ "action": "decline" }), json!({ "action": "cancel" }), json!({}), json!("accept")]
    {
        let refused = call(&answered(&no, state)).await;
        assert_eq!(code(&refused), "policy.denied", "{no}: {refused}");
    }
    assert!(fake.asked().is_empty());
    assert!(!product.event_types().iter().any(|kind| kind == "approval.used"));
    let done = call(&answered(&json!({ "action": "accept" }), state)).await;
    assert!(done["content"].is_array(), "{done:#}");
}

// Replayed, altered, by another caller: refused, and the approval is there for the call it was given for.
// MCP 2026-07-28 basic/patterns/mrtr §Server Requirements — RS-33
#[tokio::test]
async fn a_request_state_is_good_for_its_own_call_and_for_nothing_else() {
    let (fake, product) = start().await;
    let ada = token(&product, &[]);
    let eve = product.token_with(&[], |token| {
        token.audience = product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let required = send(&product, (&ada, LINKS), "paris", &json!({})).await;
    approve(&product, &required).await;
    let state = &required["requestState"];
    let accept = |state: &Value| answered(&json!({ "action": "accept" }), state);
    let forged = [json!(""), json!("x"), json!(7), json!([state])];
    for forged in forged {
        let refused = send(&product, (&ada, LINKS), "paris", &accept(&forged)).await;
        assert_eq!(code(&refused), "policy.denied", "{forged}: {refused}");
    }
    for (who, city) in [(&ada, "rome"), (&eve, "paris")] {
        let refused = send(&product, (who, LINKS), city, &accept(state)).await;
        assert_eq!(code(&refused), "policy.denied", "{city}: {refused}");
    }
    assert!(fake.asked().is_empty());
    let done = send(&product, (&ada, LINKS), "paris", &accept(state)).await;
    assert!(done["content"].is_array(), "{done:#}");
    let again = send(&product, (&ada, LINKS), "paris", &accept(state)).await;
    assert_eq!((code(&again), fake.asked().len()), ("policy.denied", 1));
}

// EL-2: who does not say that it opens links is told where the page is, and no more.
#[tokio::test]
async fn other_clients_and_calls_that_answer_the_server_get_the_link_as_a_result() {
    let (fake, product) = start().await;
    let token = token(&product, &[]);
    for without in ["{}", r#"{ "elicitation": {} }"#, r#"{ "elicitation": { "form": {} } }"#] {
        let waits = send(&product, (&token, without), "paris", &json!({})).await;
        assert_eq!(code(&waits), "policy.approval_required", "{without}: {waits}");
    }
    for back in [json!({ "inputResponses": { "who": {} } }), json!({ "requestState": "theirs" })] {
        let waits = send(&product, (&token, LINKS), "paris", &back).await;
        assert_eq!(code(&waits), "policy.approval_required", "{back}: {waits}");
    }
    assert!(fake.asked().is_empty());
}
