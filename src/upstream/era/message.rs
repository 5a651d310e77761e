//! JSON-RPC messages written anew, member by member: what is not touched stays as it came.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

pub(super) const META: &str = "_meta";
pub(super) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(super) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(super) const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub(super) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(super) const SERVER: &str = "io.modelcontextprotocol/serverInfo";
pub(super) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The members of an object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Those of `text`; none where it is no object.
    pub(super) fn of(text: &RawValue) -> Self {
        serde_json::from_str(text.get()).unwrap_or_default()
    }

    /// One of them, read. `None` where it is not there, or of another shape.
    pub(super) fn get<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(AsRef::as_ref)
    }

    pub(super) fn set(&mut self, name: &str, value: impl Serialize) {
        self.0.insert(name.to_owned(), raw(value));
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    /// An object within it; an empty one where there is none.
    pub(super) fn members(&self, name: &str) -> Self {
        self.raw(name).map(Self::of).unwrap_or_default()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn text(&self) -> Box<RawValue> {
        raw(self)
    }
}

/// As JSON. What cannot be written (nothing of ours) is null.
pub(super) fn raw(value: impl Serialize) -> Box<RawValue> {
    to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a Members>,
}

/// A request; without an id a notification.
pub(super) fn request(id: Option<&RawValue>, method: &str, params: &Members) -> Bytes {
    let params = (!params.is_empty()).then_some(params);
    let request = Request { jsonrpc: "2.0", id, method, params };
    serde_json::to_vec(&request).unwrap_or_default().into()
}

/// An answer: `member` is `result` or `error`.
pub(super) fn answer(id: &RawValue, member: &str, value: &RawValue) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{},"{member}":{}}}"#, id.get(), value.get()).into()
}

/// A text as a header: plain, or `=?base64?…?=` (MCP 2026-07-28 Streamable HTTP, TR-25).
pub(in crate::upstream) fn header_text(text: &str) -> Option<HeaderValue> {
    let printable = text.bytes().all(|byte| matches!(byte, 0x20..=0x7E));
    let padded = text.starts_with(' ') || text.ends_with(' ');
    if printable && !padded && !text.starts_with("=?base64?") {
        return HeaderValue::from_str(text).ok();
    }
    HeaderValue::try_from(["=?base64?", &STANDARD.encode(text), "?="].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_came() {
        let text = RawValue::from_string(r#"{"b":1.50,"a":{"x":[1e3]}}"#.to_owned()).unwrap();
        let mut members = Members::of(&text);
        members.set("c", "d");
        assert_eq!(members.text().get(), r#"{"a":{"x":[1e3]},"b":1.50,"c":"d"}"#);
    }

    #[test]
    fn a_header_says_any_text() {
        assert_eq!(header_text("get_weather").unwrap(), "get_weather");
        assert_eq!(header_text("é").unwrap(), "=?base64?w6k=?=");
        assert_eq!(header_text(" a").unwrap(), "=?base64?IGE=?=");
        assert_eq!(header_text("=?base64?YQ==?=").unwrap(), "=?base64?PT9iYXNlNjQ/WVE9PT89?=");
        assert_eq!(header_text("a\r\nb").unwrap(), "=?base64?YQ0KYg==?=");
    }
}
