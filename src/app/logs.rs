//! What this process logs, for administrators.

use crate::admin::{LogControl, LogLevel, LogLevelView};
use crate::telemetry::{Level, Levels, MODULES};

/// The levels of the process.
#[derive(Debug)]
pub(super) struct Logs;

impl LogControl for Logs {
    fn list(&self) -> Vec<LogLevelView> {
        let levels = Levels::of_process().map(Levels::list).unwrap_or_default();
        let view = |(module, level)| LogLevelView { module, level: shown(level) };
        levels.into_iter().map(view).collect()
    }

    fn modules(&self) -> &'static [&'static str] {
        &MODULES
    }

    fn set(&self, module: &str, level: Option<LogLevel>) {
        let Some(levels) = Levels::of_process() else { return };
        let set = match level {
            Some(level) => levels.set(module, meant(level)),
            None => levels.reset(module),
        };
        debug_assert!(set.is_ok(), "one of `modules`");
    }
}

const fn shown(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}

const fn meant(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    }
}
