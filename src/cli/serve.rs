//! `broker serve`: start, say what to do next, serve until told to stop, drain.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use url::Url;

use crate::app::App;
use crate::config::{
    Config, Deployment, Environment, GraphMode, Loaded, LogFormat, LogLevel, Severity, load,
};
use crate::http::{Stop, bind};
use crate::process;
use crate::random::SystemRandom;
use crate::telemetry;
use crate::time::SystemClock;

use super::failure::Failure;
use super::settings::{Ready, SettingsArgs, faulty};
use super::waiting::{NotBegun, Pace, Place, Waiting};

pub(super) async fn run(
    args: &SettingsArgs,
    environment: Environment,
) -> Result<ExitCode, Failure> {
    tokio::select! {
        ended = serve(args, environment) => ended,
        // From before the first program is started.
        never = process::reap_orphans() => match never {},
    }
}

async fn serve(args: &SettingsArgs, environment: Environment) -> Result<ExitCode, Failure> {
    let Stop { drain, now } = stop_signals()?;
    let mut drain = pin!(drain);
    let mut waiting = Waiting::new()?;
    let app = loop {
        let begun = tokio::select! {
            begun = Box::pin(begin(args, environment.clone(), &mut waiting)) => begun,
            () = drain.as_mut() => return Ok(ExitCode::SUCCESS),
        };
        match begun {
            Ok(app) => break app,
            Err(NotBegun::Ever(failure)) => return Err(failure),
            Err(NotBegun::Yet { place, failure, pace }) => {
                let again = waiting.wait(place, (&failure, pace));
                let again = tokio::select! {
                    again = again => again,
                    () = drain.as_mut() => return Ok(ExitCode::SUCCESS),
                };
                again?;
            }
        }
    };
    waiting.end().await;
    let listener = bind(app.config().server.listen).await.map_err(|error| Failure::of(&error))?;
    let stop = Stop { drain, now };
    if std::io::stderr().is_terminal() || app.config().deployment == Deployment::Dev {
        let link = app.first_administrator_link().await.map_err(|error| Failure::of(&error))?;
        write!(std::io::stderr(), "{}", banner(app.config(), link.as_ref())).ok();
    }
    tracing::info!(listen = %app.config().server.listen, policy_version = %app.policy().current().policy().version(), "http.listening");
    Box::pin(app.serve(listener, stop)).await.map_err(|error| Failure::of(&error))?;
    tracing::info!("http.stopped");
    Ok(ExitCode::SUCCESS)
}

/// One try: settings, then everything that is made of them.
async fn begin(
    args: &SettingsArgs,
    environment: Environment,
    waiting: &mut Waiting,
) -> Result<App, NotBegun> {
    let loaded = load(args.sources(environment));
    let Some(config) = loaded.config.clone() else { return Err(unmet(&loaded, waiting)) };
    let place = Place::of(&config);
    if let Some(before) = waiting.another_environment(config.deployment) {
        return Err(another_environment(place, before, config.deployment));
    }
    let ready = Ready { config, environment: loaded.environment.clone(), loaded };
    if waiting.is_first() {
        start_logging(&ready.config, &ready.environment);
    }
    if waiting.warns_now() {
        warn(&ready);
    }
    // Before any secret is read, and before any program is started that could look.
    if let Err(error) = process::hide() {
        tracing::warn!(error = &error as &dyn std::error::Error, "process.not_hidden");
    }
    let variables = ready.variables();
    let app = Box::pin(App::try_build(
        waiting.backends(),
        ready.into_config(),
        variables,
        Arc::new(SystemClock),
        Arc::new(SystemRandom::new()),
    ));
    app.await.map_err(|error| NotBegun::of(&error, place))
}

fn another_environment(place: Place, before: Deployment, now: Deployment) -> NotBegun {
    let problem = format!("environment is {} now, and was {}", now.as_str(), before.as_str());
    let failure = Failure::new(problem).hint(
        "where that is meant, start the broker anew; a file that was half written is read again",
    );
    NotBegun::Yet { place, failure, pace: Pace::Soon }
}

/// Settings that cannot be used, or not yet.
fn unmet(loaded: &Loaded, waiting: &Waiting) -> NotBegun {
    let Some(config) = &loaded.unmet else { return NotBegun::Ever(faulty(loaded)) };
    let place = Place::of(config);
    if let Some(before) = waiting.another_environment(config.deployment) {
        return another_environment(place, before, config.deployment);
    }
    if place.is_dev() {
        return NotBegun::Ever(faulty(loaded));
    }
    if waiting.is_first() {
        start_logging(config, &loaded.environment);
    }
    let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let faults: Vec<_> = errors.map(|error| format!("{} {}", error.key, error.problem)).collect();
    let failure = Failure::new(faults.join("; "));
    NotBegun::Yet {
        place,
        failure: failure.hint("a variable counts at the next start; broker check says more"),
        pace: Pace::Soon,
    }
}

fn start_logging(config: &Config, environment: &Environment) {
    let telemetry = &config.telemetry;
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
    telemetry::start(level, format, !environment.no_color());
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
