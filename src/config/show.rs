//! The settings in force, each with where it was written; secrets masked.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::key::Key;
use super::load::Loaded;
use super::mask::mask_password;
use super::model::Config;
use super::origin::Origin;
use super::schema;
use super::tree::{Node, Shape};

/// One setting in force.
struct Line {
    key: String,
    value: Value,
    origin: Origin,
}

/// Writes the settings in force as a table: key, value, origin.
///
/// # Errors
///
/// Those of `out`.
pub fn write_settings(out: &mut dyn Write, loaded: &Loaded) -> io::Result<()> {
    let lines = lines(loaded);
    let width = |text: fn(&Line) -> String| {
        lines.iter().map(|line| text(line).chars().count().min(58)).max().unwrap_or(0)
    };
    let keys = width(|line| line.key.clone());
    let values = width(|line| line.value.to_string());
    for Line { key, value, origin } in &lines {
        writeln!(out, "{key:keys$}  {:values$}  {origin}", value.to_string())?;
    }
    Ok(())
}

/// The settings in force, for programs: `{ "server.listen": { "value": …, "origin": … } }`.
#[must_use]
pub fn settings_json(loaded: &Loaded) -> Value {
    let entry = |line: Line| {
        let origin = line.origin.to_string();
        (line.key, json!({ "value": line.value, "origin": origin }))
    };
    Value::Object(lines(loaded).into_iter().map(entry).collect::<Map<_, _>>())
}

fn lines(loaded: &Loaded) -> Vec<Line> {
    let schema = schema::schema();
    let mut lines = Vec::new();
    table(&schema, Some(&loaded.tree), &Key::default(), &mut lines);
    if let Some(config) = &loaded.config {
        for (key, value) in derived(config) {
            if !lines.iter().any(|line| line.key == key) && !value.is_null() {
                lines.push(Line { key: key.to_owned(), value, origin: Origin::Default });
            }
        }
        lines.sort_by(|a, b| a.key.cmp(&b.key));
    }
    lines
}

/// Defaults that depend on other settings.
fn derived(config: &Config) -> [(&'static str, Value); 7] {
    let scopes = config.authorization_server.default_scopes.to_string();
    [
        ("server.public_url", config.server.public_url.as_str().trim_end_matches('/').into()),
        ("graph.mode", json!(config.graph.mode)),
        ("authorization_server.default_scopes", scopes.split_whitespace().collect()),
        ("limits.per_client", config.limits.per_client.map(|rate| rate.to_string()).into()),
        (
            "limits.requests_per_user",
            config.limits.requests_per_user.map(|rate| rate.to_string()).into(),
        ),
        ("limits.streams_per_user", json!(config.limits.streams_per_user)),
        ("telemetry.log_format", json!(config.telemetry.log_format)),
    ]
}

fn table(schema: &Value, node: Option<&Node>, at: &Key, lines: &mut Vec<Line>) {
    for name in schema::names(schema) {
        let Some(member) = schema::child(schema, name) else { continue };
        let node = node.and_then(|node| node.get(&Key::default().name(name)));
        setting(member, node, &at.name(name), lines);
    }
    let any = schema.get("additionalProperties").filter(|any| any.is_object());
    if let (Some(any), Some(Node { value: Shape::Table(members), .. })) = (any, node) {
        for (name, node) in members {
            setting(any, Some(node), &at.name(name), lines);
        }
    }
}

fn setting(schema: &Value, node: Option<&Node>, at: &Key, lines: &mut Vec<Line>) {
    match (schema::kind(schema), node) {
        // A section always exists; a table that may be absent has keys it requires.
        ("object", None) if schema.get("required").is_none() => table(schema, None, at, lines),
        ("object", Some(node)) if matches!(node.value, Shape::Table(_)) => {
            table(schema, Some(node), at, lines);
        }
        ("array", Some(Node { value: Shape::Array(array), .. })) if holds_tables(schema) => {
            let items = schema.get("items").unwrap_or(schema);
            for (place, element) in array.iter().enumerate() {
                setting(items, Some(element), &at.index(place), lines);
            }
        }
        (_, Some(node)) => {
            let value = if schema::is_secret(schema) { masked(node) } else { shown(node, schema) };
            lines.push(Line { key: at.to_string(), value, origin: node.origin.clone() });
        }
        (_, None) => {
            if let Some(default) = schema.get("default").filter(|default| !is_empty(default)) {
                lines.push(Line {
                    key: at.to_string(),
                    value: default.clone(),
                    origin: Origin::Default,
                });
            }
        }
    }
}

fn holds_tables(schema: &Value) -> bool {
    schema.get("items").is_some_and(|items| schema::kind(items) == "object")
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Array(items) if items.is_empty())
}

/// A reference names a place and may be shown; anything else is a secret.
fn masked(node: &Node) -> Value {
    let Shape::Text(text) = &node.value else { return "[redacted]".into() };
    match text.expose().parse::<crate::secret_ref::SecretRef>() {
        Ok(reference) => reference.to_string().into(),
        Err(_) => "[redacted]".into(),
    }
}

/// What has not the shape its setting wants is not shown: it may be a secret in the wrong place.
fn shown(node: &Node, schema: &Value) -> Value {
    match (&node.value, schema::kind(schema)) {
        (Shape::Text(text), "string") => mask_password(text.expose()).into(),
        (Shape::Array(array), "array") => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(array.iter().map(|element| shown(element, items)).collect())
        }
        (Shape::Integer(_), "integer") | (Shape::Bool(_), "boolean") => node.to_json(),
        (value, _) => format!("[{}]", value.describe()).into(),
    }
}
