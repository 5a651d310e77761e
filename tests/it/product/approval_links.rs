//! A call that waits for a person, by a client of 2026-07-28 whose user is sent to the page.

use serde_json::{Value, json};

use super::approvals::{answer, asked, delete, product};
use crate::support::product::{EXECUTE, Product, post};

/// A call by a modern client that opens links; `answered` says what its user did with ours.
async fn call_with_links(product: &Product, answered: Option<&Value>) -> Value {
    let mut back = json!({});
    if let Some(answered) = answered {
        back["inputResponses"] = json!({ "mcp-auth-broker/approval": answered });
    }
    send(product, &product.token(&[]), ("get_public_info", json!({})), &back).await
}

/// The same of any tool, with these members beside.
async fn send(
    product: &Product,
    token: &str,
    (tool, arguments): (&str, Value),
    back: &Value,
) -> Value {
    let mut params = json!({
        "name": tool,
        "arguments": arguments,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } },
        },
    });
    for (name, value) in back.as_object().unwrap() {
        params[name] = value.clone();
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let request = post(Some(token), body.to_string())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool);
    product.send(request).await.json()["result"].clone()
}

// Only a client that says so is sent to a page, and the link holds an id and nothing else.
// MCP 2026-07-28 client/elicitation §Security Considerations — EL-1, EL-2, EL-6, EL-8
#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_that_opens_links_is_sent_to_the_page_once() {
    let product = product().await;
    let required = call_with_links(&product, None).await;
    assert_eq!(required["resultType"], "input_required", "{required:#}");
    let asked = &required["inputRequests"]["mcp-auth-broker/approval"];
    assert_eq!(asked["method"], "elicitation/create");
    assert_eq!(asked["params"]["mode"], "url");
    assert_eq!(asked["params"]["elicitationId"], Value::Null, "of 2025-11-25: {asked}");
    let url = asked["params"]["url"].as_str().unwrap();
    let id = url.strip_prefix(&product.url("/approvals/")).unwrap();
    // Saying that the person accepted is not the person's answer.
    let accepted = json!({ "action": "accept" });
    let waits = call_with_links(&product, Some(&accepted)).await;
    assert_eq!(waits["structuredContent"]["error"]["code"], "policy.approval_required", "{waits}");
    assert!(answer(&product, "approve", id, "lena").await.1);
    let done = call_with_links(&product, Some(&accepted)).await;
    assert_ne!(done["isError"], true, "{done:#}");
    assert!(done["content"].is_array(), "{done:#}");
}

// Who declines to go on has nothing done in their name, also where somebody approved it meanwhile.
// MCP 2026-07-28 client/elicitation §Security Considerations — EL-7
#[tokio::test(flavor = "multi_thread")]
async fn a_declined_question_spends_no_approval_and_runs_nothing() {
    let product = product().await;
    let token = product.token(&[]);
    let id = asked(
        &product.call(&token, "get_public_info", json!({})).await["result"]["structuredContent"],
    );
    assert!(answer(&product, "approve", &id, "lena").await.1);
    for no in
        [json!({ "action": "decline" }), json!({ "action": "cancel" }), json!({}), json!("accept")]
    {
        let refused = call_with_links(&product, Some(&no)).await;
        assert_eq!(
            refused["structuredContent"]["error"]["code"], "policy.denied",
            "{no}: {refused}"
        );
    }
    assert!(!product.event_types().iter().any(|kind| kind == "approval.used"));
    assert_eq!(refusals(&product), [(); 4].map(|()| (json!("declined"), Value::Null)));
    let done = call_with_links(&product, Some(&json!({ "action": "accept" }))).await;
    assert_ne!(done["isError"], true, "{done:#}");
    crate::support::audit::assert_one_terminal_per_request(&product.audit_lines());
}

/// The answer to our question with this request state.
fn accepted(state: &Value) -> Value {
    let accept = json!({ "mcp-auth-broker/approval": { "action": "accept" } });
    json!({ "inputResponses": accept, "requestState": state })
}

/// The class of each call that was refused, and the question that it was about.
fn refusals(product: &Product) -> Vec<(Value, Value)> {
    let all = product.audit().into_iter();
    let refused = all.filter(|event| event["event_type"] == "approval.refused");
    refused
        .map(|event| event["payload"].clone())
        .map(|all| (all["class"].clone(), all["approval"].clone()))
        .collect()
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["error"]["code"].as_str().unwrap_or("none")
}

// The state opens nothing, and is good for the very call that it came with: by another caller, altered or again it is refused.
// MCP 2026-07-28 basic/patterns/mrtr §Server Requirements — RS-33
#[tokio::test(flavor = "multi_thread")]
async fn a_request_state_is_good_for_its_own_call_and_for_nothing_else() {
    let product = product().await;
    let token = product.token(&[]);
    let call = (EXECUTE, delete("grace@contoso.example"));
    let required = send(&product, &token, call.clone(), &json!({})).await;
    let state = required["requestState"].clone();
    let url = required["inputRequests"]["mcp-auth-broker/approval"]["params"]["url"].as_str();
    let id = url.unwrap().rsplit('/').next().unwrap();
    assert!(!state.as_str().unwrap().contains(id), "sealed");
    let waits = send(&product, &token, call.clone(), &accepted(&state)).await;
    assert_eq!(code(&waits), "policy.approval_required", "{waits}");
    assert!(answer(&product, "approve", id, "lena").await.1);
    let other = (EXECUTE, delete("ada@contoso.example"));
    let eve = product.token_with(&[], |token| token.subject = "eve".parse().unwrap());
    let altered = json!(format!("{}A", state.as_str().unwrap()));
    let tries = [
        (&token, call.clone(), json!("")),
        (&token, call.clone(), altered),
        (&token, call.clone(), json!(id)),
        (&token, other, state.clone()),
        (&eve, call.clone(), state.clone()),
    ];
    for (token, call, state) in tries {
        let refused = send(&product, token, call.clone(), &accepted(&state)).await;
        assert_eq!(code(&refused), "policy.denied", "{call:?} {state}: {refused}");
    }
    let done = send(&product, &token, call.clone(), &accepted(&state)).await;
    assert_eq!(done["structuredContent"]["status"], "ok", "{done}");
    let again = send(&product, &token, call, &accepted(&state)).await;
    assert_eq!(code(&again), "policy.denied", "used up: {again}");
    let used = product.event_types().into_iter().filter(|kind| kind == "approval.used").count();
    assert_eq!(used, 1);
    let refused = |event: &Value| event["payload"]["error_code"] == "policy.denied";
    assert_eq!(product.audit().iter().filter(|event| refused(event)).count(), 6);
    let unknown = ["unknown_state"; 3].map(|class| (json!(class), Value::Null));
    let told = ["another_call", "another_caller", "used"].map(|class| (json!(class), json!(id)));
    assert_eq!(refusals(&product), [unknown, told].concat());
}

// A state without an answer is looked at all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_alone_is_no_way_around_it() {
    let product = product().await;
    let token = product.token(&[]);
    let call = ("get_public_info", json!({}));
    let refused = send(&product, &token, call, &json!({ "requestState": "forged" })).await;
    assert_eq!(code(&refused), "policy.denied", "{refused}");
}
