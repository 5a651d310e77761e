//! The JSON Schema (2020-12) of the settings: what the checks walk along, and what editors read.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::key::{Key, Step};
use super::model::RawConfig;

/// The schema of the settings file.
#[must_use]
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<RawConfig>().to_value();
    tidy(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), "MCP Auth Broker settings".into());
    }
    schema
}

/// TOML has no null: what may be absent is simply not required.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            without_null(object);
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn without_null(object: &mut Map<String, Value>) {
    object.remove("format");
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = object.get("anyOf") {
        let null = |choice: &&Value| choice.get("type").is_none_or(|name| name != "null");
        let mut rest = choices.iter().filter(null);
        if let (Some(Value::Object(only)), None) = (rest.next(), rest.next()) {
            let only = only.clone();
            object.remove("anyOf");
            for (name, value) in only {
                object.entry(name).or_insert(value);
            }
        }
    }
    named_values(object);
}

/// Described constants are an `enum` to us; their descriptions stay in the description of the key.
fn named_values(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("oneOf") else { return };
    let mut values = Vec::new();
    for choice in choices {
        match (choice.get("const"), choice.get("enum")) {
            (Some(value), _) => values.push(value.clone()),
            (_, Some(Value::Array(several))) => values.extend(several.iter().cloned()),
            _ => return,
        }
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), "string".into());
    object.insert("enum".to_owned(), Value::Array(values));
}

/// The schema of one setting; `None` where there is no such setting.
pub(super) fn at<'a>(schema: &'a Value, key: &Key) -> Option<&'a Value> {
    key.steps().iter().try_fold(schema, |schema, step| match step {
        Step::Name(name) => child(schema, name),
        Step::Index(_) => schema.get("items"),
    })
}

/// The schema of a table's member.
pub(super) fn child<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema
        .get("properties")
        .and_then(|properties| properties.get(name))
        .or_else(|| schema.get("additionalProperties").filter(|members| members.is_object()))
}

/// Names of a table's members.
pub(super) fn names(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
}

pub(super) fn kind(schema: &Value) -> &str {
    schema.get("type").and_then(Value::as_str).unwrap_or("object")
}

pub(super) fn is_secret(schema: &Value) -> bool {
    schema.get("x-secret") == Some(&Value::Bool(true))
}

/// Every setting of the schema, tables and lists of tables included, with their schemas.
pub(super) fn walk<'a>(schema: &'a Value, at: &Key, visit: &mut dyn FnMut(&Key, &'a Value)) {
    for name in names(schema) {
        let Some(member) = child(schema, name) else { continue };
        let key = at.name(name);
        visit(&key, member);
        let inner = match kind(member) {
            "array" => member.get("items").unwrap_or(member),
            _ => member,
        };
        walk(inner, &key, visit);
        if let Some(any) = inner.get("additionalProperties").filter(|any| any.is_object()) {
            walk(any, &key.name("<name>"), visit);
        }
    }
}

/// The nearest of `names`, if one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    names
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
