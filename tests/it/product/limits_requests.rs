//! Limits of what is no call: lists and other requests, and streams that stay open.

use serde_json::json;

use crate::support::audit::assert_one_terminal_per_request;
use crate::support::product::{Product, WIRES, Wire, mcp, post};
use crate::support::raw_http::{Answer, Request};

fn is_too_much(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["data"]["code"], "policy.rate_limited", "{error}");
    assert!(error["message"].as_str().unwrap().contains(what), "{error}");
}

#[tokio::test]
async fn lists_beyond_the_limit_get_429_in_every_revision_and_calls_go_on() {
    let product = Product::start("[limits]\nrequests_per_client = \"2/day\"").await;
    let token = product.token(&["public:read"]);
    for _ in 0..2 {
        let answer = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for wire in WIRES {
        let answer = product.rpc(wire, &token, "tools/list", json!({})).await;
        is_too_much(&answer, "too many requests: the client's limit");
        assert_eq!(answer.json()["id"], 7);
    }
    is_too_much(&product.rpc(Wire::Legacy, &token, "ping", json!({})).await, "too many requests");
    let call = json!({ "name": "get_public_info", "arguments": {} });
    assert_eq!(product.rpc(Wire::Modern, &token, "tools/call", call).await.status, 200);
    let ended =
        product.audited(|event| event["payload"]["error_code"] == "policy.rate_limited").await;
    assert_eq!(ended["payload"]["method"], "tools/list");
    assert_one_terminal_per_request(&product.audit_lines());
}

#[tokio::test]
async fn one_users_lists_leave_another_users_alone() {
    let product = Product::start("[limits]\nrequests_per_user = \"1/day\"").await;
    let eve = product.token_with(&["public:read"], |token| token.subject = "eve".parse().unwrap());
    let list = async |token: &str| product.rpc(Wire::Modern, token, "tools/list", json!({})).await;
    assert_eq!(list(&eve).await.status, 200);
    is_too_much(&list(&eve).await, "too many requests: the user's limit");
    assert_eq!(list(&product.token(&["public:read"])).await.status, 200);
}

type Sends<'a> = &'a dyn Fn(&str) -> Request;

/// What has no form is answered no more often than what has.
#[tokio::test]
async fn requests_that_are_refused_for_their_form_are_counted_once_each() {
    let product = Product::start("[limits]\nrequests_per_user = \"2/day\"").await;
    let person = |name: &str| {
        product.token_with(&["public:read"], |token| token.subject = name.parse().unwrap())
    };
    let call = |wire, token: &str, params| mcp(wire, Some(token), "tools/call", params);
    let sends: [(&str, Sends<'_>); 5] = [
        ("no-message", &|token| post(Some(token), "[]")),
        ("no-name", &|token| call(Wire::Modern, token, json!({}))),
        ("no-version", &|token| {
            let call = call(Wire::Legacy, token, json!({ "name": "get_public_info" }));
            call.without("mcp-protocol-version").header("mcp-protocol-version", "1999-01-01")
        }),
        ("gets", &|token| bare("GET", token)),
        ("deletes", &|token| bare("DELETE", token)),
    ];
    for (name, send) in sends {
        let token = person(name);
        for _ in 0..2 {
            let answer = product.send(send(&token)).await;
            assert_ne!(answer.status, 429, "{name}: {answer:?}");
        }
        is_too_much(&product.send(send(&token)).await, "too many requests: the user's limit");
        let list = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
        is_too_much(&list, "too many requests");
    }
    assert_one_terminal_per_request(&product.audit_lines());
}

fn bare(method: &str, token: &str) -> Request {
    Request::new(method, "/mcp").header("authorization", &format!("Bearer {token}"))
}
