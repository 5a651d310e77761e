//! A real MCP server (rmcp's) that speaks one era of the protocol alone, and the broker in front of it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities,
    InputRequiredResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ServerCapabilities, ServerConfig, ServerNotification, ServerRequest, SubscribeRequestParams,
    SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::behind::{PATH, broker, token};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Old,
    New,
}

/// The server: it remembers what it was asked, in a word each.
#[derive(Clone, Debug)]
struct OneEra {
    speaks: Speaks,
    seen: Arc<Mutex<Vec<String>>>,
    /// What it tells all who listen.
    changes: broadcast::Sender<Value>,
    /// The city of which it tells nothing.
    silent_of: Arc<Mutex<String>>,
}

fn wire<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn text(text: &str) -> CallToolResponse {
    let result: CallToolResult = wire(json!({ "content": [{ "type": "text", "text": text }] }));
    result.into()
}

impl OneEra {
    fn note(&self, what: &str) {
        self.seen.lock().unwrap().push(what.to_owned());
    }

    /// Asks the client: in the old era by a request, in the new one by the result.
    async fn ask(
        &self,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
        let ask = json!({ "method": "elicitation/create", "params": { "mode": "form", "message": "Who?", "requestedSchema": schema } });
        if self.speaks == Speaks::New {
            let wanted = json!({ "resultType": "input_required", "inputRequests": { "who": ask } });
            return Ok(wire::<InputRequiredResult>(wanted).into());
        }
        let answer = context.peer.send_request(wire::<ServerRequest>(ask)).await;
        Ok(text(&match answer {
            Ok(answer) => format!("answered {answer:?}"),
            Err(error) => format!("not answered: {error}"),
        }))
    }
}

/// Asks its client each of these things, one after the other, on the stream of the call or on that of the session; then says what it heard.
async fn asks(
    arguments: &Value,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let mut heard = Vec::new();
    for question in arguments["ask"].as_array().unwrap() {
        let (peer, question) = (context.peer.clone(), wire::<ServerRequest>(question.clone()));
        let asking = async move { peer.send_request(question).await };
        let asked = async {
            // A task of its own does not know of which call it is.
            if arguments["aside"] == true {
                let mut tasks = tokio::task::JoinSet::new();
                tasks.spawn(asking);
                tasks.join_next().await.unwrap().unwrap()
            } else {
                asking.await
            }
        };
        heard.push(
            match tokio::select! {
                answer = asked => answer,
                () = context.ct.cancelled() => return Ok(text("cancelled")),
            } {
                Ok(answer) => json!(answer).to_string(),
                Err(error) => format!("not answered: {error}"),
            },
        );
    }
    if let Some(token) = context.meta.get_progress_token() {
        let progress = json!({ "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } });
        let progress: ServerNotification = wire(progress);
        context.peer.send_notification(progress).await.unwrap();
    }
    Ok(text(&heard.join(" ")))
}

/// What the second call finds visited.
fn visited(calls: usize) -> Result<CallToolResponse, ErrorData> {
    if calls > 1 {
        return Ok(text("visited"));
    }
    let page = json!({ "mode": "url", "elicitationId": "e", "url": "https://weather.example/consent", "message": "Agree?" });
    let error =
        json!({ "code": -32042, "message": "agree first", "data": { "elicitations": [page] } });
    Err(wire(error))
}

impl ServerHandler for OneEra {
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        let known = ProtocolVersion::KNOWN_VERSIONS.iter();
        let old = self.speaks == Speaks::Old;
        Cow::Owned(known.filter(|version| version.has_initialize() == old).cloned().collect())
    }

    #[expect(deprecated, reason = "servers of both eras still have a log")]
    fn get_info(&self) -> ServerConfig {
        let all = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_logging();
        ServerConfig::new(all.build()).with_instructions("Ask for the weather.")
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let asked =
            context.peer.peer_info().map(|info| json!(info.capabilities)).unwrap_or_default();
        self.note(&format!("initialized {asked}"));
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        let schema = json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
        (name == "get_region").then(|| wire(json!({ "name": name, "inputSchema": schema })))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
        let mut tools: Vec<_> = ["delete_city", "get_input", "get_slow", "get_weather"]
            .map(|name| wire(tool(name)))
            .into();
        tools.extend(self.get_tool("get_region"));
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.note(&request.name);
        match &*request.name {
            "get_input" => self.ask(&context).await,
            "get_needy" => {
                let needed: ClientCapabilities = wire(json!({ "sampling": {} }));
                Err(ErrorData::missing_required_client_capability(needed))
            }
            "get_asked" => {
                let answer = asks(&json!(request.arguments), &context).await;
                if context.ct.is_cancelled() {
                    self.note("cancelled");
                }
                answer
            }
            "get_visited" => {
                let calls =
                    self.seen.lock().unwrap().iter().filter(|seen| *seen == "get_visited").count();
                visited(calls)
            }
            "get_logged" => {
                let level = context.meta.log_level().map(|level| json!(level));
                let level = level.and_then(|level| level.as_str().map(str::to_owned));
                if level.is_some() {
                    let log = json!({ "method": "notifications/message", "params": { "level": "error", "data": "for a log" } });
                    context.peer.send_notification(wire(log)).await.unwrap();
                }
                Ok(text(&level.unwrap_or_default()))
            }
            "get_slow" => {
                context.ct.cancelled().await;
                self.note("cancelled");
                Ok(text("too late"))
            }
            name => {
                let progress = json!({ "method": "notifications/progress", "params": {
                    "progressToken": context.meta.get_progress_token(), "progress": 1 } });
                if context.meta.get_progress_token().is_some() {
                    let progress: ServerNotification = wire(progress);
                    context.peer.send_notification(progress).await.unwrap();
                    let log = json!({ "method": "notifications/message", "params": { "level": "error", "data": "for a log" } });
                    let log: ServerNotification = wire(log);
                    context.peer.send_notification(log).await.unwrap();
                }
                Ok(text(&format!("{name} {}", json!(request.arguments))))
            }
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(wire(json!({ "resources": [{ "uri": "city:paris", "name": "paris" }] })))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != "city:paris" {
            return Err(ErrorData::resource_not_found("no such city", None));
        }
        let content = json!({ "uri": request.uri, "text": "sunny" });
        let result: ReadResourceResult = wire(json!({ "contents": [content] }));
        Ok(result.into())
    }

    /// In the new era: of all but that city.
    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let mut filter = requested.supported_by(&self.get_info().capabilities);
        if let Some(uris) = &mut filter.resource_subscriptions {
            let silent_of = self.silent_of.lock().unwrap();
            uris.retain(|uri| *uri != *silent_of);
        }
        Some(filter)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        self.note(&format!("listen {}", json!(context.accepted())));
        loop {
            tokio::select! {
                () = context.cancelled() => {
                    self.note("left");
                    return Ok(());
                }
                change = changes.recv() => drop(context.sink().send(wire(change.unwrap())).await),
            }
        }
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.note(&format!("subscribe {}", request.uri));
        for uri in ["city:rome", &request.uri] {
            let updated =
                json!({ "method": "notifications/resources/updated", "params": { "uri": uri } });
            drop(context.peer.send_notification(wire(updated)).await);
        }
        Ok(())
    }
}

/// The broker, and such a server behind it.
pub(super) struct Translated {
    pub(super) product: Product,
    server: OneEra,
    pub(super) url: String,
    running: JoinSet<()>,
}

/// The grants that these tests have: the server's `get_…` tools and the cities.
pub(super) const GRANTS: &str = "[[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n\
    [[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n";

impl Translated {
    pub(super) async fn start(speaks: Speaks) -> Self {
        Self::start_with(speaks, GRANTS).await
    }

    pub(super) async fn start_with(speaks: Speaks, table: &str) -> Self {
        let (seen, (changes, _)) = (Arc::default(), broadcast::channel(16));
        let silent_of = Arc::new(Mutex::new("city:atlantis".to_owned()));
        let server = OneEra { speaks, seen, changes, silent_of };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mut running = JoinSet::new();
        running.spawn(serve(listener, server.clone()));
        let product = broker(&url, &["era = \"auto\"\n", table].concat(), "").await;
        Self { product, server, url, running }
    }

    /// Another process takes the server's place: it knows no session of before.
    pub(super) async fn restart_the_server(&mut self, speaks: Speaks) {
        self.running.shutdown().await;
        let address = self.url.trim_start_matches("http://").trim_end_matches("/mcp");
        let listener = TcpListener::bind(address).await.unwrap();
        self.server.speaks = speaks;
        self.running.spawn(serve(listener, self.server.clone()));
    }

    /// The server tells all who listen of this.
    pub(super) fn tells(&self, method: &str, uri: Option<&str>) {
        let mut change = json!({ "method": format!("notifications/{method}") });
        if let Some(uri) = uri {
            change["params"] = json!({ "uri": uri });
        }
        self.server.changes.send(change).unwrap();
    }

    /// From now on the server tells nothing of this city.
    pub(super) fn is_silent_of(&self, uri: &str) {
        uri.clone_into(&mut self.server.silent_of.lock().unwrap());
    }

    /// What the server was asked.
    pub(super) fn seen(&self) -> Vec<String> {
        self.server.seen.lock().unwrap().clone()
    }

    /// Waits until the server was asked `wanted`.
    pub(super) async fn sees(&self, wanted: &str) {
        let deadline = tokio::time::Instant::now() + crate::support::audit::LIMIT;
        while !self.seen().iter().any(|seen| seen == wanted) {
            assert!(tokio::time::Instant::now() < deadline, "{wanted}: {:?}", self.seen());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client's request, in an era of its own.
    pub(super) fn request(&self, wire: Wire, method: &str, params: Value) -> Request {
        let token = token(&self.product, &["weather:read"]);
        let name = params["uri"].as_str().map(str::to_owned);
        let request = mcp(wire, Some(&token), method, params).path(PATH);
        match name {
            Some(uri) if wire == Wire::Modern => request.header("mcp-name", &uri),
            _ => request,
        }
    }

    pub(super) async fn rpc(&self, wire: Wire, method: &str, params: Value) -> Answer {
        self.product.send(self.request(wire, method, params)).await
    }

    /// A tool's call.
    pub(super) async fn call(&self, wire: Wire, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        last(&self.rpc(wire, "tools/call", params).await)
    }
}

/// The last message of an answer, whether it is one or a stream.
pub(super) fn last(answer: &Answer) -> Value {
    let line = answer.body.lines().rfind(|line| line.contains("\"jsonrpc\""));
    let line = line.unwrap_or_else(|| panic!("{answer:?}"));
    serde_json::from_str(line.trim_start_matches("data: ")).unwrap()
}

async fn serve(listener: TcpListener, server: OneEra) {
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let router = axum::Router::new().route_service("/mcp", service);
    axum::serve(listener, router).await.unwrap();
}
