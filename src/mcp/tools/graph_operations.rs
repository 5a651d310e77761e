//! `auth.graph.operations.list.v1`: what the caller may execute on Graph, or could after a step-up.

use http::Method;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

use crate::graph::{Catalog, Risk};
use crate::policy::OperationView;

use super::{Entry, GRAPH_LIST, Kind, object};

/// Operations a page holds.
const PAGE: usize = 100;

/// The arguments of the tool.
#[derive(Debug, Default)]
pub(crate) struct ListArguments {
    /// Text that the path template, the description or a permission holds, without case.
    search: Option<String>,
    risk: Option<Risk>,
    /// `next_cursor` of an earlier answer.
    cursor: Option<String>,
}

/// A field and what is wrong with it.
type Wrong = (String, &'static str);

impl ListArguments {
    /// Reads them; the error names the first field that is not as the schema has it.
    pub(crate) fn read(mut given: JsonObject) -> Result<Self, Wrong> {
        const RISK: &str = "must be read, write or destructive";
        let search = text(&mut given, "search")?;
        let risk = present(&mut given, "risk").map(serde_json::from_value).transpose();
        let risk = risk.map_err(|_| ("risk".to_owned(), RISK))?;
        let cursor = text(&mut given, "cursor")?;
        match given.keys().next() {
            None => Ok(Self { search, risk, cursor }),
            Some(name) => {
                Err((name.clone(), "is no field of this tool: it takes search, risk and cursor"))
            }
        }
    }
}

fn present(given: &mut JsonObject, name: &str) -> Option<Value> {
    given.remove(name).filter(|value| !value.is_null())
}

fn text(given: &mut JsonObject, name: &str) -> Result<Option<String>, Wrong> {
    match present(given, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err((name.to_owned(), "must be a text")),
    }
}

pub(super) fn entry() -> Entry {
    let annotations = ToolAnnotations::new().read_only(true).idempotent(true).open_world(false);
    let input = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "search": { "type": "string", "maxLength": 256 },
            "risk": { "enum": ["read", "write", "destructive"] },
            "cursor": { "type": "string" }
        }
    });
    let description = "Lists the Microsoft Graph operations that you may execute with auth.graph.operation.execute.v1, and \
         those that a token with more scopes could.";
    let mut tool = Tool::new(GRAPH_LIST, description, object(input))
        .with_title("Microsoft Graph operations")
        .with_annotations(annotations);
    tool.output_schema = Some(object(output()));
    Entry { kind: Kind::GraphList, tool }
}

fn output() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "anyOf": [{ "required": ["operations"] }, { "required": ["status", "error"] }],
        "properties": {
            "operations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["rule_id", "method", "path_template", "permissions", "risk", "needs_scopes", "approval"],
                    "properties": {
                        "rule_id": { "type": "string" },
                        "method": { "type": "string" },
                        "path_template": { "type": "string" },
                        "permissions": { "type": "array", "items": { "type": "string" } },
                        "risk": { "enum": ["read", "write", "destructive"] },
                        "description": { "type": ["string", "null"] },
                        "needs_scopes": { "type": "array", "items": { "type": "string" } },
                        "approval": { "type": "boolean" }
                    }
                }
            },
            "next_cursor": { "type": "string" },
            "contract_version": { "const": "v0.1.0" },
            "request_id": { "type": "string" },
            "status": { "const": "error" },
            "error": { "type": "object", "required": ["code", "category", "message", "retryable"] },
            "redactions": { "type": "array" }
        }
    })
}

/// The page of `operations` that `wanted` asks for. The error is for a cursor that is none of ours.
pub(crate) fn list_operations(
    operations: &[OperationView],
    wanted: &ListArguments,
    catalog: &Catalog,
) -> Result<Value, Wrong> {
    let start = match &wanted.cursor {
        None => 0,
        Some(cursor) => cursor
            .parse::<usize>()
            .map_err(|_| ("cursor".to_owned(), "use next_cursor of an earlier answer"))?,
    };
    let search = wanted.search.as_deref().unwrap_or_default().to_ascii_lowercase();
    let described = operations.iter().map(|operation| describe(operation, catalog));
    let matching: Vec<Value> = described
        .filter(|(risk, text, _)| {
            wanted.risk.is_none_or(|wanted| wanted == *risk) && text.contains(&search)
        })
        .map(|(_, _, value)| value)
        .collect();
    let page: Vec<&Value> = matching.iter().skip(start).take(PAGE).collect();
    let next = start.saturating_add(page.len());
    let mut answer = json!({ "operations": page });
    if next < matching.len()
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("next_cursor".to_owned(), json!(next.to_string()));
    }
    Ok(answer)
}

/// What an operation that the catalogue does not know is taken for.
fn usual_risk(method: &Method) -> Risk {
    match *method {
        Method::GET => Risk::Read,
        Method::DELETE => Risk::Destructive,
        _ => Risk::Write,
    }
}

/// An operation's risk, the text that a search looks through, and how it is shown.
fn describe(operation: &OperationView, catalog: &Catalog) -> (Risk, String, Value) {
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap_or_default();
    let known = catalog.explain(&method, &operation.path_template);
    let risk = known.map_or_else(|| usual_risk(&method), |known| known.risk);
    let description = known.map(|known| known.description.as_ref());
    let permissions: Vec<&str> =
        operation.permissions.iter().map(crate::id::Permission::as_str).collect();
    let text = format!(
        "{} {} {}",
        operation.path_template,
        description.unwrap_or_default(),
        permissions.join(" ")
    );
    let needs: Vec<&str> =
        operation.needs_scopes.iter().map(crate::scope::ScopeToken::as_str).collect();
    let value = json!({
        "rule_id": operation.rule_id,
        "method": operation.method,
        "path_template": operation.path_template,
        "permissions": permissions,
        "risk": risk,
        "description": description,
        "needs_scopes": needs,
        "approval": operation.approval,
    });
    (risk, text.to_ascii_lowercase(), value)
}
