//! Spans of what a request waited for, by OpenTelemetry's conventions for databases, HTTP clients and MCP clients.

use crate::audit::Context;
use crate::metrics::Label;
use crate::steps::{self, Step, What};
use crate::telemetry::otlp::{Attribute, Kind, Span, Value};

/// The span of one step. `tool`: the label of the tool that the request calls.
pub(super) fn span(context: &Context, (number, step): (u32, Step), tool: Option<&Label>) -> Span {
    let Step { what, ended, took, failed } = step;
    let (name, attributes) = match what {
        What::Database { system, operation, collection } => {
            database((system, operation, collection))
        }
        What::Http { method, host, status } => {
            let mut attributes = vec![("http.request.method", method.to_string().into())];
            attributes.extend(address(host));
            attributes.extend(answered(status));
            (method.to_string(), attributes)
        }
        What::Server { id, method, host, status } => server((&id, method), (host, status), tool),
    };
    Span {
        trace: context.trace_id,
        id: steps::span(context.request_id, number),
        parent: Some(context.request_id.span()),
        name: name.into(),
        kind: Kind::Client,
        ended,
        took,
        attributes,
        failed: failed.is_some(),
        error: failed,
    }
}

/// A call of the store is one operation of ours, which may be several statements: their text is not sent.
fn database(
    (system, operation, collection): (&'static str, &'static str, &'static str),
) -> (String, Vec<Attribute>) {
    let summary = format!("{operation} {collection}");
    let attributes = vec![
        ("db.system.name", system.into()),
        ("db.operation.name", operation.into()),
        ("db.collection.name", collection.into()),
        ("db.query.summary", summary.clone().into()),
    ];
    (summary, attributes)
}

fn server(
    (id, method): (&str, &'static str),
    (host, status): (Option<(String, Option<u16>)>, Option<u16>),
    tool: Option<&Label>,
) -> (String, Vec<Attribute>) {
    let transport = if host.is_some() { "tcp" } else { "pipe" };
    let mut attributes: Vec<Attribute> = vec![
        ("mcp.method.name", method.into()),
        ("network.transport", transport.into()),
        ("broker.server", id.to_owned().into()),
    ];
    let mut name = method.to_owned();
    if method == "tools/call" {
        attributes.push(("gen_ai.operation.name", "execute_tool".into()));
        // As the server knows it: without the name that it has here.
        let theirs = tool.and_then(|tool| tool.strip_prefix(id)?.strip_prefix('.'));
        if let Some(tool) = theirs {
            name = format!("{method} {tool}");
            attributes.push(("gen_ai.tool.name", tool.to_owned().into()));
        }
    }
    attributes.extend(address(host));
    attributes.extend(answered(status));
    (name, attributes)
}

fn address(host: Option<(String, Option<u16>)>) -> impl Iterator<Item = Attribute> {
    let (host, port) = host.map_or((None, None), |(host, port)| (Some(host), port));
    let host = host.map(|host| ("server.address", Value::from(host)));
    let port = port.map(|port| ("server.port", Value::Number(port.into())));
    host.into_iter().chain(port)
}

fn answered(status: Option<u16>) -> Option<Attribute> {
    Some(("http.response.status_code", Value::Number(status?.into())))
}
