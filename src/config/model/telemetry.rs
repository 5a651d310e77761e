//! `[telemetry]`: logs, traces, metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// `[telemetry]`, parsed.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    /// The `service` of audit events and traces.
    pub service_name: String,
    pub otlp_endpoint: Option<Url>,
    pub metrics: bool,
}

/// The least severe messages that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    /// Another word for `warn`.
    Warning,
    Error,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Logs, traces, metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTelemetry {
    /// The least severe messages that are logged.
    pub(super) log_level: LogLevel,
    /// How log lines look. Unset: text in dev, JSON elsewhere.
    pub(super) log_format: Option<LogFormat>,
    /// What the broker calls itself in audit events and traces.
    pub(super) service_name: String,
    /// Where traces are sent (OTLP over HTTP). Unset: nowhere.
    pub(super) otlp_endpoint: Option<String>,
    /// Serves `/metrics`.
    pub(super) metrics: bool,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self {
            log_level: LogLevel::default(),
            log_format: None,
            service_name: "mcp-auth-broker".to_owned(),
            otlp_endpoint: None,
            metrics: false,
        }
    }
}
