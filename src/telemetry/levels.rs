//! What is logged: from which level on, by module, also while the process runs.
//!
//! Libraries log from `warn` on, whatever is set here: at `debug` some of them write headers and statements, and what is in
//! those is not ours to show. rmcp and webauthn-rs do not log at all, since their messages quote requests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// What can be set: [`ALL`], the modules of this package, and two of `mcp-auth-layer`.
pub const MODULES: [&str; 25] = [
    ALL,
    "admin",
    "app",
    "audit",
    "authorization_server",
    "broker",
    "cli",
    "config",
    "connections",
    "forward_auth",
    "graph",
    "guard",
    "http",
    "limits",
    "mcp",
    "metrics",
    "oauth_client",
    "outbound",
    "policy",
    "resource_server",
    "secret",
    "store",
    "telemetry",
    "token",
    "upstream",
];

/// What stands for every module that is not set apart.
pub const ALL: &str = "all";

/// The least severe messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// As settings and the API write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// Levels by module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    all: Level,
    apart: BTreeMap<&'static str, Level>,
}

impl Chosen {
    pub(super) const fn new(all: Level) -> Self {
        Self { all, apart: BTreeMap::new() }
    }

    pub(super) fn filter(&self) -> Targets {
        let base = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("rmcp", LevelFilter::OFF)
            .with_target("webauthn_rs", LevelFilter::OFF)
            .with_target("mcp_auth_broker", self.all.filter())
            .with_target("mcp_auth_layer", self.all.filter());
        self.apart.iter().fold(base, |filter, (module, level)| {
            filter.with_target(target(module), level.filter())
        })
    }
}

fn target(module: &str) -> String {
    match module {
        "resource_server" | "outbound" => format!("mcp_auth_layer::{module}"),
        module => format!("mcp_auth_broker::{module}"),
    }
}

/// Puts a filter in force.
pub(super) type Apply = Box<dyn Fn(Targets) -> bool + Send + Sync>;

/// The levels of this process.
pub struct Levels {
    chosen: Mutex<Chosen>,
    apply: Apply,
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").field("chosen", &self.chosen).finish_non_exhaustive()
    }
}

/// What was asked is no module of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownModule;

static PROCESS: OnceLock<Levels> = OnceLock::new();

impl Levels {
    pub(super) fn keep(chosen: Chosen, apply: Apply) {
        PROCESS.set(Self { chosen: Mutex::new(chosen), apply }).ok();
    }

    /// Those of this process. `None` where nothing is logged, as in a test.
    #[must_use]
    pub fn of_process() -> Option<&'static Self> {
        PROCESS.get()
    }

    /// [`ALL`] first, then what is set apart.
    #[must_use]
    pub fn list(&self) -> Vec<(&'static str, Level)> {
        let chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = chosen.apart.iter().map(|(module, level)| (*module, *level));
        std::iter::once((ALL, chosen.all)).chain(apart).collect()
    }

    /// In force at once, until the process ends. For [`ALL`]: what is set apart stays so.
    ///
    /// # Errors
    ///
    /// [`UnknownModule`]: nothing was changed.
    pub fn set(&self, module: &str, level: Level) -> Result<(), UnknownModule> {
        self.change(module, |chosen, module| match module {
            None => chosen.all = level,
            Some(module) => drop(chosen.apart.insert(module, level)),
        })
    }

    /// The module logs as all others do. Nothing for [`ALL`].
    ///
    /// # Errors
    ///
    /// [`UnknownModule`]: nothing was changed.
    pub fn reset(&self, module: &str) -> Result<(), UnknownModule> {
        self.change(module, |chosen, module| {
            if let Some(module) = module {
                chosen.apart.remove(module);
            }
        })
    }

    fn change(
        &self,
        module: &str,
        change: impl FnOnce(&mut Chosen, Option<&'static str>),
    ) -> Result<(), UnknownModule> {
        let known = MODULES.into_iter().find(|known| *known == module).ok_or(UnknownModule)?;
        let known = Some(known).filter(|known| *known != ALL);
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut chosen, known);
        if !(self.apply)(chosen.filter()) {
            tracing::error!("telemetry.levels_not_applied"); // the subscriber is gone: nothing is logged any more
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::Level as Severity;

    use super::*;

    fn levels() -> (Levels, Arc<Mutex<Targets>>) {
        let chosen = Chosen::new(Level::Info);
        let applied = Arc::new(Mutex::new(chosen.filter()));
        let seen = Arc::clone(&applied);
        let apply = Box::new(move |filter| {
            *seen.lock().unwrap() = filter;
            true
        });
        (Levels { chosen: Mutex::new(chosen), apply }, applied)
    }

    #[test]
    fn a_module_is_set_apart_and_joins_the_others_again() {
        let (levels, applied) = levels();
        let logs = |target: &str, severity| applied.lock().unwrap().would_enable(target, &severity);
        assert!(!logs("mcp_auth_broker::upstream::server", Severity::DEBUG));
        levels.set("upstream", Level::Debug).unwrap();
        assert!(logs("mcp_auth_broker::upstream::server", Severity::DEBUG));
        assert!(!logs("mcp_auth_broker::graph", Severity::DEBUG));
        levels.set(ALL, Level::Error).unwrap();
        assert!(!logs("mcp_auth_broker::graph", Severity::WARN));
        assert!(!logs("mcp_auth_layer::resource_server::jwks", Severity::WARN), "one program");
        assert_eq!(levels.list(), [(ALL, Level::Error), ("upstream", Level::Debug)]);
        levels.reset("upstream").unwrap();
        assert!(!logs("mcp_auth_broker::upstream", Severity::WARN));
    }

    #[test]
    fn libraries_stay_quiet_and_unknown_modules_change_nothing() {
        let (levels, applied) = levels();
        levels.set(ALL, Level::Debug).unwrap();
        for module in ["hyper", "rmcp", "upstream=trace", "", "up", "upstream::server"] {
            assert_eq!(levels.set(module, Level::Debug), Err(UnknownModule), "{module}");
        }
        let logs = |target: &str, severity| applied.lock().unwrap().would_enable(target, &severity);
        assert!(!logs("rmcp::service", Severity::ERROR));
        for library in ["h2::codec", "hyper::proto", "sqlx::query", "reqwest::connect"] {
            assert!(!logs(library, Severity::INFO), "{library}");
        }
        assert!(!logs("mcp_auth_broker::graph", Severity::TRACE));
    }
}
