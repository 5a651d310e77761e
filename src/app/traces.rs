//! Traces, made of the events of the audit log: a span for each request, and one for each attempt at a provider below it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::{AuditEvent, Context, Observer};
use crate::code::Code;
use crate::config::Config;
use crate::metrics::Label;
use crate::outbound::{Outbound, PrivateTarget};
use crate::random::Random;
use crate::steps::{self, Sampler, Steps};
use crate::telemetry::otlp::{
    self, Attribute, Exporter, Inbox, Kind, Outbox, Resource, Span, send_logs_to,
};
use crate::time::{Clock, Timestamp};

use super::error::AppError;
use super::map;
use super::observe::{Ended, Tools, effect, status};
use super::step_spans;

/// The longest that a request is believed to have taken whose event does not say it.
const LONGEST: Duration = Duration::from_mins(10);

/// Which traces are sent. `None`: nothing is.
pub(super) fn sampler(config: &Config) -> Option<Sampler> {
    let telemetry = &config.telemetry;
    telemetry.otlp_endpoint.as_ref().map(|_| Sampler::one_in(telemetry.trace_one_in))
}

/// `telemetry.otlp_endpoint`
#[derive(Debug)]
pub(super) struct Traces {
    exporter: Exporter,
    outbox: Outbox,
    sampler: Sampler,
}

impl Traces {
    /// `None` where nothing is sent.
    ///
    /// # Errors
    ///
    /// [`AppError::Outbound`]
    pub(super) fn new(config: &Config, random: &dyn Random) -> Result<Option<Self>, AppError> {
        let Some(endpoint) = &config.telemetry.otlp_endpoint else { return Ok(None) };
        let mut settings = map::outbound(config);
        // An operator names it, so it is meant wherever it is.
        let host = endpoint.host_str().unwrap_or_default();
        settings.allow_private.extend(host.trim_matches(['[', ']']).parse::<PrivateTarget>());
        let mut instance = [0; 8];
        random.fill_identifier(&mut instance);
        let resource = Resource {
            service: config.telemetry.service_name.as_str().into(),
            instance: format!("{:016x}", u64::from_be_bytes(instance)),
            environment: config.deployment.as_str(),
        };
        let (outbox, inbox): (Outbox, Inbox) = otlp::queue();
        let outbound = Outbound::new(&settings)?;
        send_logs_to(outbox.clone());
        let exporter = Exporter::new(outbound, endpoint, resource, (&outbox, inbox));
        let sampler = Sampler::one_in(config.telemetry.trace_one_in);
        Ok(Some(Self { exporter, outbox, sampler }))
    }

    /// What sees the events of the audit log.
    pub(super) fn observer(&self, tools: Arc<Tools>, clock: &Arc<dyn Clock>) -> Arc<dyn Observer> {
        let (outbox, sampler, clock) = (self.outbox.clone(), self.sampler, Arc::clone(clock));
        Arc::new(Tracing { outbox, sampler, tools, clock })
    }

    pub(super) const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Sends until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        self.exporter.run(stop).await;
    }
}

/// Makes spans of events.
#[derive(Debug)]
struct Tracing {
    outbox: Outbox,
    sampler: Sampler,
    tools: Arc<Tools>,
    clock: Arc<dyn Clock>,
}

impl Observer for Tracing {
    fn see(&self, context: &Context, event: &AuditEvent) {
        if !self.sampler.keeps(&context.trace_id) {
            return;
        }
        match event {
            AuditEvent::ProviderCall { .. } => self.provider(context, event),
            AuditEvent::ResultEmit { .. } => {
                if let Some(ended) = Ended::of(event) {
                    self.result(context, &ended);
                }
            }
            AuditEvent::ToolsList { listed, .. } => {
                let listed = i64::try_from(*listed).unwrap_or(i64::MAX);
                let attributes = vec![
                    ("mcp.method.name", "tools/list".into()),
                    ("broker.tools.listed", otlp::Value::Number(listed)),
                ];
                self.request(context, Told::named("tools/list".into(), attributes));
            }
            AuditEvent::ScopeInsufficient { tool_name, reason, .. } => {
                let tool = Some(self.tools.label(Some(tool_name), false));
                let mut attributes = vec![("mcp.method.name", "tools/call".into())];
                let name = called(tool.as_ref(), &mut attributes);
                attributes.push(("broker.reason", reason.to_string().into()));
                let error = Some("insufficient_scope");
                self.request(context, Told { error, tool, ..Told::named(name, attributes) });
            }
            other if other.is_terminal() => {
                self.request(context, Told::named(kind(other).into(), Vec::new()));
            }
            _ => {}
        }
    }
}

/// A request that has ended.
struct Told {
    name: Cow<'static, str>,
    took: Option<Duration>,
    attributes: Vec<Attribute>,
    error: Option<&'static str>,
    tool: Option<Label>,
}

impl Told {
    const fn named(name: Cow<'static, str>, attributes: Vec<Attribute>) -> Self {
        Self { name, took: None, attributes, error: None, tool: None }
    }
}

impl Tracing {
    fn result(&self, context: &Context, ended: &Ended<'_>) {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(8);
        attributes.push(("mcp.method.name", ended.method.into()));
        let calls = ended.method == "tools/call";
        let tool = (calls && ended.names_a_tool()).then(|| ended.label(&self.tools));
        let name = if calls {
            attributes.push(("gen_ai.operation.name", "execute_tool".into()));
            called(tool.as_ref(), &mut attributes)
        } else {
            ended.method.into()
        };
        attributes.push(("broker.status", status(ended.status).into()));
        let decided = ended.decision.map(|decided| ("broker.decision", effect(decided).into()));
        attributes.extend(decided);
        attributes.extend(ended.reason.clone().map(|reason| ("broker.reason", reason.into())));
        let error = ended.error_code.map(Code::as_str);
        self.request(context, Told { name, took: Some(ended.took), attributes, error, tool });
    }

    /// The span of a request: it hangs under whoever called us, and everything we do for it hangs under it.
    fn request(&self, context: &Context, told: Told) {
        let Told { name, took, mut attributes, error, tool } = told;
        let now = self.clock.now();
        attributes.push(("broker.request_id", otlp::Value::Request(context.request_id)));
        self.outbox.span(Span {
            trace: context.trace_id,
            id: context.request_id.span(),
            parent: context.trace_id.parent(),
            name,
            kind: Kind::Server,
            ended: now,
            took: took.unwrap_or_else(|| since(context, now)),
            attributes,
            error: error.map(Cow::Borrowed),
        });
        let steps = Steps::current().map(|steps| steps.take());
        for step in steps.into_iter().flatten() {
            self.outbox.span(step_spans::span(context, step, tool.as_ref()));
        }
    }

    fn provider(&self, context: &Context, event: &AuditEvent) {
        let AuditEvent::ProviderCall {
            provider,
            operation,
            attempt,
            error_code,
            http_status,
            duration_ms,
            ..
        } = event
        else {
            return;
        };
        let attributes = attempted(provider, operation, *attempt, *http_status);
        self.outbox.span(Span {
            trace: context.trace_id,
            id: steps::attempt_span(context.request_id, *attempt),
            parent: Some(context.request_id.span()),
            name: operation.clone().into(),
            kind: Kind::Client,
            ended: self.clock.now(),
            took: Duration::from_millis(*duration_ms),
            attributes,
            error: error_code.map(Code::as_str).map(Cow::Borrowed),
        });
    }
}

/// The name of the span of a call; the tool goes to its attributes. Never what a caller made up: a label alone.
fn called(tool: Option<&Label>, attributes: &mut Vec<Attribute>) -> Cow<'static, str> {
    let Some(label) = tool else { return "tools/call".into() };
    attributes.push(("gen_ai.tool.name", label.clone().into()));
    format!("tools/call {label}").into()
}

/// An attempt by the conventions for HTTP clients.
fn attempted(
    provider: &'static str,
    operation: &str,
    attempt: u32,
    status: Option<u16>,
) -> Vec<Attribute> {
    let (method, template) = operation.split_once(' ').unwrap_or((operation, ""));
    let again = i64::from(attempt.saturating_sub(1));
    let mut attributes: Vec<Attribute> = vec![
        ("http.request.method", method.to_owned().into()),
        ("url.template", template.to_owned().into()),
        ("broker.provider", provider.into()),
        ("http.request.resend_count", otlp::Value::Number(again)),
    ];
    let status = status.map(|status| otlp::Value::Number(status.into()));
    attributes.extend(status.map(|status| ("http.response.status_code", status)));
    attributes
}

/// Since the request was given its id. A caller may have chosen that: then nothing is known.
fn since(context: &Context, now: Timestamp) -> Duration {
    let made = context.request_id.made_at();
    made.map(|made| now.since(made)).filter(|took| *took < LONGEST).unwrap_or_default()
}

/// The event's name in the log.
fn kind(event: &AuditEvent) -> String {
    let written = serde_json::to_value(event).unwrap_or_default();
    written.get("event_type").and_then(|name| name.as_str()).unwrap_or("request").to_owned()
}
