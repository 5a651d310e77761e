//! Headers that say once more what the body says (MCP 2026-07-28 Streamable HTTP, TR-24 to TR-27).
//!
//! A server may go by its headers, and policy goes by the body: so what is in the one must be in the other. Headers that are
//! not there are the server's to miss.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use super::named::Named;

const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// How the headers of arguments begin.
pub const PARAMETER: &str = "mcp-param-";

/// What of a body is said once more.
#[derive(Clone, Copy, Debug)]
pub enum Mirrored<'a> {
    /// The name of a tool or a prompt, or a resource's URI; and the arguments of a tool.
    Thing(&'a str, Option<&'a RawValue>),
    Nothing,
    /// It goes no further: `Mcp-Name` is not looked at.
    Unknown,
}

impl<'a> From<&'a Named<'_>> for Mirrored<'a> {
    fn from(named: &'a Named<'_>) -> Self {
        match named {
            Named::Tool { name, arguments } => Self::Thing(name, *arguments),
            Named::Prompt { name, .. } => Self::Thing(name, None),
            Named::Resources(uris) => {
                uris.first().map_or(Self::Nothing, |uri| Self::Thing(uri, None))
            }
            Named::List(_) | Named::Protocol | Named::Reply => Self::Nothing,
            Named::Unknown | Named::Malformed(_) => Self::Unknown,
        }
    }
}

impl Mirrored<'_> {
    /// Whether the headers say the same.
    #[must_use]
    pub fn agrees_with(self, headers: &HeaderMap, method: Option<&str>) -> bool {
        let says = |header: &str, body: Option<&str>| {
            let mut values = headers.get_all(header).iter();
            match (values.next(), values.next()) {
                (None, _) => true,
                (Some(value), None) => {
                    body.is_some_and(|body| decoded(value).as_deref() == Some(body))
                }
                (Some(_), Some(_)) => false,
            }
        };
        let (named, arguments) = match self {
            Self::Thing(name, arguments) => (says(NAME, Some(name)), arguments),
            Self::Nothing => (says(NAME, None), None),
            Self::Unknown => (true, None),
        };
        says(METHOD, method) && named && parameters(headers, arguments)
    }
}

/// Whether each `Mcp-Param-*` is a value of the arguments. Which one it mirrors only the tool's schema says, and the server
/// has to check that (TR-26).
fn parameters(headers: &HeaderMap, arguments: Option<&RawValue>) -> bool {
    let mut given =
        headers.iter().filter(|(name, _)| name.as_str().starts_with(PARAMETER)).peekable();
    if given.peek().is_none() {
        return true;
    }
    let arguments = arguments.and_then(|text| serde_json::from_str::<Value>(text.get()).ok());
    let Some(arguments) = arguments else { return false };
    given.all(|(_, value)| decoded(value).is_some_and(|value| holds(&arguments, &value)))
}

fn holds(arguments: &Value, wanted: &str) -> bool {
    match arguments {
        Value::String(text) => text == wanted,
        Value::Bool(truth) => wanted == if *truth { "true" } else { "false" },
        Value::Number(number) => number.to_string() == wanted,
        Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
        Value::Object(members) => members.values().any(|member| holds(member, wanted)),
        Value::Null => false,
    }
}

/// A header's text: plain, or `=?base64?…?=`.
fn decoded(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}
