//! What is offered is what is done, to clients of each era; and the Rust SDK's own client hears it.

use mcp_auth_broker::secret::Environment as Variables;
use rmcp::ServerHandler;
use rmcp::model::{
    ProtocolVersion, ServerCapabilities, ServerConfig, ServerNotification, SubscriptionFilter,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, SubscriptionEnd};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::json;

use super::listener::request;
use super::lists::{broker, table};
use super::{Listener, Teller};
use crate::support::product::{Product, Wire, mcp};

async fn capabilities(product: &Product, wire: Wire) -> serde_json::Value {
    let token = product.token(&["weather:read"]);
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let (method, params) = match wire {
        Wire::Modern => ("server/discover", json!({})),
        Wire::Legacy | Wire::Oldest => ("initialize", hello),
    };
    let answer = product.rpc(wire, &token, method, params).await.json();
    answer["result"]["capabilities"].clone()
}

#[tokio::test]
async fn changes_are_offered_to_who_can_be_told_of_them() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let told = json!({ "listChanged": true });
    let all = json!({ "tools": told, "prompts": told, "completions": {}, "resources": { "listChanged": true, "subscribe": true } });
    assert_eq!(capabilities(&product, Wire::Modern).await, all);
    let none = json!({ "tools": {}, "prompts": {}, "completions": {}, "resources": {} });
    assert_eq!(capabilities(&product, Wire::Legacy).await, none);
    let token = product.token(&["weather:read"]);
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let old = product.send(mcp(Wire::Legacy, Some(&token), "subscriptions/listen", listen)).await;
    assert_eq!(old.rpc_error(), -32601, "{old:?}");
    assert_eq!(teller.open(), 0);
}

// MCP 2026-07-28 basic, Streamable HTTP — TR-12, TR-23, TR-24
#[tokio::test]
async fn a_request_that_is_not_well_formed_opens_nothing() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let token = product.token(&["weather:read"]);
    let tools = json!({ "toolsListChanged": true });
    let many = json!({ "resourceSubscriptions": vec!["weather+city:a"; 101] });
    let bare = mcp(Wire::Modern, Some(&token), "subscriptions/listen", json!({}));
    for (request, status, code) in [
        (request(&token, &tools).without("mcp-method"), 400, -32020),
        (request(&token, &json!({ "toolsListChanged": "yes" })), 200, -32602),
        (request(&token, &json!({ "resourceSubscriptions": ["weather+city:../a"] })), 200, -32602),
        (request(&token, &many), 200, -32602),
        (bare, 200, -32602),
    ] {
        let answer = product.send(request).await;
        assert_eq!((answer.status, answer.rpc_error()), (status, json!(code)), "{answer:?}");
    }
    assert_eq!(teller.asked("server/discover"), 0);
}

#[tokio::test]
async fn the_client_of_the_rust_sdk_is_told() {
    let teller = Teller::start();
    let mut product = broker(&table("weather", &teller.url)).await;
    let token = product.token(&["weather:read"]);
    let config = StreamableHttpClientTransportConfig::with_uri(product.url("/mcp"));
    let transport = StreamableHttpClientTransport::from_config(config.auth_header(token));
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] };
    let client = ().serve_with_lifecycle(transport, mode).await.unwrap();
    let wanted = SubscriptionFilter::builder()
        .tools_list_changed()
        .resource_subscription("weather+city:paris");
    let mut told = client.listen(wanted.build()).await.unwrap();
    teller.says("notifications/resources/updated", json!({ "uri": "city:paris" }));
    let updated = told.next().await.unwrap().unwrap();
    assert!(matches!(updated, ServerNotification::ResourceUpdatedNotification(_)), "{updated:?}");
    teller.has_tools(&["get_day", "get_night"]);
    let changed = told.next().await.unwrap().unwrap();
    assert!(matches!(changed, ServerNotification::ToolListChangedNotification(_)), "{changed:?}");
    product.stop();
    assert!(told.next().await.unwrap().is_none());
    assert!(matches!(told.end(), Some(SubscriptionEnd::Graceful(_))), "{:?}", told.end());
}

/// A handler that tells of its own changes.
#[derive(Clone)]
struct Other;

impl ServerHandler for Other {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_prompts();
        ServerConfig::new(capabilities.enable_prompts_list_changed().build())
    }

    fn accepted_subscription_filter(
        &self,
        wanted: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(wanted.clone())
    }
}

#[tokio::test]
async fn another_handler_behind_the_guard_is_asked_itself() {
    let directory = tempfile::tempdir().unwrap();
    let product = Product::start_around(directory, "", &[], Variables::default(), |_| Other).await;
    let prompts = json!({ "promptsListChanged": true });
    let (_listener, honored) = Listener::start(&product, &[], &prompts).await;
    assert_eq!(honored, prompts);
}
