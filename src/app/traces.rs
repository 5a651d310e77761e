//! Traces, made of the events of the audit log: a span for each request, and one for each attempt at a provider below it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::{AuditEvent, Context, Observer, Outcome};
use crate::code::Code;
use crate::config::Config;
use crate::http::Traced;
use crate::metrics::Label;
use crate::outbound::{Outbound, PrivateTarget};
use crate::random::Random;
use crate::steps::{self, Over, Sampler, Steps};
use crate::telemetry::otlp::{
    self, Attribute, Exporter, Inbox, Kind, Outbox, Resource, Span, send_logs_to,
};
use crate::time::{Clock, Timestamp};

use super::error::AppError;
use super::map;
use super::observe::{Challenged, Ended, Tools, effect, status};
use super::step_spans;

/// The longest that a request is believed to have taken whose event does not say it.
const LONGEST: Duration = Duration::from_mins(10);

/// Which traces are sent. `None`: nothing is.
fn sampler(config: &Config) -> Option<Sampler> {
    let telemetry = &config.telemetry;
    telemetry.otlp_endpoint.as_ref().map(|_| Sampler::one_in(telemetry.trace_one_in))
}

/// The same for the front.
pub(super) fn traced(config: &Config) -> Option<Traced> {
    let scheme = if config.server.public_url.scheme() == "https" { "https" } else { "http" };
    sampler(config).map(|sampler| Traced { sampler, scheme })
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
                    self.result(context, ended);
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
            AuditEvent::ScopeInsufficient { .. } | AuditEvent::LoginInsufficient { .. } => {
                if let Some(challenged) = Challenged::of(event) {
                    self.challenged(context, &challenged);
                }
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
    fn challenged(&self, context: &Context, challenged: &Challenged<'_>) {
        let tool = challenged.tool(&self.tools);
        let mut attributes = vec![("mcp.method.name", challenged.method.into())];
        let name = match &tool {
            Some(tool) => called(Some(tool), &mut attributes),
            None => challenged.method.into(),
        };
        attributes.push(("broker.reason", challenged.reason().into()));
        let error = Some(challenged.error);
        self.request(context, Told { error, tool, ..Told::named(name, attributes) });
    }

    fn result(&self, context: &Context, ended: Ended<'_>) {
        // With those that are added once the answer is known.
        let mut attributes: Vec<Attribute> = Vec::with_capacity(16);
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
        let error = ended.error_code.map(Code::as_str);
        attributes.extend(ended.reason.map(|reason| ("broker.reason", reason.into())));
        self.request(context, Told { name, took: Some(ended.took), attributes, error, tool });
    }

    /// The span of a request: it hangs under whoever called us, and everything we do for it hangs under it. It is sent when the
    /// status of the answer is known.
    fn request(&self, context: &Context, told: Told) {
        let Told { name, took, mut attributes, error, tool } = told;
        let now = self.clock.now();
        attributes.push(("broker.request_id", otlp::Value::Request(context.request_id)));
        let mut span = Span {
            trace: context.trace_id,
            id: context.request_id.span(),
            parent: context.trace_id.parent(),
            name,
            kind: Kind::Server,
            ended: now,
            took: took.unwrap_or_else(|| since(context, now)),
            failed: error.is_some(),
            attributes,
            error: error.map(Cow::Borrowed),
        };
        let Some(steps) = Steps::current() else { return self.outbox.span(span) };
        let outbox = self.outbox.clone();
        steps.when_answered(move |over| {
            if let Some(over) = over {
                by_http(over, &mut span);
            }
            outbox.span(span);
        });
        for step in steps.take() {
            self.outbox.span(step_spans::span(context, step, tool.as_ref()));
        }
    }

    fn provider(&self, context: &Context, event: &AuditEvent) {
        let AuditEvent::ProviderCall {
            provider,
            operation,
            attempt,
            outcome,
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
            failed: *outcome != Outcome::Success,
            // Without a code it was cut off under way.
            error: (*outcome != Outcome::Success)
                .then(|| error_code.map_or("cancelled", Code::as_str).into()),
        });
    }
}

/// What OpenTelemetry's conventions for HTTP servers, and those for MCP, have beside what the event says.
fn by_http(over: &Over, span: &mut Span) {
    let number = |key, value: i64| (key, otlp::Value::Number(value));
    let attributes = &mut span.attributes;
    attributes.push(("http.request.method", over.method.into()));
    attributes.extend(over.route.map(|route| ("http.route", route.into())));
    attributes.extend(over.path.map(|path| ("url.path", path.into())));
    attributes.push(("url.scheme", over.scheme.into()));
    attributes.push(("network.protocol.version", over.version.into()));
    attributes.extend(over.mcp_version.map(|version| ("mcp.protocol.version", version.into())));
    attributes.extend(over.rpc_id.map(|id| ("jsonrpc.request.id", otlp::Value::Digits(id))));
    let Some(status) = over.status else { return };
    attributes.push(number("http.response.status_code", status.into()));
    // A server's span has failed where the server has: what is refused with 4xx is the client's.
    span.failed = status >= 500 || (status < 400 && span.failed);
    if status >= 500 && span.error.is_none() {
        span.error = Some(status.to_string().into());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: Option<u16>, error: Option<&'static str>) -> (bool, Option<String>, usize) {
        let over = Over {
            method: "POST",
            route: None,
            path: None,
            scheme: "https",
            version: "2",
            mcp_version: None,
            rpc_id: None,
            status,
        };
        let mut span = Span {
            trace: "0af7651916cd43dd8448eb211c80319c".parse().unwrap(),
            id: 1,
            parent: None,
            name: "n".into(),
            kind: Kind::Server,
            ended: Timestamp::default(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            failed: error.is_some(),
            error: error.map(Cow::Borrowed),
        };
        by_http(&over, &mut span);
        (span.failed, span.error.map(Cow::into_owned), span.attributes.len())
    }

    #[test]
    fn a_span_has_failed_where_the_broker_has() {
        assert_eq!(told(Some(500), None), (true, Some("500".to_owned()), 4));
        assert_eq!(told(Some(503), Some("x")), (true, Some("x".to_owned()), 4));
        assert_eq!(told(Some(403), Some("x")), (false, Some("x".to_owned()), 4));
        assert_eq!(told(Some(401), None), (false, None, 4));
        assert_eq!(told(Some(200), Some("x")), (true, Some("x".to_owned()), 4), "an error of MCP");
        assert_eq!(told(None, Some("x")), (true, Some("x".to_owned()), 3), "nobody was answered");
    }
}
