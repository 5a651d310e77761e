//! The Rust SDK's own client, of either era, before servers of either era.

use rmcp::model::{CallToolRequestParams, ProtocolVersion, ReadResourceRequestParams};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use super::behind::{PATH, token};
use super::one_era::{Speaks, Translated};

async fn walks(speaks: Speaks, lifecycle: ClientLifecycleMode) {
    let behind = Translated::start(speaks).await;
    let token = token(&behind.product, &["weather:read"]);
    let config = StreamableHttpClientTransportConfig::with_uri(behind.product.url(PATH));
    let transport = StreamableHttpClientTransport::from_config(config.auth_header(token));
    let client = ().serve_with_lifecycle(transport, lifecycle.clone()).await.unwrap();
    let shown = format!("{speaks:?} {lifecycle:?}");
    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["get_input", "get_slow", "get_weather", "get_region"], "{shown}");
    for tool in ["get_weather", "get_region"] {
        let arguments = rmcp::object!({ "region": "eu" });
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = client.call_tool(call).await.unwrap();
        let said = serde_json::to_value(&result.content).unwrap();
        assert_eq!(said[0]["text"], format!(r#"{tool} {{"region":"eu"}}"#), "{shown}");
    }
    let read = client.read_resource(ReadResourceRequestParams::new("city:paris")).await.unwrap();
    assert_eq!(serde_json::to_value(&read.contents).unwrap()[0]["text"], "sunny", "{shown}");
    assert!(client.call_tool(CallToolRequestParams::new("delete_city")).await.is_err(), "{shown}");
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn an_old_client_of_the_rust_sdk_walks_through() {
    for speaks in [Speaks::Old, Speaks::New] {
        Box::pin(walks(speaks, ClientLifecycleMode::Initialize)).await;
    }
}

#[tokio::test]
async fn a_new_client_of_the_rust_sdk_walks_through() {
    for speaks in [Speaks::Old, Speaks::New] {
        let preferred_versions = vec![ProtocolVersion::LATEST];
        Box::pin(walks(speaks, ClientLifecycleMode::Discover { preferred_versions })).await;
    }
}
