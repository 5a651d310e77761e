//! A real MCP server to stand behind the broker, and the broker in front of it.

use std::sync::{Arc, Mutex};

use http::HeaderMap;
use http::request::Parts;
use mcp_auth_broker::time::FixedClock;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, GetPromptRequestParams,
    GetPromptResponse, GetPromptResult, ListPromptsResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

/// With the path of `/servers/weather/mcp`.
pub(crate) const PATH: &str = "/servers/weather/mcp";

/// An rmcp server with two tools, two prompts and two resources; it remembers the headers of each request.
#[derive(Clone, Debug, Default)]
struct Weather(Arc<Mutex<Vec<HeaderMap>>>);

fn wire<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl Weather {
    fn note(&self, context: &RequestContext<RoleServer>) {
        let headers = context.extensions.get::<Parts>().unwrap().headers.clone();
        self.0.lock().unwrap().push(headers);
    }
}

impl ServerHandler for Weather {
    fn get_info(&self) -> ServerConfig {
        let all = ServerCapabilities::builder().enable_tools().enable_prompts().enable_resources();
        ServerConfig::new(all.build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.note(&context);
        let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
        Ok(ListToolsResult::with_all_items(wire(json!([tool("delete_city"), tool("get_weather")]))))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.note(&context);
        let text = format!("{} {}", request.name, json!(request.arguments));
        let result: CallToolResult = wire(json!({ "content": [{ "type": "text", "text": text }] }));
        Ok(result.into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(wire(json!({ "prompts": [{ "name": "day" }, { "name": "night" }] })))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let text = json!({ "type": "text", "text": request.name });
        let result: GetPromptResult =
            wire(json!({ "messages": [{ "role": "user", "content": text }] }));
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resource = |uri: &str| json!({ "uri": uri, "name": "r" });
        Ok(wire(json!({ "resources": [resource("city:paris"), resource("secret:key")] })))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let content = json!({ "uri": request.uri, "text": "sunny" });
        let result: ReadResourceResult = wire(json!({ "contents": [content] }));
        Ok(result.into())
    }
}

/// The broker, and a server behind it.
pub(crate) struct Behind {
    pub(crate) product: Product,
    weather: Weather,
    pub(crate) server: JoinSet<()>,
}

impl Behind {
    /// With these lines in the server's table of the settings.
    pub(crate) async fn start(table: &str) -> Self {
        Self::start_with(table, "").await
    }

    /// The same with a policy file.
    pub(crate) async fn start_with(table: &str, policy: &str) -> Self {
        Self::start_under(table, [policy, ""]).await
    }

    /// The same with shadow rules beside it.
    pub(crate) async fn start_with_shadow(policy: &str, shadow: &str) -> Self {
        Self::start_under("", [policy, shadow]).await
    }

    async fn start_under(table: &str, policies: [&str; 2]) -> Self {
        let weather = Weather::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        let handler = weather.clone();
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        let mut server = JoinSet::new();
        server.spawn(async move {
            let router = axum::Router::new().route_service("/mcp", service);
            axum::serve(listener, router).await.unwrap();
        });
        let product = broker_under(&url, &["era = \"auto\"\n", table].concat(), policies).await;
        Self { product, weather, server }
    }

    /// The headers of every request that reached the server's tools.
    pub(crate) fn seen(&self) -> Vec<HeaderMap> {
        self.weather.0.lock().unwrap().clone()
    }

    pub(crate) async fn rpc(&self, wire: Wire, scopes: &[&str], call: (&str, Value)) -> Answer {
        let token = token(&self.product, scopes);
        self.product.send(mcp(wire, Some(&token), call.0, call.1).path(PATH)).await
    }
}

/// The broker with one server `weather` at `url`.
pub(crate) async fn broker(url: &str, table: &str, policy: &str) -> Product {
    broker_under(url, table, [policy, ""]).await
}

/// The same with rules and shadow rules; empty: none.
async fn broker_under(url: &str, table: &str, policies: [&str; 2]) -> Product {
    let directory = tempfile::tempdir().unwrap();
    let mut overrides = Vec::new();
    for (key, rules) in ["policy.file", "policy.shadow_file"].into_iter().zip(policies) {
        if !rules.is_empty() {
            let file = directory.path().join(format!("{key}.toml"));
            std::fs::write(&file, rules).unwrap();
            overrides.push(format!("{key}={}", file.display()));
        }
    }
    let mut settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n".to_owned();
    settings += "[[upstream.server]]\nid = \"weather\"\nurl = \"";
    // Fakes of one answer have no era: they are not asked.
    let era = if table.contains("era = ") { "" } else { "era = \"both\"\n" };
    settings += &[url, "\"\n", era, table, "\n"].concat();
    Product::start_in(directory, &settings, &overrides).await
}

/// The same at a time that the test tells.
pub(crate) async fn broker_at(url: &str, table: &str, clock: Arc<FixedClock>) -> Product {
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nera = \"both\"\n{table}"
    );
    Product::start_at(&settings, clock).await
}

/// A token for the server, with these scopes.
pub(crate) fn token(product: &Product, scopes: &[&str]) -> String {
    product.token_with(scopes, |token| token.audience = product.url(PATH))
}

/// A tool's call by a client of 2026-07-28.
pub(crate) fn call(product: &Product, scopes: &[&str], tool: &str) -> Request {
    let params = json!({ "name": tool, "arguments": {} });
    mcp(Wire::Modern, Some(&token(product, scopes)), "tools/call", params).path(PATH)
}

/// The grant that most tests have.
pub(crate) const GET: &str =
    "[[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n";
