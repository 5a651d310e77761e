//! Looks at what a server sends: one JSON-RPC message, of which kind, and for whom.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::Fault;

/// One message of a server. With other members (JSON-RPC 2.0 §4, §5) it is none: a reader that minds no case would take
/// `Result` for `result`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(rename = "params")]
    _params: Option<IgnoredAny>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What a message of a server is.
#[derive(Debug)]
pub(super) enum Reply<'a> {
    /// A notification, or in 2025-11-25 and before a question to the client.
    Other,
    Result(&'a RawValue),
    Error(&'a RawValue),
}

impl<'a> Raw<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        // An array would be read, too, its items as the members: a client may take it for a batch and heed what is in it.
        let object = body.trim_ascii_start().starts_with(b"{");
        object.then(|| serde_json::from_slice(body).ok()).flatten()
    }
}

impl<'a> Reply<'a> {
    /// # Errors
    ///
    /// [`Fault::NotAMessage`]; [`Fault::OtherId`] for an answer to another request than `asked`, or to any where nothing
    /// was asked.
    pub(super) fn of(body: &'a [u8], asked: Option<&RawValue>) -> Result<Self, Fault> {
        let raw = Raw::of(body).ok_or(Fault::NotAMessage)?;
        if raw.jsonrpc != "2.0" {
            return Err(Fault::NotAMessage);
        }
        match (raw.method, raw.result, raw.error) {
            (Some(_), None, None) => Ok(Self::Other),
            (None, result, error) => {
                let for_us = match (raw.id, asked) {
                    (Some(id), Some(asked)) => same(id, asked),
                    // An error about a request that was not readable has no id (JSON-RPC 2.0 §5).
                    (None, Some(_)) => error.is_some(),
                    _ => false,
                };
                match (result, error) {
                    _ if !for_us => Err(Fault::OtherId),
                    (Some(result), None) => Ok(Self::Result(result)),
                    (None, Some(error)) => Ok(Self::Error(error)),
                    _ => Err(Fault::NotAMessage),
                }
            }
            _ => Err(Fault::NotAMessage),
        }
    }
}

/// Whether an answer says of no request that it is for it.
pub(super) fn has_no_id(body: &[u8]) -> bool {
    Raw::of(body).is_some_and(|raw| raw.id.is_none())
}

/// Whether a message says that it is for this request. `None`: it is none.
pub(super) fn is_for(body: &[u8], asked: &RawValue) -> Option<bool> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(rename = "jsonrpc")]
        _jsonrpc: IgnoredAny,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let said: Said<'_> = serde_json::from_slice(body).ok()?;
    Some(said.id.is_some_and(|id| same(id, asked)))
}

/// Whether a tool says that it failed.
pub(super) fn is_error(result: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "isError")]
        is_error: Option<bool>,
    }
    serde_json::from_str::<Said>(result.get()).is_ok_and(|said| said.is_error == Some(true))
}

fn same(one: &RawValue, other: &RawValue) -> bool {
    let value = |id: &RawValue| serde_json::from_str::<Value>(id.get()).ok();
    one.get() == other.get() || value(one).is_some_and(|one| Some(one) == value(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, asked: Option<&str>) -> String {
        let asked = asked.map(|id| RawValue::from_string(id.to_owned()).unwrap());
        match Reply::of(body.as_bytes(), asked.as_deref()) {
            Ok(Reply::Other) => "other".to_owned(),
            Ok(Reply::Result(result)) => result.get().to_owned(),
            Ok(Reply::Error(_)) => "error".to_owned(),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn an_answer_is_for_the_request_that_was_asked() {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(of(answer, Some("1")), "{}");
        assert_eq!(of(answer, Some("2")), "OtherId");
        assert_eq!(of(answer, Some("\"1\"")), "OtherId");
        assert_eq!(of(answer, None), "OtherId");
        assert_eq!(of(r#"{"jsonrpc":"2.0","id":"\u0061","result":{}}"#, Some("\"a\"")), "{}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for body in [
            "<html>",
            "[]",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"Result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"re\u017fult":{}}"#,
            r#"["2.0",1,null,null,{},null]"#,
            r#" ["2.0",null,"a",{"jsonrpc":"2.0","id":1,"result":{"tools":[]}},null,null]"#,
        ] {
            assert_eq!(of(body, Some("1")), "NotAMessage", "{body}");
        }
    }
}
