//! Logs: to stderr, readable on a terminal and JSON in production. Standard output belongs to the audit log.

mod levels;
pub mod otlp;

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use levels::Chosen;

pub use levels::{ALL, Level, Levels, MODULES, UnknownModule};

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Human,
    Json,
}

/// Starts logging for the process. A second call changes nothing.
///
/// `level` is for our own code; [`Levels`] can change it later.
pub fn start(level: Level, format: Format, colour: bool) {
    let chosen = Chosen::new(level);
    let (filter, handle) = reload::Layer::new(chosen.filter());
    let registry = tracing_subscriber::registry().with(filter).with(otlp::Logs);
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
    if started.is_ok() {
        Levels::keep(chosen, Box::new(move |filter| handle.reload(filter).is_ok()));
    } else {
        tracing::debug!("telemetry.already_started");
    }
}
