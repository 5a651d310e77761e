//! What passes through as it is.

use serde_json::{Value, json};

use super::behind::{Behind, GET, PATH, broker, call, token};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{WIRES, Wire, mcp};

/// The messages of an event stream.
fn messages(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn both_revisions_reach_a_server_that_speaks_both() {
    let behind = Behind::start(GET).await;
    for wire in WIRES {
        let params = json!({ "name": "get_weather", "arguments": { "city": "paris" } });
        let answer = behind.rpc(wire, &["weather:read"], ("tools/call", params)).await.json();
        assert_eq!(answer["result"]["content"][0]["text"], r#"get_weather {"city":"paris"}"#);
        let ping = behind.rpc(wire, &["weather:read"], ("ping", json!({}))).await;
        assert_eq!(ping.status == 200, wire != Wire::Modern, "{ping:?}");
    }
    let discover = behind.rpc(Wire::Modern, &[], ("server/discover", json!({}))).await.json();
    assert!(discover["result"]["supportedVersions"].is_array(), "{discover}");
}

#[tokio::test]
async fn a_stream_is_handed_on_event_by_event_without_resumption() {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;
    let result = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    let stream = format!(
        "id: 1\nretry: 5\ndata:\n\n: alive\n\nevent: message\nid: 2\ndata: {progress}\n\ndata: {result}\n\ndata: {result}\n\n"
    );
    let events = Reply::Answer(
        200,
        vec![("content-type", "text/event-stream; charset=utf-8".to_owned())],
        stream.into(),
    );
    let fake = FakeHttp::start(events).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let all = messages(&answer.body);
    let expected: [Value; 2] = [progress, result].map(|text| serde_json::from_str(text).unwrap());
    assert_eq!(all, expected, "the stream ends with its answer");
    assert!(!answer.body.contains("id: ") && !answer.body.contains("retry"), "{answer:?}");
    let ended =
        product.audited(|event| event["payload"]["tool_name"] == "weather.get_weather").await;
    assert_eq!(ended["payload"]["status"], "ok");
}

#[tokio::test]
async fn a_list_in_a_stream_is_filtered_too() {
    let list =
        r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"get_a"},{"name":"delete_a"}]}}"#;
    let events = Reply::Answer(
        200,
        vec![("content-type", "text/event-stream".to_owned())],
        format!("data: {list}\n\n").into(),
    );
    let fake = FakeHttp::start(events).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let token = token(&product, &["weather:read"]);
    let answer =
        product.send(mcp(Wire::Legacy, Some(&token), "tools/list", json!({})).path(PATH)).await;
    assert_eq!(messages(&answer.body)[0]["result"]["tools"], json!([{ "name": "get_a" }]));
}

/// What a server wants to know of a client of 2026-07-28 goes to it as it is (MCP 2026-07-28 patterns/mrtr).
#[tokio::test]
async fn a_request_for_input_passes() {
    let wanted =
        json!({ "resultType": "input_required", "inputRequests": {}, "requestState": "s" });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "result": wanted });
    let fake = FakeHttp::start(Reply::json(body.to_string())).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
    assert_eq!(answer.json(), body);
    assert_eq!(fake.asked()[0].body.matches("get_weather").count(), 1);
}
