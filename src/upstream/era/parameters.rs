//! Which arguments of a server's tools stand in headers, too (`x-mcp-header`, MCP 2026-07-28 server/tools, TR-26).
//!
//! An old client does not know of them, and the server refuses a call without them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::ask::{Answer, ask, new_request, own_id};
use super::message::{Members, header_text};
use crate::upstream::server::Server;
use crate::upstream::who::Who;

/// How long a tool that was in no list is not looked for again.
const PAUSE: Duration = Duration::from_secs(30);
/// Of a server's list.
const PAGES: usize = 100;
const TOOLS: usize = 20_000;
/// Of a schema.
const DEPTH: usize = 16;

/// What was learned of a server's tools.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    known: RwLock<Option<Known>>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Known {
    tools: Arc<HashMap<String, Vec<Mirrored>>>,
    /// Monotonic.
    since: Duration,
}

/// One argument, by the names that lead to it, and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirrored {
    header: HeaderName,
    path: Vec<String>,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    #[serde(rename = "inputSchema", default)]
    input_schema: Value,
}

impl Parameters {
    /// Adds the headers that a call of `tool` needs. Where the server's list cannot be had, none.
    pub(super) async fn add(
        &self,
        server: &Server,
        who: &Who,
        (tool, arguments): (&str, Option<&RawValue>),
        headers: &mut HeaderMap,
    ) {
        let tools = self.tools(server, who, tool).await;
        let Some(mirrored) = tools.get(tool).filter(|mirrored| !mirrored.is_empty()) else {
            return;
        };
        let arguments = arguments.and_then(|text| serde_json::from_str::<Value>(text.get()).ok());
        let Some(arguments) = arguments else { return };
        for Mirrored { header: name, path } in mirrored {
            let found = path.iter().try_fold(&arguments, |value, name| value.get(name));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
                _ => continue,
            };
            if let Some(value) = header_text(&text) {
                headers.insert(name.clone(), value);
            }
        }
    }

    /// The server found a header wrong: its tools have changed.
    pub(super) fn forget(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn tools(
        &self,
        server: &Server,
        who: &Who,
        tool: &str,
    ) -> Arc<HashMap<String, Vec<Mirrored>>> {
        if let Some(tools) = self.known(server, tool) {
            return tools;
        }
        let _asking = self.asking.lock().await;
        if let Some(tools) = self.known(server, tool) {
            return tools;
        }
        let tools = Arc::new(learn(server, who).await);
        let known = Known { tools: Arc::clone(&tools), since: server.door.clock.monotonic() };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        tools
    }

    fn known(&self, server: &Server, tool: &str) -> Option<Arc<HashMap<String, Vec<Mirrored>>>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let recent = server.door.clock.monotonic().saturating_sub(known.since) < PAUSE;
        (recent || known.tools.contains_key(tool)).then_some(known.tools)
    }
}

/// The server's list, page by page.
async fn learn(server: &Server, who: &Who) -> HashMap<String, Vec<Mirrored>> {
    let (mut tools, mut cursor) = (HashMap::new(), None::<String>);
    for _ in 0..PAGES {
        let (id, mut params) = (own_id(), Members::default());
        if let Some(cursor) = &cursor {
            params.set("cursor", cursor);
        }
        let (headers, body) = new_request(&id, ("tools/list", None), params);
        let Ok((Answer::Result(page), _)) = ask(server, who, (headers, body, &*id)).await else {
            break;
        };
        let page = Members::of(&page);
        for text in page.get::<Vec<&RawValue>>("tools").unwrap_or_default() {
            if let Ok(tool) = serde_json::from_str::<Tool>(text.get())
                && tools.len() < TOOLS
            {
                tools.insert(tool.name, mirrored(&tool.input_schema));
            }
        }
        cursor = page.get("nextCursor");
        if cursor.is_none() {
            break;
        }
    }
    tools
}

/// What stands along `properties` alone; `$ref`s are not followed.
fn mirrored(schema: &Value) -> Vec<Mirrored> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found);
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) {
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    if path.len() >= DEPTH {
        return;
    }
    for (name, schema) in properties {
        path.push(name.clone());
        let header = schema.get("x-mcp-header").and_then(Value::as_str).unwrap_or_default();
        let header = HeaderName::try_from(["mcp-param-", header].concat());
        if let (true, Ok(header)) = (schema.get("x-mcp-header").is_some(), header) {
            found.push(Mirrored { header, path: path.clone() });
        }
        collect(schema, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_are_found_along_properties_alone() {
        let schema = json!({
            "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" },
                "where": { "properties": { "zip": { "x-mcp-header": "Zip" } } },
                "other": { "items": { "x-mcp-header": "No" } },
                "wrong": { "x-mcp-header": "a b" },
            },
            "$defs": { "x": { "properties": { "y": { "x-mcp-header": "No" } } } },
        });
        let names: Vec<_> = mirrored(&schema)
            .into_iter()
            .map(|found| (found.header.as_str().to_owned(), found.path.join(".")))
            .collect();
        let expected = [("mcp-param-region", "region"), ("mcp-param-zip", "where.zip")];
        assert_eq!(names, expected.map(|(header, path)| (header.to_owned(), path.to_owned())));
    }

    #[test]
    fn a_schema_without_end_ends() {
        let mut schema = json!({ "x-mcp-header": "Deep" });
        for _ in 0..100 {
            schema = json!({ "properties": { "a": schema } });
        }
        assert_eq!(mirrored(&schema), []);
    }
}
