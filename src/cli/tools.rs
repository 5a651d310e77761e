//! `broker tools`: all that are configured, or what the bearer of a token sees.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use url::Url;

use crate::config::Environment;
use crate::mcp::Toolbox;
use crate::outbound::{Call, Limits};

use super::failure::Failure;
use super::running::Running;
use super::settings::SettingsArgs;

/// Which tools.
#[derive(Debug, Args)]
pub(super) struct ToolsArgs {
    /// Show what the bearer of this token sees; `env:NAME` reads it from a variable
    #[arg(long, value_name = "JWT")]
    token: Option<String>,
    /// The MCP endpoint to ask [default: the configured one]
    #[arg(long)]
    url: Option<Url>,
}

pub(super) async fn run(
    args: &ToolsArgs,
    settings: &SettingsArgs,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let answer = match (&args.token, &args.url) {
        (None, None) => Toolbox::new(settings.load(environment)?.config.tools.sample).describe(),
        (token, url) => {
            let token = token.as_deref().map(|token| match token.strip_prefix("env:") {
                Some(name) => environment.get(name).unwrap_or_default().to_owned(),
                None => token.to_owned(),
            });
            let broker = Running::at(url.as_ref(), settings, environment)?;
            let url = url.clone().unwrap_or_else(|| broker.below("/mcp"));
            ask(&broker, url, token.as_deref()).await?
        }
    };
    let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
    writeln!(out, "{text}").map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(broker: &Running, url: Url, token: Option<&str>) -> Result<Value, Failure> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/list",
        "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        } },
    });
    let mut call = Call { method: Method::POST, body: body.to_string().into(), ..Call::get(url) }
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
        .header(
            http::HeaderName::from_static("mcp-protocol-version"),
            HeaderValue::from_static("2026-07-28"),
        )
        .header(
            http::HeaderName::from_static("mcp-method"),
            HeaderValue::from_static("tools/list"),
        );
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        call = call.header(
            header::AUTHORIZATION,
            value.map_err(|_| Failure::new("--token is not a token"))?,
        );
    }
    let limits = Limits { timeout: Duration::from_secs(10), max_bytes: 4 * 1024 * 1024 };
    let answer = broker.send(call, limits).await?;
    let challenge = answer.header(&header::WWW_AUTHENTICATE).unwrap_or_default();
    if !answer.status.is_success() {
        return Err(Failure::new(format!("the broker answered {} {challenge}", answer.status)));
    }
    let message: Value =
        serde_json::from_slice(&answer.body).map_err(|error| Failure::of(&error))?;
    Ok(message.get("result").cloned().unwrap_or(message))
}
