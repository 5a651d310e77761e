//! `OData` query options over a list, as far as the simulation goes; anything else is 400.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::graph::path::QueryOption;

use super::answer::{Reply, bad_request};
use super::data::Entity;
use super::{Asked, RESOURCE, Server};

/// Graph's page sizes.
pub(super) struct Paging {
    pub(super) default: usize,
    pub(super) max: usize,
}

pub(super) const DIRECTORY: Paging = Paging { default: 100, max: 999 };
pub(super) const MAIL: Paging = Paging { default: 10, max: 1000 };

fn option<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    asked.path.query().iter().find(|option| option.name() == name).map(QueryOption::value)
}

pub(super) fn list(server: &Server, asked: &Asked, items: &[Entity], paging: &Paging) -> Reply {
    page(server, asked, items, paging).unwrap_or_else(|refusal| *refusal)
}

fn page(
    server: &Server,
    asked: &Asked,
    items: &[Entity],
    paging: &Paging,
) -> Result<Reply, Box<Reply>> {
    const KNOWN: [&str; 6] = ["$top", "$skip", "$skiptoken", "$select", "$filter", "$count"];
    let refuse = |text: &str| Box::new(bad_request(text));
    if let Some(other) = asked.path.query().iter().find(|option| !KNOWN.contains(&option.name())) {
        return Err(refuse(&format!("The query option '{}' is not simulated.", other.name())));
    }
    let number = |name: &str, default: usize| match option(asked, name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| refuse(&format!("Invalid value for '{name}'."))),
    };
    let top = number("$top", paging.default)?;
    if top == 0 || top > paging.max {
        return Err(refuse(&format!(
            "Invalid page size specified: '{top}'. Must be between 1 and {} inclusive.",
            paging.max
        )));
    }
    let start = match option(asked, "$skiptoken") {
        None => number("$skip", 0)?,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|at| at.parse().ok())
            .ok_or_else(|| refuse("Invalid skip token."))?,
    };
    let keep = option(asked, "$filter").map(filter).transpose().map_err(refuse)?;
    let all: Vec<&Entity> =
        items.iter().filter(|item| keep.as_ref().is_none_or(|keep| keep.holds(item))).collect();
    let value: Vec<Value> =
        all.iter().skip(start).take(top).map(|item| select(asked, item)).collect();
    let kind = asked.path.segments().join("/");
    let mut body =
        json!({"@odata.context": format!("{RESOURCE}/v1.0/$metadata#{kind}"), "value": value});
    let counts = option(asked, "$count") == Some("true") && eventual(asked);
    if let Some(fields) = body.as_object_mut() {
        if counts {
            fields.insert("@odata.count".to_owned(), all.len().into());
        }
        let next = start.saturating_add(top);
        if next < all.len() {
            fields.insert("@odata.nextLink".to_owned(), next_link(server, asked, next).into());
        }
    }
    Ok(Reply::json(StatusCode::OK, body))
}

pub(super) fn eventual(asked: &Asked) -> bool {
    asked.header("consistencylevel").is_some_and(|level| level.eq_ignore_ascii_case("eventual"))
}

/// Absolute, as Graph's are, and opaque to the client.
fn next_link(server: &Server, asked: &Asked, next: usize) -> String {
    let (path, query) = asked.path.as_str().split_once('?').unwrap_or((asked.path.as_str(), ""));
    let is_position = |pair: &&str| {
        !pair.starts_with("$skip") && !pair.starts_with("%24skip") && !pair.is_empty()
    };
    let kept: Vec<&str> = query.split('&').filter(is_position).collect();
    let kept = kept.join("&");
    let glue = if kept.is_empty() { "" } else { "&" };
    format!("{}{path}?{kept}{glue}$skiptoken=page-{next}", server.origin)
}

pub(super) fn select(asked: &Asked, item: &Entity) -> Value {
    let mut fields: Map<String, Value> = item.fields.clone();
    if let Some(names) = option(asked, "$select") {
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        fields.retain(|field, _| {
            field == "id" || names.iter().any(|name| name.eq_ignore_ascii_case(field))
        });
    }
    fields.insert("@odata.etag".to_owned(), item.etag().into());
    Value::Object(fields)
}

/// `field eq 'value'` or `startswith(field,'value')`.
struct Filter {
    field: String,
    value: String,
    prefix: bool,
}

impl Filter {
    fn holds(&self, item: &Entity) -> bool {
        let name = item.fields.keys().find(|name| name.eq_ignore_ascii_case(&self.field));
        let text = name.map_or("", |name| item.text(name)).to_lowercase();
        if self.prefix { text.starts_with(&self.value) } else { text == self.value }
    }
}

fn filter(text: &str) -> Result<Filter, &'static str> {
    const UNKNOWN: &str = "Invalid filter clause, or one that is not simulated.";
    let quoted = |text: &str| {
        let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        Some(inner.replace("''", "'").to_lowercase())
    };
    let call = text.trim().strip_prefix("startswith(").and_then(|rest| rest.strip_suffix(')'));
    let (parts, prefix) = match call {
        Some(arguments) => (arguments.split_once(','), true),
        None => (text.split_once(" eq "), false),
    };
    let (field, value) = parts.ok_or(UNKNOWN)?;
    let value = quoted(value).ok_or(UNKNOWN)?;
    Ok(Filter { field: field.trim().to_owned(), value, prefix })
}
