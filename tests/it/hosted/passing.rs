//! What callers of a child process get, and that each gets their own.

use std::path::Path;

use serde_json::{Value, json};

use super::{READ, ask, call, said, start, start_in, text, until};
use crate::support::product::{Wire, mcp};
use crate::support::raw_http::Request;
use crate::upstream::{PATH, token};

#[tokio::test]
async fn a_child_is_served_like_any_other_server() {
    let product = start(&[], "").await;
    let opened = ask(&product, "initialize", json!({ "protocolVersion": "2025-06-18" })).await;
    let result = opened.json()["result"].clone();
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["capabilities"], json!({ "tools": {} }), "what is shared is not offered");
    assert_eq!(opened.header("mcp-session-id"), "");
    let listed = ask(&product, "tools/list", json!({})).await.json();
    let names: Vec<_> = listed["result"]["tools"].as_array().unwrap().iter().collect();
    assert_eq!(names, [&json!({ "name": "get_pid", "inputSchema": { "type": "object" } })]);
    assert!(said(&product, "get_pid").await.parse::<u32>().is_ok());
    let hidden = product.send(call(&product, "delete_city")).await;
    assert_eq!(hidden.rpc_error(), -32602);
    let event = product.audited(|event| event["payload"]["tool_name"] == "weather.get_pid").await;
    assert_eq!(event["payload"]["status"], "ok");
}

#[tokio::test]
async fn a_caller_without_the_scope_is_told_which_and_the_child_is_not_started() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("lines").display().to_string();
    let product = start_in(directory, &[("LOG", &log)], "").await;
    let none = token(&product, &[]);
    let params = json!({ "name": "get_pid", "arguments": {} });
    let call = mcp(Wire::Legacy, Some(&none), "tools/call", params).path(PATH);
    assert_eq!(product.send(call).await.status, 403);
    assert!(!Path::new(&log).exists());
}

/// Both ask under the same id, and are answered in the other order.
#[tokio::test]
async fn each_caller_gets_their_own_answer() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("lines");
    let path = log.display().to_string();
    let product = start_in(directory, &[("LOG", &path)], "").await;
    let eve = product.token_with(&READ, |token| {
        token.audience = product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let params = json!({ "name": "get_anything", "arguments": {} });
    let eves = mcp(Wire::Legacy, Some(&eve), "tools/call", params).path(PATH);
    let first = product.send(call(&product, "get_first"));
    let second = async {
        until(|| holds(&log, "get_first")).await;
        product.send(eves).await
    };
    let (first, second) = tokio::join!(first, second);
    let mut texts = [text(&first), text(&second)];
    texts.sort();
    assert_eq!(texts, ["first", "second"]);
    assert_eq!((first.json()["id"].clone(), second.json()["id"].clone()), (json!(7), json!(7)));
}

fn messages(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn progress_reaches_who_asked_for_it_under_their_own_token() {
    let product = start(&[], "").await;
    let params =
        json!({ "name": "get_progress", "arguments": {}, "_meta": { "progressToken": "mine" } });
    let answer = ask(&product, "tools/call", params).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let all = messages(&answer.body);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0]["params"], json!({ "progress": 1, "progressToken": "mine" }));
    assert_eq!((&all[1]["id"], &all[1]["result"]["content"][0]["text"]), (&json!(7), &json!("ok")));
}

#[tokio::test]
async fn the_childs_own_questions_are_refused() {
    let product = start(&[], "").await;
    assert_eq!(said(&product, "get_question").await, "refused");
}

/// What would be one caller's for all is not there.
#[tokio::test]
async fn log_levels_and_subscriptions_of_a_shared_process_are_no_methods() {
    let product = start(&[], "").await;
    for (method, params) in
        [("logging/setLevel", json!({ "level": "debug" })), ("server/discover", json!({}))]
    {
        assert_eq!(ask(&product, method, params).await.rpc_error(), -32601, "{method}");
    }
    assert_eq!(ask(&product, "ping", json!({})).await.json()["result"], json!({}));
}

// MCP 2026-07-28 patterns/subscriptions
#[tokio::test]
async fn a_new_client_learns_that_a_shared_process_tells_of_no_changes() {
    let product = start(&[], "").await;
    let own = token(&product, &["weather:read"]);
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let ask = mcp(Wire::Modern, Some(&own), "subscriptions/listen", listen).path(PATH);
    let answer = product.send(ask).await;
    assert_eq!((answer.status, answer.rpc_error()), (404, json!(-32601)), "{answer:?}");
}

fn holds(log: &Path, what: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains(what))
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_its_call() {
    let directory = tempfile::tempdir().unwrap();
    let (file, log) = (directory.path().join("cancelled"), directory.path().join("lines"));
    let (path, lines) = (file.display().to_string(), log.display().to_string());
    let product = start_in(directory, &[("FILE", &path), ("LOG", &lines)], "").await;
    tokio::select! {
        answer = product.send(call(&product, "get_cancelled")) => panic!("{answer:?}"),
        () = until(|| holds(&log, "get_cancelled")) => {}
    }
    until(|| file.exists()).await;
}

#[tokio::test]
async fn a_cancellation_reaches_the_child_under_the_childs_number_and_only_its_owners() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cancelled");
    let path = file.display().to_string();
    let product = start_in(directory, &[("FILE", &path)], "").await;
    said(&product, "get_pid").await;
    let note = |token: &str| {
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
        let request = crate::support::product::post(Some(token), body.to_string()).path(PATH);
        request.header("mcp-protocol-version", "2025-11-25")
    };
    let eve = product.token_with(&READ, |token| {
        token.audience = product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let own = token(&product, &READ);
    let waiting = product.send(call(&product, "get_cancelled"));
    let cancelling = async {
        assert_eq!(product.send(note(&eve)).await.status, 202);
        assert!(!file.exists(), "somebody else's call goes on");
        while !file.exists() {
            assert_eq!(product.send(note(&own)).await.status, 202);
        }
    };
    let (answer, ()) = tokio::join!(waiting, cancelling);
    let code = &answer.json()["result"]["structuredContent"]["error"]["code"];
    assert_eq!(*code, "provider.bad_response");
}

/// A child of 2026-07-28: discovered, not initialized, and each stream hears what is its own.
#[tokio::test]
async fn a_child_of_the_new_revision_has_streams() {
    let product = start(&[("MODE", "modern")], "").await;
    let token = token(&product, &READ);
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let listen = mcp(Wire::Modern, Some(&token), "subscriptions/listen", listen).path(PATH);
    let all = messages(&product.send(listen).await.body);
    assert_eq!(all.len(), 2, "{all:?}");
    for message in &all {
        let id = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*id, json!(7));
    }
    let params = json!({ "name": "get_pid", "arguments": {} });
    let call = mcp(Wire::Modern, Some(&token), "tools/call", params).path(PATH);
    assert!(text(&product.send(call).await).parse::<u32>().is_ok());
}

// MCP 2026-07-28 patterns/mrtr
#[tokio::test]
async fn a_child_asks_a_new_client_for_input_and_hears_what_its_retry_brings() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("lines");
    let path = log.display().to_string();
    let product = start_in(directory, &[("MODE", "modern"), ("LOG", &path)], "").await;
    let token = token(&product, &READ);
    let call =
        |params: &Value| mcp(Wire::Modern, Some(&token), "tools/call", params.clone()).path(PATH);
    let mut params = json!({ "name": "get_asked", "arguments": {} });
    let required = product.send(call(&params)).await.json()["result"].clone();
    let question =
        json!({ "mode": "form", "message": "Who?", "requestedSchema": { "type": "object" } });
    let question = json!({ "who": { "method": "elicitation/create", "params": question } });
    let state = "of the child";
    let wanted =
        json!({ "resultType": "input_required", "inputRequests": question, "requestState": state });
    assert_eq!(required, wanted, "as it is");
    let answered = json!({ "who": { "action": "accept", "content": { "name": "Ada" } } });
    params["inputResponses"] = answered.clone();
    params["requestState"] = required["requestState"].clone();
    assert_eq!(text(&product.send(call(&params)).await), "heard");
    let lines = std::fs::read_to_string(&log).unwrap();
    let told: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let told = &told["params"];
    assert_eq!((&told["inputResponses"], &told["requestState"]), (&answered, &json!(state)));
}

#[tokio::test]
async fn an_old_client_is_told_that_it_cannot_be_asked_what_a_child_wants_to_know() {
    let product = start(&[("MODE", "modern")], "").await;
    let called = ask(&product, "tools/call", json!({ "name": "get_asked", "arguments": {} })).await;
    let result = called.json()["result"].clone();
    assert_eq!(result["isError"], true, "{result}");
    let code = &result["structuredContent"]["error"]["code"];
    assert_eq!(*code, "bad_request.unsupported_operation", "{result}");
    assert!(!called.body.contains("of the child"), "what only its next call would bring back");
}

/// An old client listens to it in a session of the broker's.
#[tokio::test]
async fn an_old_client_is_told_of_the_lists_of_a_child_of_the_new_revision() {
    let product = start(&[("MODE", "modern")], "").await;
    let hello = ask(&product, "initialize", json!({})).await;
    assert_eq!(hello.json()["result"]["capabilities"], json!({ "tools": { "listChanged": true } }));
    let get = Request::new("GET", PATH)
        .header("authorization", &format!("Bearer {}", token(&product, &READ)))
        .header("mcp-session-id", &hello.header("mcp-session-id"));
    let all = messages(&product.send(get).await.body);
    let told = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    assert_eq!(all, [told]);
}

/// Servers made with older libraries end when they hear anything before `initialize`.
#[tokio::test]
async fn a_child_that_ends_at_the_first_question_is_initialized_at_once() {
    let product = start(&[("MODE", "strict")], "").await;
    assert!(said(&product, "get_pid").await.parse::<u32>().is_ok());
}
