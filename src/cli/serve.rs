//! `broker serve`: start, say what to do next, serve until told to stop, drain.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use url::Url;

use crate::app::App;
use crate::config::{Config, Deployment, Environment, GraphMode, LogFormat, LogLevel};
use crate::http::{Stop, bind};
use crate::process;
use crate::random::SystemRandom;
use crate::telemetry;
use crate::time::SystemClock;

use super::failure::Failure;
use super::settings::{Ready, SettingsArgs};

pub(super) async fn run(
    args: &SettingsArgs,
    environment: Environment,
) -> Result<ExitCode, Failure> {
    let ready = args.load(environment)?;
    start_logging(&ready);
    warn(&ready);
    // Before any secret is read, and before any program is started that could look.
    if let Err(error) = process::hide() {
        tracing::warn!(error = &error as &dyn std::error::Error, "process.not_hidden");
    }
    let variables = ready.variables();
    let app = Box::pin(App::build(
        ready.into_config(),
        variables,
        Arc::new(SystemClock),
        Arc::new(SystemRandom::new()),
    ));
    let app = app.await.map_err(|error| Failure::of(&error))?;
    let listener = bind(app.config().server.listen).await.map_err(|error| Failure::of(&error))?;
    let stop = stop_signals()?;
    if std::io::stderr().is_terminal() || app.config().deployment == Deployment::Dev {
        let link = app.first_administrator_link().await.map_err(|error| Failure::of(&error))?;
        write!(std::io::stderr(), "{}", banner(app.config(), link.as_ref())).ok();
    }
    tracing::info!(listen = %app.config().server.listen, policy_version = %app.policy().current().policy().version(), "http.listening");
    Box::pin(app.serve(listener, stop)).await.map_err(|error| Failure::of(&error))?;
    tracing::info!("http.stopped");
    Ok(ExitCode::SUCCESS)
}

fn start_logging(ready: &Ready) {
    let telemetry = &ready.config.telemetry;
    let level = match telemetry.log_level {
        LogLevel::Debug => telemetry::Level::Debug,
        LogLevel::Info => telemetry::Level::Info,
        LogLevel::Warn | LogLevel::Warning => telemetry::Level::Warn,
        LogLevel::Error => telemetry::Level::Error,
    };
    let format = match telemetry.log_format {
        LogFormat::Text => telemetry::Format::Human,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::start(level, format, !ready.environment.no_color());
}

/// What `broker check` would say, for those who did not ask.
fn warn(ready: &Ready) {
    for finding in &ready.loaded.findings {
        tracing::warn!(key = %finding.key, problem = %finding.problem, "config.finding");
    }
}

/// The first SIGTERM or SIGINT begins the drain, the second ends it.
pub(super) fn stop_signals()
-> Result<Stop<impl Future<Output = ()>, impl Future<Output = ()>>, Failure> {
    let open = |kind| signal(kind).map_err(|error| Failure::of(&error));
    let mut signals = Signals {
        terminate: open(SignalKind::terminate())?,
        interrupt: open(SignalKind::interrupt())?,
    };
    let (hand_over, second) = tokio::sync::oneshot::channel();
    let drain = async move {
        signals.next().await;
        tracing::info!("http.draining");
        hand_over.send(signals).ok();
    };
    let now = async move {
        match second.await {
            Ok(mut signals) => signals.next().await,
            Err(_) => std::future::pending().await,
        }
    };
    Ok(Stop { drain, now })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a person needs to go on.
fn banner(config: &Config, first_link: Option<&Url>) -> String {
    let base = config.server.public_url.as_str().trim_end_matches('/');
    let graph = match config.graph.mode {
        GraphMode::Simulated => "simulated (every answer says so; nothing reaches Microsoft)",
        GraphMode::Live => "live",
    };
    let environment = config.deployment.as_str();
    let version = env!("CARGO_PKG_VERSION");
    let first = first_link.map(|link| {
        format!(
            "\n  First choose the password of the administrator, admin (the link works once, for a day):\n\n    {link}\n"
        )
    });
    let (account, add, header) = if config.authorization_server.enabled {
        let account = format!("  account        {base}/account\n");
        (account, "Add it to Claude Code, which then sends you here to log in and to consent", "")
    } else {
        let header = " --header \"Authorization: Bearer $TOKEN\"";
        (String::new(), "Add it to Claude Code, with a token of your issuer", header)
    };
    format!(
        "\n  MCP Auth Broker {version}\n\n  \
           MCP endpoint   {base}/mcp\n  \
           environment    {environment}\n  \
           Graph          {graph}\n  \
           health         {base}/health  {base}/ready\n\
         {account}{}\n  \
         {add}:\n\n    \
           claude mcp add --transport http broker {base}/mcp{header}\n\n",
        first.unwrap_or_default(),
    )
}
