//! What is logged, while the broker runs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::audit::{AdminAction, AdminObject};

use super::{Actor, Operations};

/// The least severe messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// From which level on a module logs.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct LogLevelView {
    /// `all`, or a module of the broker that is set apart, such as `upstream`.
    pub module: &'static str,
    pub level: LogLevel,
}

/// A level to set.
#[derive(Clone, Copy, Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewLogLevel {
    pub(in crate::admin) level: LogLevel,
}

/// A seam, because logs belong to the process, which only `app` knows.
pub trait LogControl: Send + Sync + fmt::Debug {
    /// `all` first. Empty where nothing is logged.
    fn list(&self) -> Vec<LogLevelView>;

    /// Everything that has a level of its own: `all`, and each module.
    fn modules(&self) -> &'static [&'static str];

    /// Sets the level of one of the modules, or with `None` lets it log as all others do.
    fn set(&self, module: &str, level: Option<LogLevel>);
}

impl Operations {
    /// # Errors
    ///
    /// [`AdminError::NotFound`] where no broker serves.
    pub fn log_levels(&self) -> Result<Vec<LogLevelView>, AdminError> {
        Ok(self.serving()?.logs.list())
    }

    /// In force at once and until the process ends, in this replica alone.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]: there is no such module. [`AdminError::Audit`]
    pub async fn set_log_level(
        &self,
        actor: &Actor,
        module: &str,
        level: Option<LogLevel>,
    ) -> Result<Vec<LogLevelView>, AdminError> {
        let logs = &self.serving()?.logs;
        let known = logs.modules().iter().find(|known| **known == module);
        let Some(name) = known else { return Err(AdminError::NotFound("module")) };
        // In the log stand words of our own: which module, and which level.
        let id = match level {
            Some(level) => format!("{name}={}", level.as_str()),
            None => (*name).to_owned(),
        };
        let action = if level.is_some() { AdminAction::Replace } else { AdminAction::Delete };
        let setting = async {
            logs.set(name, level);
            Ok(logs.list())
        };
        self.change(actor, (AdminObject::LogLevel, action, &id), setting).await
    }
}
