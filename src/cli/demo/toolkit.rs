//! The toolkit's server: three tools that pretend. It verifies nobody; that is what the broker in front of it is for.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::failure::Failure;

/// Each tool: its name, what it says of itself, and its one argument.
const TOOLS: [(&str, &str, &str); 3] = [
    ("get_weather", "The weather in a city", "city"),
    ("send_email", "Sends an e-mail", "to"),
    ("delete_user", "Deletes a user", "user"),
];

/// Serves on a free loopback port for as long as the set lives.
pub(super) async fn start(tasks: &mut JoinSet<()>) -> Result<SocketAddr, Failure> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| Failure::of(&error))?;
    let address = listener.local_addr().map_err(|error| Failure::of(&error))?;
    tasks.spawn(accept(listener));
    Ok(address)
}

async fn accept(listener: TcpListener) {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Toolkit), sessions, config);
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

#[derive(Clone, Copy, Debug)]
struct Toolkit;

impl ServerHandler for Toolkit {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.map(tool).to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = |name: &str| {
            let arguments = request.arguments.as_ref();
            arguments.and_then(|all| all.get(name)).and_then(Value::as_str).unwrap_or("nobody")
        };
        let text = match &*request.name {
            "get_weather" => format!("It is sunny in {}.", given("city")),
            "send_email" => format!("An e-mail to {} was not really sent.", given("to")),
            "delete_user" => format!("{} was not really deleted.", given("user")),
            _ => return Err(ErrorData::invalid_params("Unknown tool", None)),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

fn tool((name, description, argument): (&'static str, &'static str, &'static str)) -> Tool {
    let schema = json!({
        "type": "object",
        "properties": { argument: { "type": "string" } },
        "required": [argument],
    });
    let schema: JsonObject = schema.as_object().cloned().unwrap_or_default();
    Tool::new(name, description, schema)
}
