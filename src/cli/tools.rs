//! `broker tools`: all that are configured, or what the bearer of a token sees.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::config::Environment;
use crate::mcp::Toolbox;
use crate::outbound::{Answer, Call, Limits};

use super::failure::Failure;
use super::running::Running;
use super::settings::SettingsArgs;

/// Which tools.
#[derive(Debug, Args)]
pub(super) struct ToolsArgs {
    /// Show what the bearer of this token sees; `env:NAME` reads it from a variable
    #[arg(long, value_name = "JWT")]
    token: Option<String>,
    /// The MCP endpoint to ask [default: that of the broker at the configured listen address]
    #[arg(long)]
    url: Option<Url>,
    /// Changes nothing: JSON is the only form
    #[arg(long = "json")]
    _json: bool,
}

/// Far more than any list has: an end for one that names another page for ever.
const PAGES: usize = 1000;
const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 4 * 1024 * 1024 };

pub(super) async fn run(
    args: &ToolsArgs,
    settings: &SettingsArgs,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let answer = match (&args.token, &args.url) {
        (None, None) => Toolbox::new(settings.load(environment)?.config.tools.sample).describe(),
        (token, url) => {
            let token =
                token.as_deref().map(|token| authorization(token, &environment)).transpose()?;
            let broker = Running::at(url.as_ref(), settings, environment)?;
            let url = url.clone().unwrap_or_else(|| broker.below("/mcp"));
            all(&broker, &url, token.as_ref()).await?
        }
    };
    let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
    writeln!(out, "{text}").map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

/// The header with the token, which `env:NAME` may stand for.
fn authorization(token: &str, environment: &Environment) -> Result<HeaderValue, Failure> {
    let token = match token.strip_prefix("env:") {
        Some(name) => environment.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Failure::new(format!("--token env:{name}: the variable is not set, or empty"))
                .hint(format!("export {name}=…, in the shell that runs this command"))
        })?,
        None => token,
    };
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_quotes_it| {
        Failure::new("--token is not a token")
            .hint("one line without spaces, such as broker login prints; env:NAME reads a variable")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The list with the tools of all its pages.
async fn all(broker: &Running, url: &Url, token: Option<&HeaderValue>) -> Result<Value, Failure> {
    let mut list = page(broker, url, token, None).await?;
    let mut cursor = next(&mut list);
    for _ in 0..PAGES {
        let Some(after) = cursor.take() else { return Ok(list) };
        let mut more = page(broker, url, token, Some(&after)).await?;
        cursor = next(&mut more);
        let more = more.get_mut("tools").and_then(Value::as_array_mut).map(std::mem::take);
        if let Some(tools) = list.get_mut("tools").and_then(Value::as_array_mut) {
            tools.extend(more.unwrap_or_default());
        }
    }
    Err(Failure::new("the list of tools has no end")
        .hint("each page names another one: look at the server that gives it"))
}

fn next(page: &mut Value) -> Option<Value> {
    page.as_object_mut()?.remove("nextCursor").filter(Value::is_string)
}

async fn page(
    broker: &Running,
    url: &Url,
    token: Option<&HeaderValue>,
    cursor: Option<&Value>,
) -> Result<Value, Failure> {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    if let (Some(cursor), Some(params)) = (cursor, params.as_object_mut()) {
        params.insert("cursor".to_owned(), cursor.clone());
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params });
    let call = Call::get(url.clone());
    let mut call = Call { method: Method::POST, body: body.to_string().into(), ..call }
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
        call = call.header(header::AUTHORIZATION, token.clone());
    }
    let answer = broker.send(call, LIMITS).await?;
    if !answer.status.is_success() {
        return Err(refused(&answer, token.is_some()));
    }
    let message: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let result = message.and_then(|mut message| message.get_mut("result").map(Value::take));
    result.ok_or_else(|| {
        Failure::new("the answer is no list of tools")
            .hint("--url names an MCP endpoint that speaks 2026-07-28, such as https://broker.example/mcp")
    })
}

fn refused(answer: &Answer, with_token: bool) -> Failure {
    let status = answer.status;
    let failure = Failure::new(format!("the broker answered {status}"));
    let failure = match answer.header(&header::WWW_AUTHENTICATE) {
        Some(challenge) => failure.cause(challenge),
        None => failure,
    };
    failure.hint(match status {
        StatusCode::UNAUTHORIZED if with_token => {
            "broker token inspect says which check the token fails; broker login gets another"
        }
        StatusCode::UNAUTHORIZED => "name a token with --token; broker login gets one",
        StatusCode::FORBIDDEN => {
            "the token lacks a scope that stands above: broker login --scope …"
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            "--url names the MCP endpoint: https://broker.example/mcp, or /servers/ID/mcp there"
        }
        StatusCode::MISDIRECTED_REQUEST => {
            "the host in --url has to be that of server.public_url, or one of server.allowed_hosts"
        }
        StatusCode::TOO_MANY_REQUESTS => "a limit is reached (limits): try again later",
        _ => "the broker's log says why: look for this request there",
    })
}
