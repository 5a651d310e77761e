//! Clients that listen to, and cancel calls at, servers of their own era.

use serde_json::{Value, json};

use super::one_era::{Speaks, Translated};
use super::streams::opened;
use crate::support::product::Wire;

// MCP 2026-07-28 basic/patterns/subscriptions
#[tokio::test]
async fn a_new_client_is_told_of_a_resource_by_a_server_of_its_era() {
    let behind = Translated::start(Speaks::New).await;
    let wanted = json!({ "resourceSubscriptions": ["city:paris"] });
    let listen =
        behind.request(Wire::Modern, "subscriptions/listen", json!({ "notifications": wanted }));
    let mut stream = opened(&behind.product, listen).await;
    behind.sees(r#"listen {"resourceSubscriptions":["city:paris"]}"#).await;
    for uri in ["city:rome", "city:paris"] {
        behind.tells("resources/updated", Some(uri));
    }
    let mut heard = String::new();
    while !heard.contains("notifications/resources/updated") {
        let chunk = stream.chunk().await.unwrap().expect("it stays open");
        heard.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(heard.contains("acknowledged") && heard.contains("city:paris"), "{heard}");
    assert!(!heard.contains("city:rome"), "{heard}");
}

// MCP 2025-11-25 utilities/cancellation
#[tokio::test]
async fn an_old_client_cancels_a_call_at_an_old_server() {
    let behind = Translated::start(Speaks::Old).await;
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let session = behind.rpc(Wire::Legacy, "initialize", hello).await.header("mcp-session-id");
    let in_session = |body: Value| {
        let request = behind.request(Wire::Legacy, "ping", json!({}));
        request.header("mcp-session-id", &session).body(body.to_string().as_bytes())
    };
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(behind.product.send(in_session(ready)).await.status, 202);
    let slow = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": { "name": "get_slow" } });
    let calling = async {
        behind.product.send(in_session(slow)).await;
        // What it answers to a call that was cancelled is its own affair.
        std::future::pending::<()>().await;
    };
    let cancelling = async {
        behind.sees("get_slow").await;
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9 } });
        assert_eq!(behind.product.send(in_session(cancel)).await.status, 202);
        behind.sees("cancelled").await;
    };
    tokio::select! {
        () = cancelling => {}
        () = calling => {}
    }
}
