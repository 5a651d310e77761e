//! Logs: to stderr, readable on a terminal and JSON in production. Standard output belongs to the audit log.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Human,
    Json,
}

/// Starts logging for the process. A second call changes nothing.
///
/// `level` is for our own code. Libraries log from `warn` on; rmcp not at all, since its messages quote requests.
pub fn start(level: tracing::Level, format: Format, colour: bool) {
    let filter = EnvFilter::new(format!("warn,rmcp=off,mcp_auth_broker={level}"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        Format::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        Format::Human => {
            let ansi = colour && std::io::stderr().is_terminal();
            registry
                .with(
                    tracing_subscriber::fmt::layer()
                        .with_ansi(ansi)
                        .with_target(false)
                        .with_writer(std::io::stderr),
                )
                .try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("telemetry.already_started");
    }
}
