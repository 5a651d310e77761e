//! `[telemetry]`: logs, traces, metrics.

use super::deployment::Deployment;
use crate::config::checker::Checker;
use crate::config::key::Key;
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
    /// Of the traces that begin here, so many are one that is sent. 0: none is.
    pub trace_one_in: u32,
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
    /// Where traces and the log are sent (OTLP over HTTP, JSON). Unset: nowhere.
    pub(super) otlp_endpoint: Option<String>,
    /// Of so many traces that begin at the broker one is sent; 1: each, 0: none. A trace that its caller keeps always is.
    pub(super) trace_one_in: u32,
    /// Counts what happens, and serves `/metrics`.
    pub(super) metrics: bool,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self {
            log_level: LogLevel::default(),
            log_format: None,
            service_name: "mcp-auth-broker".to_owned(),
            otlp_endpoint: None,
            trace_one_in: 1,
            metrics: false,
        }
    }
}

impl RawTelemetry {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Telemetry {
        let key = at.name("service_name");
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if self.service_name.is_empty()
            || self.service_name.len() > 64
            || !self.service_name.bytes().all(plain)
        {
            to.refuse(
                &key,
                &self.service_name,
                "is no plain name",
                "1 to 64 letters, digits, `-`, `_` and `.`",
            );
        }
        let format = match to.deployment {
            Deployment::Dev => LogFormat::Text,
            Deployment::Staging | Deployment::Prod => LogFormat::Json,
        };
        let endpoint = at.name("otlp_endpoint");
        Telemetry {
            log_level: self.log_level,
            log_format: self.log_format.unwrap_or(format),
            service_name: self.service_name,
            otlp_endpoint: self
                .otlp_endpoint
                .and_then(|text| to.url(&endpoint, &text, "a URL such as http://collector:4318")),
            trace_one_in: self.trace_one_in,
            metrics: self.metrics,
        }
    }
}
