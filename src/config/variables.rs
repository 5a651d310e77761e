//! Which setting a variable of the environment sets, and how its text is read there.

use std::path::Path;

use serde_json::Value;

use super::environment::Environment;
use super::finding::{Finding, FindingCode, Findings};
use super::flat::{self, Flat};
use super::key::Key;
use super::origin::Origin;
use super::schema;
use super::toml_file;
use super::tree::{Node, Shape};
use crate::secret_text::SecretText;

pub(super) const PREFIX: &str = "MCP_AUTH_BROKER_";

/// The largest file that a `_FILE` variable may name.
const MAX_VALUE_FILE: u64 = 1 << 20;

/// A value for a setting, from a nested name or a flag.
pub(super) struct Assignment {
    pub(super) key: Key,
    pub(super) node: Node,
}

/// What the environment sets.
#[derive(Default)]
pub(super) struct Assignments {
    pub(super) nested: Vec<Assignment>,
    pub(super) flat: Vec<(Flat, SecretText, Origin)>,
}

enum Target {
    Nested(Key),
    Flat(Flat),
}

/// Reads every variable that is ours.
pub(super) fn read(
    environment: &Environment,
    directory: &Path,
    schema: &Value,
    findings: &mut Findings,
) -> Assignments {
    let mut assignments = Assignments::default();
    for (name, value, origin) in environment.iter() {
        let ours =
            name.strip_prefix(PREFIX).is_some() || name.starts_with("OP_SERVICE_ACCOUNT_TOKEN");
        if !ours {
            continue;
        }
        if let Some(target) = target(name, schema) {
            let text = value.to_owned().into();
            assign(&mut assignments, target, text, origin.clone(), schema);
        } else if let Some((base, target)) = of_file(name, schema) {
            let origin = Origin::ValueFile { name: name.to_owned() };
            if environment.get(base).is_some() {
                let problem = format!("is set, and so is {base}: one of them decides");
                findings.add(
                    Finding::about(name, FindingCode::Conflict, problem)
                        .hint("unset one of the two"),
                );
                continue;
            }
            match value_file(&directory.join(value)) {
                Ok(text) => assign(&mut assignments, target, text, origin, schema),
                Err(problem) => findings.add(Finding::about(
                    name,
                    FindingCode::Unreadable,
                    format!("names a file that {problem}"),
                )),
            }
        } else if name.starts_with(PREFIX) && !is_service_link(name) {
            findings.add(unknown(name, schema, origin));
        }
    }
    assignments
}

fn assign(to: &mut Assignments, target: Target, text: SecretText, origin: Origin, schema: &Value) {
    match target {
        Target::Flat(name) => to.flat.push((name, text, origin)),
        Target::Nested(key) => {
            let node = coerce(text.expose(), schema::at(schema, &key), &origin);
            to.nested.push(Assignment { key, node });
        }
    }
}

fn target(name: &str, schema: &Value) -> Option<Target> {
    if let Some(flat) = flat::by_name(name) {
        return Some(Target::Flat(flat));
    }
    let key = nested(name.strip_prefix(PREFIX)?);
    let known = schema::at(schema, &key).is_some() && !key.steps().is_empty();
    known.then_some(Target::Nested(key))
}

/// A name that ends in `_FILE` and is not itself the name of a setting.
fn of_file<'a>(name: &'a str, schema: &Value) -> Option<(&'a str, Target)> {
    let base = name.strip_suffix("_FILE")?;
    Some((base, target(base, schema)?))
}

fn nested(rest: &str) -> Key {
    let lower = rest.to_ascii_lowercase();
    Key::of(lower.split("__"))
}

/// One newline at the end is not part of the value.
fn value_file(path: &Path) -> Result<SecretText, &'static str> {
    let length = std::fs::metadata(path).map_err(|_| "cannot be read")?.len();
    if length > MAX_VALUE_FILE {
        return Err("is larger than 1 MiB");
    }
    let bytes = std::fs::read(path).map_err(|_| "cannot be read")?;
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text.into())
}

/// Reads a text as the setting wants it; what does not fit stays a text, which the check then names.
///
/// Lists are `a,b` or a TOML literal; tables and lists of tables are TOML literals.
pub(super) fn coerce(text: &str, schema: Option<&Value>, origin: &Origin) -> Node {
    let plain = || Node::new(Shape::text(text), origin.clone());
    let Some(schema) = schema else { return plain() };
    let trimmed = text.trim();
    let shape = match schema::kind(schema) {
        "integer" => trimmed.parse().ok().map(Shape::Integer),
        "boolean" => match trimmed {
            "true" | "1" => Some(Shape::Bool(true)),
            "false" | "0" => Some(Shape::Bool(false)),
            _ => None,
        },
        "array" if !trimmed.starts_with('[') => match schema.get("items").map(schema::kind) {
            Some("object") => None,
            _ => Some(list(trimmed, origin)),
        },
        "array" | "object" => return toml_file::literal(trimmed, origin).unwrap_or_else(plain),
        _ => None,
    };
    shape.map_or_else(plain, |shape| Node::new(shape, origin.clone()))
}

/// `a, b` as a list of texts.
pub(super) fn list(text: &str, origin: &Origin) -> Shape {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Shape::Array(items.map(|item| Node::new(Shape::text(item), origin.clone())).collect())
}

/// Kubernetes gives every pod variables for each Service, and ours may well be called `mcp-auth-broker`.
fn is_service_link(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("MCP_AUTH_BROKER") else { return false };
    !rest.contains("__")
        && (rest.ends_with("_SERVICE_HOST")
            || rest.contains("_SERVICE_PORT")
            || rest.ends_with("_PORT")
            || rest.contains("_PORT_"))
}

fn unknown(name: &str, schema: &Value, origin: &Origin) -> Finding {
    let mut names: Vec<String> = flat::names().map(str::to_owned).collect();
    schema::walk(schema, &Key::default(), &mut |key, _| names.push(variable(key)));
    let finding =
        Finding::about(name, FindingCode::UnknownKey, "sets nothing: there is no such setting");
    let finding = match schema::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => finding.hint(format!("did you mean {near}?")),
        None => finding.hint("broker config reference lists all settings"),
    };
    match origin {
        Origin::DotEnv { .. } => finding.origin(origin),
        _ => finding,
    }
}

/// The nested name of a setting.
pub(super) fn variable(key: &Key) -> String {
    let text = key.to_string().replace(['[', '.'], "__").replace(']', "");
    format!("{PREFIX}{}", text.to_ascii_uppercase())
}
