//! OTLP's JSON encoding: ids in hex, 64-bit numbers as text, lowerCamelCase (opentelemetry-proto, "JSON Protobuf Encoding").
//!
//! Written straight into the message: spans come by the thousand in a second, and a tree of values for each would cost more
//! than all the rest of them.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::id::{RequestId, TraceId};
use crate::time::Timestamp;

use super::export::Resource;
use super::record::{Attribute, Kind, Log, Span, Value};

/// `ExportTraceServiceRequest`
pub(super) fn traces<'a>(resource: &'a Resource, spans: &'a [Span]) -> impl Serialize + 'a {
    Traces {
        resource_spans: [ResourceSpans {
            resource: Described::of(resource),
            scope_spans: [ScopeSpans {
                scope: SCOPE,
                spans: Each(spans, WrittenSpan::of),
                schema_url: SCHEMA,
            }],
        }],
    }
}

/// `ExportLogsServiceRequest`
pub(super) fn logs<'a>(resource: &'a Resource, logs: &'a [Log]) -> impl Serialize + 'a {
    Logs {
        resource_logs: [ResourceLogs {
            resource: Described::of(resource),
            scope_logs: [ScopeLogs { scope: SCOPE, log_records: Each(logs, WrittenLog::of) }],
        }],
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Traces<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Described<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Each<'a, Span, WrittenSpan<'a>>,
    schema_url: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logs<'a> {
    resource_logs: [ResourceLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Described<'a>,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Scope,
    log_records: Each<'a, Log, WrittenLog<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

const SCOPE: Scope = Scope { name: "mcp-auth-broker", version: env!("CARGO_PKG_VERSION") };

/// Which edition of the conventions the names of attributes are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.39.0";

/// Who sends.
#[derive(Serialize)]
struct Described<'a> {
    attributes: [Written<'a>; 4],
}

impl<'a> Described<'a> {
    fn of(resource: &'a Resource) -> Self {
        let attributes = [
            ("service.name", &*resource.service),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &*resource.instance),
            ("deployment.environment.name", resource.environment),
        ];
        Self { attributes: attributes.map(|(key, value)| Written::text(key, value)) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenSpan<'a> {
    trace_id: TraceId,
    span_id: Hex,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Hex>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: Shown<i64>,
    end_time_unix_nano: Shown<i64>,
    attributes: Attributes<'a>,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

impl<'a> WrittenSpan<'a> {
    fn of(span: &'a Span) -> Self {
        let ended = nanos(span.ended);
        let took = i64::try_from(span.took.as_nanos()).unwrap_or_default();
        Self {
            trace_id: span.trace,
            span_id: Hex(span.id),
            parent_span_id: span.parent.map(Hex),
            name: &span.name,
            kind: match span.kind {
                Kind::Server => 2,
                Kind::Client => 3,
            },
            start_time_unix_nano: Shown(ended.saturating_sub(took)),
            end_time_unix_nano: Shown(ended),
            attributes: Attributes { all: &span.attributes, error: span.error.as_deref() },
            status: Status { code: span.failed.then_some(2) },
        }
    }
}

struct Attributes<'a> {
    all: &'a [Attribute],
    error: Option<&'a str>,
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error = self.error.map(|error| Written::text("error.type", error));
        serializer.collect_seq(self.all.iter().map(Written::of).chain(error))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLog<'a> {
    time_unix_nano: Shown<i64>,
    severity_number: u8,
    severity_text: &'static str,
    body: WrittenValue<'a>,
    attributes: Fields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<TraceId>,
    /// That of the request's span.
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<Hex>,
}

impl<'a> WrittenLog<'a> {
    fn of(log: &'a Log) -> Self {
        Self {
            time_unix_nano: Shown(nanos(log.at)),
            severity_number: log.number,
            severity_text: log.severity,
            body: WrittenValue::StringValue(&log.body),
            attributes: Fields(log),
            trace_id: log.of.map(|(trace, _)| trace),
            span_id: log.of.map(|(_, request)| Hex(request.span())),
        }
    }
}

struct Fields<'a>(&'a Log);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Log { attributes, target, of, .. } = self.0;
        // The request has one name here, in lines as in spans; a line may say it itself.
        let own = |key: &str| key == "request_id";
        let said = attributes.iter().any(|(key, _)| own(key));
        let fields = attributes.iter().map(|(key, value)| {
            Written::text(if own(key) { "broker.request_id" } else { key }, value)
        });
        let request = of.filter(|_| !said).map(|(_, request)| Written {
            key: "broker.request_id",
            value: WrittenValue::Id(request),
        });
        serializer.collect_seq(fields.chain([Written::text("log.target", target)]).chain(request))
    }
}

#[derive(Serialize)]
struct Written<'a> {
    key: &'a str,
    value: WrittenValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WrittenValue<'a> {
    StringValue(&'a str),
    #[serde(rename = "stringValue")]
    Digits(Shown<i64>),
    IntValue(Shown<i64>),
    BoolValue(bool),
    #[serde(rename = "stringValue")]
    Id(RequestId),
}

impl<'a> Written<'a> {
    fn of((key, value): &'a Attribute) -> Self {
        let value = match value {
            Value::Text(text) => WrittenValue::StringValue(text),
            Value::Number(number) => WrittenValue::IntValue(Shown(*number)),
            Value::Digits(number) => WrittenValue::Digits(Shown(*number)),
            Value::Truth(truth) => WrittenValue::BoolValue(*truth),
            Value::Request(id) => WrittenValue::Id(*id),
        };
        Self { key, value }
    }

    const fn text(key: &'a str, value: &'a str) -> Self {
        Self { key, value: WrittenValue::StringValue(value) }
    }
}

/// A list, each of whose items is written by a function.
struct Each<'a, T, W>(&'a [T], fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for Each<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// A text that is written as it is shown.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A number as 16 digits. Without the machinery of formatting, which would cost more than the rest of the span's ids.
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [b'0'; 16];
        for (digit, at) in digits.iter_mut().rev().zip((0..u64::BITS).step_by(4)) {
            let four_bits = ((self.0 >> at) & 0xf) as u8;
            *digit = four_bits + if four_bits < 10 { b'0' } else { b'a' - 10 };
        }
        serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// Until the year 2262.
const fn nanos(at: Timestamp) -> i64 {
    at.unix_millis().saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn resource() -> Resource {
        Resource { service: "s".into(), instance: "i".to_owned(), environment: "dev" }
    }

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let span = Span {
            trace: "0af7651916cd43dd8448eb211c80319c".parse().unwrap(),
            id: 0x1f,
            parent: Some(0xb7ad_6b71_6920_3331),
            name: "tools/call \"x\"".into(),
            kind: Kind::Client,
            ended: Timestamp::from_unix_millis(1500),
            took: Duration::from_millis(500),
            attributes: vec![
                ("a", "é".into()),
                ("b", Value::Number(-7)),
                ("c", Value::Truth(true)),
                ("d", Value::Request("0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().unwrap())),
                ("e", Value::Digits(-8)),
            ],
            failed: true,
            error: Some("404".into()),
        };
        let (resource, spans) = (resource(), [span]);
        let written = serde_json::to_value(traces(&resource, &spans)).unwrap();
        assert_eq!(written["resourceSpans"][0]["scopeSpans"][0]["schemaUrl"], SCHEMA);
        let text =
            |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        assert_eq!(
            written["resourceSpans"][0]["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "000000000000001f",
                "parentSpanId": "b7ad6b7169203331", "name": "tools/call \"x\"", "kind": 3,
                "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1500000000",
                "attributes": [
                    text("a", "é"),
                    { "key": "b", "value": { "intValue": "-7" } },
                    { "key": "c", "value": { "boolValue": true } },
                    text("d", "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b"),
                    text("e", "-8"),
                    text("error.type", "404"),
                ],
                "status": { "code": 2 },
            })
        );
        assert_eq!(
            written["resourceSpans"][0]["resource"]["attributes"][0],
            text("service.name", "s")
        );
    }

    #[test]
    fn a_line_of_the_log_is_written_as_the_protocol_has_it() {
        let log = Log {
            at: Timestamp::from_unix_millis(1),
            severity: "WARN",
            number: 13,
            body: "b".to_owned(),
            target: "t".to_owned(),
            attributes: vec![("k".to_owned(), "v".to_owned())],
            of: None,
        };
        let (resource, all) = (resource(), [log.clone()]);
        let written = serde_json::to_value(logs(&resource, &all)).unwrap();
        assert_eq!(
            written["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0],
            json!({
                "timeUnixNano": "1000000", "severityNumber": 13, "severityText": "WARN",
                "body": { "stringValue": "b" },
                "attributes": [
                    { "key": "k", "value": { "stringValue": "v" } },
                    { "key": "log.target", "value": { "stringValue": "t" } },
                ],
            })
        );
        let request: RequestId = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().unwrap();
        let trace: TraceId = "0af7651916cd43dd8448eb211c80319c".parse().unwrap();
        let said = vec![("request_id".to_owned(), request.to_string())];
        for attributes in [Vec::new(), said] {
            let all = [Log { attributes, of: Some((trace, request)), ..log.clone() }];
            let written = serde_json::to_value(logs(&resource, &all)).unwrap();
            let line = &written["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
            assert_eq!(line["traceId"], "0af7651916cd43dd8448eb211c80319c");
            assert_eq!(line["spanId"], format!("{:016x}", request.span()));
            let named = line["attributes"].as_array().unwrap().iter();
            let named = named.filter(|attribute| attribute["key"] == "broker.request_id");
            let values: Vec<_> = named.map(|one| &one["value"]["stringValue"]).collect();
            assert_eq!(values, [&json!(request.to_string())], "{line}");
        }
    }
}
