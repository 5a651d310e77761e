//! Compares a tree of settings with the schema: everything that is wrong is reported and cut out, so that
//! what remains can be typed and checked further in the same run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::{Finding, FindingCode, Findings};
use super::flat;
use super::key::Key;
use super::mask::quoted;
use super::schema;
use super::tree::{Node, Shape};

/// Which elements of a list remain, by their place in the settings.
pub(super) type Kept = BTreeMap<Key, Vec<usize>>;

/// One pass over a tree.
pub(super) struct Walk<'a> {
    pub(super) findings: &'a mut Findings,
    pub(super) kept: Kept,
}

impl Walk<'_> {
    /// Whether `node` is what `schema` wants, after what is wrong inside it was cut out.
    pub(super) fn check(&mut self, node: &mut Node, schema: &Value, at: &Key) -> bool {
        let fits = match (schema::kind(schema), &mut node.value) {
            ("object", Shape::Table(table)) => return self.table(table, schema, at, &node.origin),
            ("array", Shape::Array(array)) => {
                self.array(array, schema, at);
                return true;
            }
            ("string", Shape::Text(text)) => {
                return self.text(text.expose(), schema, at, &node.origin);
            }
            ("integer", Shape::Integer(number)) => {
                return self.integer(*number, schema, at, &node.origin);
            }
            ("boolean", Shape::Bool(_)) => true,
            _ => false,
        };
        if !fits {
            let mut finding =
                Finding::error(FindingCode::WrongType, at, format!("is {}", node.value.describe()));
            // A text where a number belongs may be a secret in the wrong place: its shape says enough.
            let hidden = schema::is_secret(schema) || matches!(node.value, Shape::Text(_));
            if let (Some(shown), false) = (plain(&node.value), hidden) {
                finding = finding.found(shown);
            }
            self.findings.add(finding.allowed(allowed(schema)).origin(&node.origin));
        }
        fits
    }

    fn table(
        &mut self,
        table: &mut BTreeMap<String, Node>,
        schema: &Value,
        at: &Key,
        origin: &super::origin::Origin,
    ) -> bool {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        table.retain(|name, node| {
            let key = at.name(name);
            let Some(member) = schema::child(schema, name) else {
                self.unknown(name, node, schema, at);
                return false;
            };
            self.check(node, member, &key)
        });
        // What is missing or was cut out stands there as something of its type, so that the rest of the table is looked
        // at, too. What is said of the stand-in is no news, and with a finding no settings come into force.
        for name in required.iter().filter(|name| !table.contains_key(**name)).collect::<Vec<_>>() {
            let (key, member) = (at.name(name), schema::child(schema, name));
            let missing = Finding::error(FindingCode::Missing, &key, "is missing");
            let wanted = member.map_or_else(String::new, allowed);
            let hint = flat::profile_setting(&key).map(|variable| {
                format!("set {name} in [[graph.profile]], or the variable {variable}")
            });
            let missing = Finding { hint, ..missing.allowed(wanted).origin(origin) };
            self.findings.add(missing);
            if let Some(member) = member {
                (*table).insert((*name).to_owned(), stand_in(member, origin));
            }
        }
        true
    }

    fn array(&mut self, array: &mut Vec<Node>, schema: &Value, at: &Key) {
        let Some(items) = schema.get("items") else { return };
        let mut places = Vec::new();
        let mut place = 0;
        array.retain_mut(|node| {
            let fits = self.check(node, items, &at.index(place));
            if fits {
                places.push(place);
            }
            place += 1;
            fits
        });
        self.kept.insert(at.clone(), places);
    }

    /// The value is not shown: somebody may have put a secret under a wrong name.
    fn unknown(&mut self, name: &str, node: &Node, schema: &Value, at: &Key) {
        let finding = Finding::error(FindingCode::UnknownKey, &at.name(name), "is not a setting")
            .found(node.value.describe());
        let finding = match schema::nearest(name, schema::names(schema)) {
            Some(near) => finding.hint(format!("did you mean {}?", at.name(near))),
            None => match elsewhere(name) {
                Some(key) => finding.hint(format!("did you mean {key}?")),
                None => finding.hint(format!(
                    "known here: {}",
                    schema::names(schema).collect::<Vec<_>>().join(", ")
                )),
            },
        };
        self.findings.add(finding.origin(&node.origin));
    }

    fn text(
        &mut self,
        text: &str,
        schema: &Value,
        at: &Key,
        origin: &super::origin::Origin,
    ) -> bool {
        let secret = schema::is_secret(schema);
        let finding = if let Some(Value::Array(values)) = schema.get("enum") {
            if values.iter().any(|value| value == text) {
                return true;
            }
            let finding =
                Finding::error(FindingCode::NotAllowed, at, "is not one of the allowed values")
                    .found(quoted(text));
            match schema::nearest(text, values.iter().filter_map(Value::as_str)) {
                Some(near) => finding.hint(format!("did you mean \"{near}\"?")),
                None => finding,
            }
        } else if secret && text.is_empty() {
            Finding::error(FindingCode::NotAllowed, at, "is empty")
        } else {
            return true;
        };
        self.findings.add(finding.allowed(allowed(schema)).origin(origin));
        false
    }

    fn integer(
        &mut self,
        number: i64,
        schema: &Value,
        at: &Key,
        origin: &super::origin::Origin,
    ) -> bool {
        let (min, max) = range(schema);
        let fits = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
        if !fits {
            let finding = Finding::error(FindingCode::NotAllowed, at, "is out of range")
                .found(number.to_string());
            self.findings.add(finding.allowed(allowed(schema)).origin(origin));
        }
        fits
    }
}

/// A value of the type that `schema` wants.
fn stand_in(schema: &Value, origin: &super::origin::Origin) -> Node {
    let value = match schema::kind(schema) {
        "string" => {
            let first = schema.get("enum").and_then(|values| values.get(0)).and_then(Value::as_str);
            Shape::text(first.unwrap_or_default())
        }
        "integer" => Shape::Integer(range(schema).0.unwrap_or_default()),
        "boolean" => Shape::Bool(false),
        "array" => Shape::Array(Vec::new()),
        _ => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let members = required.filter_map(Value::as_str).filter_map(|name| {
                let member = schema::child(schema, name)?;
                Some((name.to_owned(), stand_in(member, origin)))
            });
            Shape::Table(members.collect())
        }
    };
    Node::new(value, origin.clone())
}

/// A setting of that name in another section, if there is exactly one.
fn elsewhere(name: &str) -> Option<String> {
    let root = schema::schema();
    let mut found = Vec::new();
    schema::walk(&root, &Key::default(), &mut |key, _| {
        let dotted = key.to_string();
        if dotted.rsplit('.').next() == Some(name) {
            found.push(dotted);
        }
    });
    if found.len() == 1 { found.pop() } else { None }
}

fn range(schema: &Value) -> (Option<i64>, Option<i64>) {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    (bound("minimum"), bound("maximum"))
}

/// What a setting may be, in words.
pub(super) fn allowed(schema: &Value) -> String {
    if let Some(Value::Array(values)) = schema.get("enum") {
        return values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
    }
    match schema::kind(schema) {
        "string" if schema::is_secret(schema) => {
            "a secret, or env:, file:, op://, vault:, exec:".to_owned()
        }
        "string" => "a text".to_owned(),
        "boolean" => "true | false".to_owned(),
        "integer" => match range(schema) {
            (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
            (Some(min), None) => format!("a whole number from {min}"),
            _ => "a whole number".to_owned(),
        },
        "array" => match schema.get("items").map(schema::kind) {
            Some("object") => "a list of tables".to_owned(),
            Some("string") => match schema.get("items").and_then(|items| items.get("enum")) {
                Some(_) => {
                    format!("a list of: {}", schema.get("items").map(allowed).unwrap_or_default())
                }
                None => "a list of texts".to_owned(),
            },
            _ => "a list".to_owned(),
        },
        _ => {
            let names: Vec<&str> = schema::names(schema).collect();
            let any = schema.get("additionalProperties").filter(|any| any.is_object());
            match (names.as_slice(), any) {
                ([], Some(any)) => format!("a table: for each name {}", allowed(any)),
                ([], None) => "a table".to_owned(),
                (names, _) => format!("a table of {}", names.join(", ")),
            }
        }
    }
}

/// A value that may be shown because its setting is no secret.
pub(super) fn plain(value: &Shape) -> Option<String> {
    match value {
        Shape::Text(text) => Some(quoted(text.expose())),
        Shape::Integer(number) => Some(number.to_string()),
        Shape::Float(number) => Some(number.to_string()),
        Shape::Bool(value) => Some(value.to_string()),
        Shape::Array(_) | Shape::Table(_) => None,
    }
}
