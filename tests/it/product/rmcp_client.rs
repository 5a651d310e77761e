//! The Rust SDK's own client, of either era, calling the binary as people start it.

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransportConfig, StreamableHttpError,
};
use serde_json::{Value, json};

use crate::support::child::Served;
use crate::support::product::EXECUTE;

fn text(result: &rmcp::model::CallToolResult) -> String {
    let content = serde_json::to_value(&result.content).unwrap();
    content[0]["text"].as_str().unwrap().to_owned()
}

async fn lists_calls_and_is_refused(served: &Served, lifecycle: ClientLifecycleMode) {
    let url = format!("http://{}/mcp", served.authority);
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let token = served.mint("public:read graph:read");
    let transport = StreamableHttpClientTransport::from_config(config.auth_header(token));
    let client = ().serve_with_lifecycle(transport, lifecycle).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, [EXECUTE, "auth.graph.operations.list.v1", "get_public_info"]);
    let public = client.call_tool(CallToolRequestParams::new("get_public_info")).await.unwrap();
    assert!(!text(&public).is_empty());
    let operation = json!({ "operation": { "method": "GET", "path": "/v1.0/users?$top=1" } });
    let arguments = operation.as_object().unwrap().clone();
    let call = CallToolRequestParams::new(EXECUTE).with_arguments(arguments);
    let answer: Value =
        serde_json::from_str(&text(&client.call_tool(call).await.unwrap())).unwrap();
    assert_eq!(
        (&answer["status"], &answer["result"]["execution"]["http_status"]),
        (&json!("ok"), &json!(200))
    );
    let refused = client.call_tool(CallToolRequestParams::new("get_confidential_info")).await;
    let Err(ServiceError::TransportSend(error)) = refused else {
        panic!("let in without the scope: {refused:?}")
    };
    let error = error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>();
    let Some(StreamableHttpError::InsufficientScope(challenge)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(challenge.required_scope.as_deref(), Some("confidential:read"));
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn clients_of_the_rust_sdk_list_and_call_the_started_binary() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), "", &[]).await;
    let preferred_versions = vec![ProtocolVersion::LATEST];
    for lifecycle in
        [ClientLifecycleMode::Initialize, ClientLifecycleMode::Discover { preferred_versions }]
    {
        Box::pin(lists_calls_and_is_refused(&served, lifecycle)).await;
    }
}
