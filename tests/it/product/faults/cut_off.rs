//! Calls of Graph that nobody waits for any more: what was sent is on record.

use super::*;
use crate::support::raw_http::{Request, exchange};

/// A connection on which this operation is asked for, once Graph has it.
async fn under_way(live: &Live, operation: Value) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt as _;
    live.graph.answers(Reply::Silence);
    let before = live.graph.count();
    let tool = crate::support::product::EXECUTE;
    let params = json!({ "name": tool, "arguments": { "operation": operation } });
    let (wire, token) = (crate::support::product::Wire::Modern, live.product.token(&[]));
    let request = crate::support::product::mcp(wire, Some(&token), "tools/call", params);
    let mut stream = tokio::net::TcpStream::connect(&live.product.authority).await.unwrap();
    stream.write_all(&request.bytes(&live.product.authority)).await.unwrap();
    until("Graph is asked", async || (live.graph.count() > before).then_some(())).await;
    stream
}

/// What is on record of a call that nobody waits for any more: that it was sent, not how it ended, and its end.
fn sent_and_cancelled(live: &Live, operation: &str) {
    crate::support::audit::assert_one_terminal_per_request(&live.product.audit_lines());
    let events = live.product.audit();
    let [.., called, ended] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!(called["event_type"], "provider.called", "{events:#?}");
    let called = &called["payload"];
    assert_eq!((&called["operation"], &called["attempt"]), (&json!(operation), &json!(1)));
    assert_eq!(called["outcome"], "error", "{called}");
    assert!(called["error_code"].is_null() && called["http_status"].is_null(), "{called}");
    assert_eq!(ended["payload"]["status"], "cancelled", "{ended}");
    assert_eq!(ended["payload"]["tool_name"], crate::support::product::EXECUTE);
}

// MCP 2026-07-28 streamable-http §Cancellation — TR-6
#[tokio::test]
async fn a_caller_that_goes_away_is_recorded_with_what_was_sent_and_graph_is_let_go() {
    for (operation, recorded) in [
        (json!({ "method": "GET", "path": "/v1.0/users/1" }), "GET /v1.0/users/{id}"),
        (json!({ "method": "POST", "path": "/v1.0/users", "body": {} }), "POST /v1.0/users"),
    ] {
        let metrics = "[server]\nadmin_listen = \"127.0.0.1:0\"\n[telemetry]\nmetrics = true";
        let live = Live::with(metrics).await;
        drop(under_way(&live, operation).await);
        live.product.audited(|event| event["event_type"] == "result.emitted").await;
        sent_and_cancelled(&live, recorded);
        assert_eq!(live.graph.count(), 1);
        let page = Request::new("GET", "/metrics").bytes("prometheus.internal:9090");
        let page = exchange(live.product.admin.as_ref().unwrap(), &page).await.body;
        let counted = "broker_provider_calls_total{provider=\"microsoft_graph\",outcome=\"error\",status=\"none\",code=\"none\"} 1";
        assert!(page.contains(counted), "{page}");
    }
}

#[tokio::test]
async fn a_write_that_a_drain_cuts_off_is_on_record() {
    let mut live = Live::with("[server]\ndrain_seconds = 0").await;
    let stream =
        under_way(&live, json!({ "method": "POST", "path": "/v1.0/users", "body": {} })).await;
    live.product.stop();
    live.product.ended().await;
    drop(stream);
    sent_and_cancelled(&live, "POST /v1.0/users");
}
