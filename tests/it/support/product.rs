//! The whole product on a loopback socket, its tokens, its audit log, and a client that sends what it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::app::{self, App, AppError};
use mcp_auth_broker::authorization_server::{NewAccessToken, SigningKeys};
use mcp_auth_broker::config::{Config, Environment, Sources, load};
use mcp_auth_broker::http::Stop;
use mcp_auth_broker::mcp::{McpService, ServerHandler};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::scope::Scope;
use mcp_auth_broker::secret::Environment as Variables;
use mcp_auth_broker::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use url::Url;

use super::audit;
use super::raw_http::{self, Answer, Request};

/// Which revision of MCP a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// 2026-07-28: `_meta` in the body and mirrored headers.
    Modern,
    /// 2025-11-25: the version header alone.
    Legacy,
    /// 2025-03-26: no version header.
    Oldest,
}

pub(crate) const WIRES: [Wire; 3] = [Wire::Modern, Wire::Legacy, Wire::Oldest];
pub(crate) const EXECUTE: &str = "auth.graph.operation.execute.v1";
pub(crate) const LIST: &str = "auth.graph.operations.list.v1";

/// A running broker. Dropping it ends it at once.
pub(crate) struct Product {
    pub(crate) directory: TempDir,
    pub(crate) authority: String,
    /// Of the listener for metrics, where there is one.
    pub(crate) admin: Option<String>,
    config: Config,
    keys: Arc<SigningKeys>,
    first_link: Option<Url>,
    log: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    cut: Option<oneshot::Sender<()>>,
    server: JoinSet<Result<(), AppError>>,
}

impl Product {
    /// A broker with the development defaults.
    pub(crate) async fn dev() -> Self {
        Self::start("").await
    }

    /// A broker with these settings in its `broker.toml`.
    pub(crate) async fn start(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings, &[]).await
    }

    /// The same in a directory that may hold files of an earlier run; `overrides` win over everything.
    pub(crate) async fn start_in(directory: TempDir, settings: &str, overrides: &[String]) -> Self {
        Self::start_with(directory, settings, overrides, Variables::default()).await
    }

    /// The same with variables of the environment.
    pub(crate) async fn start_with(
        directory: TempDir,
        settings: &str,
        overrides: &[String],
        variables: Variables,
    ) -> Self {
        Self::start_around(directory, settings, overrides, variables, |service| service).await
    }

    /// The same with another MCP handler behind the guard.
    pub(crate) async fn start_around<H>(
        directory: TempDir,
        settings: &str,
        overrides: &[String],
        variables: Variables,
        handler: impl FnOnce(McpService) -> H,
    ) -> Self
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let clock = Arc::new(SystemClock);
        Box::pin(Self::start_all(directory, (settings, overrides), variables, clock, handler)).await
    }

    /// A broker to which time passes as `clock` says.
    pub(crate) async fn start_at(settings: &str, clock: Arc<dyn Clock>) -> Self {
        Self::start_in_at(tempfile::tempdir().unwrap(), settings, clock).await
    }

    /// The same with what there is in `directory`.
    pub(crate) async fn start_in_at(
        directory: TempDir,
        settings: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let variables = Variables::default();
        Box::pin(Self::start_all(directory, (settings, &[]), variables, clock, |service| service))
            .await
    }

    /// The same where `overrides` win over everything.
    pub(crate) async fn start_over(
        settings: &str,
        overrides: &[String],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (directory, variables) = (tempfile::tempdir().unwrap(), Variables::default());
        let settings = (settings, overrides);
        Box::pin(Self::start_all(directory, settings, variables, clock, |service| service)).await
    }

    /// The same with files in its directory, and with variables of the environment.
    pub(crate) async fn start_then(
        directory: TempDir,
        settings: &str,
        variables: Variables,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Box::pin(Self::start_all(directory, (settings, &[]), variables, clock, |service| service))
            .await
    }

    async fn start_all<H>(
        directory: TempDir,
        (settings, overrides): (&str, &[String]),
        variables: Variables,
        clock: Arc<dyn Clock>,
        handler: impl FnOnce(McpService) -> H,
    ) -> Self
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = directory.path().join("log/audit.jsonl");
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        let config = configure(directory.path(), settings, &address.to_string(), &log, overrides);
        let random = Arc::new(SystemRandom::new());
        let app = App::build_around(config.clone(), variables, clock, random, handler);
        let mut app = Box::pin(app).await.unwrap();
        let admin = app.open_admin().await.unwrap().map(|address| address.to_string());
        let variables = Variables::default();
        let keys = app::signing_keys(&config, &variables, Arc::new(SystemClock)).await.unwrap();
        let first_link = app.first_administrator_link().await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut server = JoinSet::new();
        let (cut, at_once) = oneshot::channel();
        let drain = async {
            stopped.await.ok();
        };
        // A product that is dropped ends at once anyway.
        let now = async {
            match at_once.await {
                Ok(()) => {}
                Err(_) => std::future::pending().await,
            }
        };
        server.spawn(app.serve(listener, Stop { drain, now }));
        let authority = address.to_string();
        let (stop, cut) = (Some(stop), Some(cut));
        Self { directory, authority, admin, config, keys, first_link, log, stop, cut, server }
    }

    /// Whether there is such a link.
    pub(crate) const fn has_first_link(&self) -> bool {
        self.first_link.is_some()
    }

    /// With which the first administrator chooses a password.
    pub(crate) fn first_link(&self) -> &Url {
        self.first_link.as_ref().expect("nobody has a password yet")
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// The same machine by its other name.
    pub(crate) fn alias(&self) -> String {
        self.authority.replace("127.0.0.1", "localhost")
    }

    /// Asks the broker to stop; [`Product::ended`] waits for it.
    pub(crate) fn stop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    /// Drains it; gives the directory, for another to start in.
    pub(crate) async fn into_directory(mut self) -> TempDir {
        self.stop();
        while let Some(ended) = self.server.join_next().await {
            ended.unwrap().unwrap();
        }
        self.directory
    }

    /// Asks it to wait for nothing.
    pub(crate) fn cut(&mut self) {
        self.cut.take().map(|cut| cut.send(()));
    }

    pub(crate) async fn ended(&mut self) {
        self.server.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Stops, waits, and gives the directory for another start.
    pub(crate) async fn restart(mut self, settings: &str) -> Self {
        self.stop();
        self.ended().await;
        Self::start_in(self.directory, settings, &[]).await
    }

    /// A token of our own issuer for Ada with these scopes.
    pub(crate) fn token(&self, scopes: &[&str]) -> String {
        self.token_with(scopes, |_| {})
    }

    pub(crate) fn token_with(
        &self,
        scopes: &[&str],
        change: impl FnOnce(&mut NewAccessToken),
    ) -> String {
        let now = SystemClock.now();
        let mut token = NewAccessToken {
            issuer: app::issuer(&self.config).parse().unwrap(),
            audience: app::resource(&self.config),
            subject: "ada".parse().unwrap(),
            client_id: "agent".parse().unwrap(),
            scope: scopes.iter().map(|scope| scope.parse().unwrap()).collect::<Scope>(),
            issued_at: now,
            expires_at: now.plus(Duration::from_mins(10)),
        };
        change(&mut token);
        token.sign(&self.keys, &SystemRandom::new()).unwrap().0.expose().to_owned()
    }

    /// Sends `request` as it stands, on a connection of its own.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        raw_http::exchange(&self.authority, &request.bytes(&self.authority)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::new("GET", path)).await
    }

    /// One MCP request.
    pub(crate) async fn rpc(&self, wire: Wire, token: &str, method: &str, params: Value) -> Answer {
        self.send(mcp(wire, Some(token), method, params)).await
    }

    /// The JSON-RPC answer of a tool call by a modern client.
    pub(crate) async fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        self.rpc(Wire::Modern, token, "tools/call", params).await.json()
    }

    /// What the Graph tool answers to these arguments.
    pub(crate) async fn graph(&self, token: &str, arguments: Value) -> Value {
        let answer = self.call(token, EXECUTE, arguments).await;
        let result = &answer["result"];
        assert!(result.is_object(), "no result: {answer}");
        let content: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        let structured = result["structuredContent"].clone();
        assert_eq!(content, structured, "text and structure differ");
        assert_eq!(result["isError"] == true, structured["status"] == "error", "{answer}");
        structured
    }

    /// The same for a GET of `path` and nothing else.
    pub(crate) async fn graph_get(&self, token: &str, path: &str) -> Value {
        self.graph(token, json!({ "operation": { "method": "GET", "path": path } })).await
    }

    /// Every audit line so far. What was answered has been recorded.
    pub(crate) fn audit_lines(&self) -> Vec<String> {
        audit::lines(&self.log)
    }

    /// The directory of the audit log: while it is away, no event can be written.
    pub(crate) fn log_directory(&self) -> &Path {
        self.log.parent().unwrap()
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        self.audit_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The types of all events so far.
    pub(crate) fn event_types(&self) -> Vec<String> {
        self.audit().iter().map(|event| event["event_type"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the log holds `wanted`; for what happens after nobody listens any more.
    pub(crate) async fn audited(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + audit::LIMIT;
        loop {
            if let Some(found) = self.audit().into_iter().find(|event| wanted(event)) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "{:#?}", self.audit_lines());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn configure(
    directory: &Path,
    settings: &str,
    listen: &str,
    log: &Path,
    overrides: &[String],
) -> Config {
    std::fs::write(directory.join("broker.toml"), settings).unwrap();
    let log = log.display().to_string();
    let mut all = vec![
        format!("server.listen={listen}"),
        format!("store.url=sqlite:{}/data/broker.db", directory.display()),
        format!("audit.sink=[{{ kind = \"file\", path = {log:?}, durable = true }}]"),
    ];
    if !settings.contains("drain_pause_ms") {
        all.push("server.drain_pause_ms=0".to_owned());
    }
    all.extend_from_slice(overrides);
    let loaded = load(Sources {
        directory: directory.to_owned(),
        environment: Environment::default(),
        overrides: all,
        file: None,
    });
    loaded.config.clone().unwrap_or_else(|| panic!("{:#?}", loaded.findings))
}

/// A POST of one JSON-RPC request, as clients of that revision send it.
pub(crate) fn mcp(wire: Wire, token: Option<&str>, method: &str, mut params: Value) -> Request {
    let name = params["name"].as_str().map(str::to_owned);
    if wire == Wire::Modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let mut request = post(token, body.to_string());
    match wire {
        Wire::Modern => {
            request = request.header("mcp-protocol-version", "2026-07-28");
            request = request.header("mcp-method", method);
            if let (Some(name), "tools/call" | "prompts/get") = (name, method) {
                request = request.header("mcp-name", &name);
            }
        }
        Wire::Legacy => request = request.header("mcp-protocol-version", "2025-11-25"),
        Wire::Oldest => {}
    }
    request
}

/// A POST to the endpoint with the headers every client sends.
pub(crate) fn post(token: Option<&str>, body: impl Into<Vec<u8>>) -> Request {
    let request = Request::new("POST", "/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(body);
    match token {
        Some(token) => request.header("authorization", &format!("Bearer {token}")),
        None => request,
    }
}

/// A value for a snapshot: what differs from run to run is replaced. Names are JSON pointers; each must exist.
pub(crate) fn stable(value: &Value, varying: &[&str]) -> Value {
    let mut value = value.clone();
    for pointer in varying {
        let found = value.pointer_mut(pointer);
        *found.unwrap_or_else(|| panic!("no {pointer}")) = json!("[varies]");
    }
    value
}
