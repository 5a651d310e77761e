//! OTLP's JSON encoding: ids in hex, 64-bit numbers as text, lowerCamelCase (opentelemetry-proto, "JSON Protobuf Encoding").

use serde_json::{Value as Json, json};

use crate::time::Timestamp;

use super::export::Resource;
use super::record::{Kind, Log, Span, Value};

/// `ExportTraceServiceRequest`
pub(super) fn traces(resource: &Resource, spans: &[Span]) -> Json {
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": described(resource),
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
}

/// `ExportLogsServiceRequest`
pub(super) fn logs(resource: &Resource, logs: &[Log]) -> Json {
    let logs: Vec<Json> = logs.iter().map(log).collect();
    json!({ "resourceLogs": [{
        "resource": described(resource),
        "scopeLogs": [{ "scope": scope(), "logRecords": logs }],
    }] })
}

fn described(resource: &Resource) -> Json {
    let attributes = [
        ("service.name", &*resource.service),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &*resource.instance),
        ("deployment.environment.name", resource.environment),
    ];
    let attributes: Vec<Json> =
        attributes.into_iter().map(|(key, value)| text(key, value)).collect();
    json!({ "attributes": attributes })
}

fn scope() -> Json {
    json!({ "name": "mcp-auth-broker", "version": env!("CARGO_PKG_VERSION") })
}

fn span(span: &Span) -> Json {
    let ended = nanos(span.ended);
    let took = i128::try_from(span.took.as_nanos()).unwrap_or_default();
    let mut attributes: Vec<Json> =
        span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    attributes.extend(span.error.map(|code| text("error.type", code)));
    let mut written = json!({
        "traceId": span.trace.to_string(),
        "spanId": format!("{:016x}", span.id),
        "name": span.name,
        "kind": match span.kind { Kind::Server => 2, Kind::Client => 3 },
        "startTimeUnixNano": (ended - took).to_string(),
        "endTimeUnixNano": ended.to_string(),
        "attributes": attributes,
        "status": if span.error.is_some() { json!({ "code": 2 }) } else { json!({}) },
    });
    if let (Some(parent), Some(members)) = (span.parent, written.as_object_mut()) {
        members.insert("parentSpanId".to_owned(), json!(format!("{parent:016x}")));
    }
    written
}

fn log(log: &Log) -> Json {
    let attributes = log.attributes.iter().map(|(key, value)| text(key, value));
    let attributes: Vec<Json> = attributes.chain([text("log.target", &log.target)]).collect();
    json!({
        "timeUnixNano": nanos(log.at).to_string(),
        "severityNumber": log.number,
        "severityText": log.severity,
        "body": { "stringValue": log.body },
        "attributes": attributes,
    })
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Truth(truth) => json!({ "boolValue": truth }),
    };
    json!({ "key": key, "value": value })
}

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn nanos(at: Timestamp) -> i128 {
    i128::from(at.unix_millis()) * 1_000_000
}
