//! `broker smoke-e2e`: a broker on a free loopback port, its stand-ins, and an MCP client that drives it.
//!
//! Everything speaks real HTTP: the client is rmcp's, the identity provider and Graph are the built-in
//! simulation. A JSON line for each step, then a report.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, header};
use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, ClientConfig};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use url::Url;

use crate::app::{self, App};
use crate::authorization_server::NewAccessToken;
use crate::config::{Environment, Sources, load, temporary_directory};
use crate::http::{Stop, bind};
use crate::outbound::{Answer, Call, Limits};
use crate::random::SystemRandom;
use crate::time::{Clock, SystemClock};

use super::failure::Failure;
use super::running;

#[derive(Debug, Args)]
pub(super) struct SmokeArgs {
    /// Changes nothing: JSON is the only form
    #[arg(long = "json")]
    _json: bool,
}

/// Runs all steps; exit code 0 when every one passed.
pub(super) async fn run(out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let directory = Scratch::new()?;
    let listener = bind(([127, 0, 0, 1], 0).into()).await.map_err(|error| Failure::of(&error))?;
    let address = listener.local_addr().map_err(|error| Failure::of(&error))?;
    let log = directory.0.join("audit.jsonl");
    let listen = format!("server.listen={address}");
    let app = Box::pin(build(&directory, &listen, &log)).await?;
    let subject = Subject::new(&app)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut server = tokio::task::JoinSet::new();
    let drain = async {
        stopped.await.ok();
    };
    server.spawn(app.serve(listener, Stop { drain, now: std::future::pending() }));
    let mut report = Report { out, steps: Vec::new() };
    subject.drive(&mut report).await?;
    stop.send(()).ok();
    let ended = server.join_next().await;
    report.step(
        "drain",
        matches!(ended, Some(Ok(Ok(())))),
        "the broker stops and closes its audit log",
    )?;
    let events = std::fs::read_to_string(&log).unwrap_or_default();
    let terminal = [
        "\"result.emitted\"",
        "\"tools.listed\"",
        "\"auth.scope.insufficient\"",
        "\"auth.token.rejected\"",
    ];
    report.step(
        "audit",
        terminal.iter().all(|event| events.contains(event)),
        "every kind of ending is in the audit log",
    )?;
    report.finish()
}

/// A directory that goes away again.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let random: &dyn crate::random::Random = &SystemRandom::new();
        let name = format!("broker-smoke-{}", random.uuid_v7(SystemClock.now()));
        let path = temporary_directory().join(name);
        std::fs::create_dir(&path).map_err(|error| Failure::of(&error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A broker with the development defaults and nothing of this machine's settings.
async fn build(directory: &Scratch, listen: &str, log: &std::path::Path) -> Result<App, Failure> {
    let sink =
        format!("audit.sink=[{{ kind = \"file\", path = {:?} }}]", log.display().to_string());
    let store = format!("store.url=sqlite:{}/data/broker.db", directory.0.display());
    let loaded = load(Sources {
        directory: directory.0.clone(),
        environment: Environment::default(),
        overrides: vec![listen.to_owned(), store, sink],
        file: None,
    });
    let Some(config) = loaded.config.clone() else {
        return Err(super::settings::faulty(&loaded));
    };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    Box::pin(App::build(config, crate::secret::Environment::default(), clock, random))
        .await
        .map_err(|error| Failure::of(&error))
}

/// The steps that were taken.
struct Report<'a> {
    out: &'a mut dyn Write,
    steps: Vec<Value>,
}

impl Report<'_> {
    fn step(&mut self, name: &str, passed: bool, what: &str) -> Result<(), Failure> {
        let step = json!({ "step": name, "passed": passed, "what": what });
        writeln!(self.out, "{step}").map_err(Failure::output)?;
        self.steps.push(step);
        Ok(())
    }

    fn finish(self) -> Result<ExitCode, Failure> {
        let failed =
            self.steps.iter().filter(|step| step.get("passed") != Some(&json!(true))).count();
        let report =
            json!({ "passed": self.steps.len() - failed, "failed": failed, "steps": self.steps });
        writeln!(self.out, "{report}").map_err(Failure::output)?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The broker under test, from outside.
struct Subject {
    endpoint: Url,
    reader: String,
    expired: String,
}

impl Subject {
    fn new(app: &App) -> Result<Self, Failure> {
        let mint = |scope: &str, lifetime: i64| -> Result<String, Failure> {
            let now = SystemClock.now();
            let token = NewAccessToken {
                issuer: app::issuer(app.config()).parse().map_err(|error| Failure::of(&error))?,
                audience: app::resource(app.config()),
                subject: "smoke".parse().map_err(|error| Failure::of(&error))?,
                client_id: "broker-smoke".parse().map_err(|error| Failure::of(&error))?,
                scope: scope
                    .parse()
                    .map_err(|error: crate::scope::ScopeError| Failure::of(&error))?,
                issued_at: now.plus_seconds(lifetime.min(0) - 60),
                expires_at: now.plus_seconds(lifetime),
            };
            let signed = token.sign(&app.keys(), &SystemRandom::new());
            Ok(signed.map_err(|error| Failure::of(&error))?.0.expose().to_owned())
        };
        let endpoint =
            Url::parse(&app::resource(app.config())).map_err(|error| Failure::of(&error))?;
        Ok(Self {
            endpoint,
            reader: mint("public:read graph:read", 300)?,
            expired: mint("public:read", -3600)?,
        })
    }

    async fn drive(&self, report: &mut Report<'_>) -> Result<(), Failure> {
        let ready = self.get("/ready").await?;
        report.step("ready", ready.status.is_success(), "/ready answers 200")?;
        let metadata = self.get("/.well-known/oauth-protected-resource/mcp").await?;
        let metadata: Value = serde_json::from_slice(&metadata.body).unwrap_or_default();
        let resource = metadata.get("resource").and_then(Value::as_str).unwrap_or_default();
        report.step(
            "discover",
            resource == self.endpoint.as_str(),
            "the metadata names this resource",
        )?;
        let client = self.connect().await?;
        let tools = client.list_all_tools().await.map_err(|error| Failure::of(&error))?;
        let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
        let expected = [crate::mcp::GRAPH_EXECUTE, crate::mcp::GRAPH_LIST, "get_public_info"];
        report.step("list", names == expected, "the list holds what this token's scopes show")?;
        self.calls(&client, report).await?;
        client.cancel().await.ok();
        let expired = self.post(Some(&self.expired), "get_public_info", &json!({})).await?;
        report.step(
            "bad_token",
            expired.status == 401 && challenge(&expired).contains("invalid_token"),
            "an expired token is refused with 401",
        )?;
        let anonymous = self.post(None, "get_public_info", &json!({})).await?;
        let plain = anonymous.status == 401 && !challenge(&anonymous).contains("error=");
        report.step(
            "no_token",
            plain,
            "no token is answered 401 with a challenge and no error code",
        )
    }

    async fn calls(
        &self,
        client: &RunningService<RoleClient, ClientConfig>,
        report: &mut Report<'_>,
    ) -> Result<(), Failure> {
        let call = |name: &'static str, arguments: Value| {
            let arguments = arguments.as_object().cloned().unwrap_or_default();
            client.call_tool(CallToolRequestParams::new(name).with_arguments(arguments))
        };
        let public =
            call("get_public_info", json!({})).await.map_err(|error| Failure::of(&error))?;
        report.step("sample_call", public.is_error != Some(true), "a sample tool answers")?;
        let users = json!({ "operation": { "method": "GET", "path": "/v1.0/users?$top=2&$select=displayName" } });
        let allowed =
            call(crate::mcp::GRAPH_EXECUTE, users).await.map_err(|error| Failure::of(&error))?;
        let status = allowed
            .structured_content
            .as_ref()
            .map(|reply| reply.pointer("/result/execution/http_status").cloned());
        report.step(
            "allowed_call",
            status == Some(Some(json!(200))),
            "an allowed Graph operation is executed over HTTP",
        )?;
        let beta = json!({ "operation": { "method": "GET", "path": "/beta/users" } });
        let denied =
            call(crate::mcp::GRAPH_EXECUTE, beta).await.map_err(|error| Failure::of(&error))?;
        let code =
            denied.structured_content.as_ref().map(|reply| reply.pointer("/error/code").cloned());
        report.step(
            "denied_call",
            code == Some(Some(json!("policy.denied"))),
            "an operation that no rule allows is policy.denied",
        )?;
        let write = json!({ "operation": { "method": "DELETE", "path": "/v1.0/users/ada@contoso.example" } });
        let missing = self.post(Some(&self.reader), crate::mcp::GRAPH_EXECUTE, &write).await?;
        let stepped =
            missing.status == 403 && challenge(&missing).contains("scope=\"graph:write\"");
        report.step(
            "missing_scope",
            stepped,
            "a missing scope is answered 403 with the scope to ask for",
        )
    }

    async fn connect(&self) -> Result<RunningService<RoleClient, ClientConfig>, Failure> {
        let config = StreamableHttpClientTransportConfig::with_uri(self.endpoint.as_str())
            .auth_header(self.reader.clone());
        let transport = StreamableHttpClientTransport::from_config(config);
        ClientConfig::default().serve(transport).await.map_err(|error| Failure::of(&error))
    }

    async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let url = self.endpoint.join(path).map_err(|error| Failure::of(&error))?;
        send(Call::get(url)).await
    }

    async fn post(
        &self,
        token: Option<&str>,
        tool: &str,
        arguments: &Value,
    ) -> Result<Answer, Failure> {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let call = Call {
            method: Method::POST,
            body: body.to_string().into(),
            ..Call::get(self.endpoint.clone())
        }
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let bearer = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")));
        match bearer.transpose().map_err(|error| Failure::of(&error))? {
            Some(bearer) => send(call.header(header::AUTHORIZATION, bearer)).await,
            None => send(call).await,
        }
    }
}

fn challenge(answer: &Answer) -> &str {
    answer.header(&header::WWW_AUTHENTICATE).unwrap_or_default()
}

async fn send(call: Call) -> Result<Answer, Failure> {
    let client = running::client(&call.url, None)?;
    let limits = Limits { timeout: Duration::from_secs(10), max_bytes: 1024 * 1024 };
    client.send(call, limits).await.map_err(|error| Failure::of(&error))
}
