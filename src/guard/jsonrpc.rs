//! JSON-RPC 2.0 as far as the guard reads it: which method, which tool, which id; and its error answers.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::id::{RequestId, TraceId};

use super::unique::{Unmistakable, mistakable};

/// JSON-RPC and MCP error codes (MCP 2026-07-28 basic, Error Codes).
pub const PARSE_ERROR: i32 = -32700;
pub const INVALID_REQUEST: i32 = -32600;
pub const INVALID_PARAMS: i32 = -32602;
pub const INTERNAL_ERROR: i32 = -32603;
pub const UNSUPPORTED_PROTOCOL_VERSION: i32 = -32022;

/// One message of a client. What two readers could read as two messages is refused: a member that is there twice at any
/// depth, whatever the case of its name, and members that no message has (JSON-RPC 2.0 §4, §5).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message<'a> {
    #[serde(default, rename = "jsonrpc")]
    _version: Version,
    /// A text or a whole number, never null (TR-8).
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(default)]
    result: Present,
    #[serde(default)]
    error: Present,
}

/// `"2.0"`. Not checked: that it is there, which whoever executes the message does.
#[derive(Clone, Copy, Debug, Default)]
struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        (text == "2.0").then_some(Self).ok_or_else(|| serde::de::Error::custom("not JSON-RPC 2.0"))
    }
}

/// What is there, null included: an id of null is no notification.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Whether the id is one of a request (JSON-RPC 2.0 §4 as MCP narrows it, TR-8): text, or a whole number.
fn is_request_id(id: &RawValue) -> bool {
    let text = id.get();
    let whole = text.strip_prefix('-').unwrap_or(text);
    text.starts_with('"')
        || (!whole.is_empty()
            && whole.len() <= 20
            && whole.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a member is there, whatever it says.
#[derive(Clone, Copy, Debug, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|IgnoredAny| Self(true))
    }
}

/// The parameters of `tools/call` that policy looks at.
#[derive(Debug, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

/// Why a body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not JSON, or not UTF-8.
    Json,
    /// A batch: JSON-RPC batches left MCP in 2025-06-18.
    Batch,
    /// JSON, but not an object with the members of a message, each once.
    Message,
}

impl<'a> Message<'a> {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]
    pub fn parse(body: &'a [u8]) -> Result<Self, Unreadable> {
        let unmistakable = serde_json::from_slice::<Unmistakable>(body);
        let message = unmistakable.and_then(|Unmistakable| serde_json::from_slice::<Self>(body));
        let message = message.map_err(|error| {
            let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
            match (error.classify(), first) {
                (serde_json::error::Category::Data, Some(b'[')) => Unreadable::Batch,
                (serde_json::error::Category::Data, _) => Unreadable::Message,
                _ => Unreadable::Json,
            }
        })?;
        let answers = message.result.0 || message.error.0;
        let asks = message.method.is_some() || message.params.is_some();
        let id = message.id.is_none_or(is_request_id);
        if answers && asks || !id { Err(Unreadable::Message) } else { Ok(message) }
    }

    #[must_use]
    pub const fn has_params(&self) -> bool {
        self.params.is_some()
    }

    /// The tool that a `tools/call` names; `None` for other methods and for parameters that name none.
    pub fn tool_call(&self) -> Option<ToolCall<'a>> {
        if self.method.as_deref() != Some("tools/call") {
            return None;
        }
        serde_json::from_str(self.params?.get()).ok()
    }

    /// Its parameters, read as far as `T` looks at them. `None` where there are none of that shape.
    #[must_use]
    pub fn params<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.params?.get()).ok()
    }

    /// The trace that its sender says it belongs to (`_meta.traceparent`, MCP SEP-414): nearer to the call than a header,
    /// which is of the HTTP request.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        TraceId::from_traceparent(self.traceparent()?)
    }

    /// The text that says so, as it stands in the message: what holds an escape is none that could be read.
    #[must_use]
    pub fn traceparent(&self) -> Option<&'a str> {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(rename = "_meta", borrow)]
            meta: Option<Meta<'a>>,
        }
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow)]
            traceparent: Option<&'a RawValue>,
        }
        let params = self.params?.get();
        if !params.contains("traceparent") {
            return None; // nearly always: nothing is read twice for it
        }
        let params: Params<'_> = serde_json::from_str(params).ok()?;
        params.meta?.traceparent?.get().strip_prefix('"')?.strip_suffix('"')
    }

    /// Whether the request itself says which revision it speaks (MCP 2026-07-28 basic, `_meta`).
    pub fn names_its_version(&self) -> bool {
        #[derive(Deserialize)]
        struct Params {
            #[serde(rename = "_meta")]
            meta: Option<Meta>,
            #[serde(rename = "protocolVersion")]
            initialize: Option<serde::de::IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Meta {
            #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
            version: Option<serde::de::IgnoredAny>,
        }
        let params =
            self.params.and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
        params.is_some_and(|params| {
            params.initialize.is_some() || params.meta.is_some_and(|meta| meta.version.is_some())
        })
    }
}

impl ToolCall<'_> {
    /// The id by which the caller wants the call known, where the arguments hold a valid one.
    pub fn chosen_id(&self) -> Option<RequestId> {
        #[derive(Deserialize)]
        struct Arguments<'a> {
            #[serde(borrow)]
            request_id: Option<Cow<'a, str>>,
        }
        let arguments: Arguments<'_> = serde_json::from_str(self.arguments?.get()).ok()?;
        arguments.request_id?.parse().ok()
    }
}

impl Unreadable {
    /// What the sender of `body` is told: which member is at fault where one is, and under the id of its request where that
    /// can be read.
    pub fn answer(self, body: &[u8]) -> Response<Body> {
        let refused = |id, code, text: &str| error(StatusCode::BAD_REQUEST, id, code, text, None);
        match self {
            Self::Json => {
                let text = "the body is not JSON, or is nested over 127 levels or has a number that no double holds";
                refused(None, PARSE_ERROR, text)
            }
            Self::Batch => {
                let text = "batches are not part of this protocol: send one message";
                refused(None, INVALID_REQUEST, text)
            }
            Self::Message => {
                let rule = "each member once, whatever the case of its name, and written as the protocol writes it";
                let which = mistakable(body).map(|which| format!("{which}; ")).unwrap_or_default();
                let text = format!("the body is not one JSON-RPC message: {which}{rule}");
                refused(id_of(body), INVALID_REQUEST, &text)
            }
        }
    }
}

/// The id of a request that is otherwise not one message (JSON-RPC 2.0 §5).
fn id_of(body: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let message: Identified<'_> = serde_json::from_slice(body).ok()?;
    message.id.filter(|id| is_request_id(id))
}

/// An error answer. The id is the request's where it was readable, else null (JSON-RPC 2.0 §5).
pub fn error(
    status: StatusCode,
    id: Option<&RawValue>,
    code: i32,
    message: &str,
    data: Option<Value>,
) -> Response<Body> {
    let mut error = serde_json::json!({ "code": code, "message": message });
    if let (Some(data), Some(members)) = (data, error.as_object_mut()) {
        members.insert("data".to_owned(), data);
    }
    let id = id.map_or("null", RawValue::get);
    let mut response =
        Response::new(Body::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_told_apart() {
        for (body, expected) in [
            ("{", Unreadable::Json),
            ("", Unreadable::Json),
            ("\u{feff}{}", Unreadable::Json),
            ("[]", Unreadable::Batch),
            (" [{\"method\":\"ping\"}]", Unreadable::Batch),
            ("1", Unreadable::Message),
            (r#"{"method":"a","method":"b"}"#, Unreadable::Message),
            (r#"{"params":1,"params":2}"#, Unreadable::Message),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Unreadable::Message),
            (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Unreadable::Message),
            (r#"{"id":null,"method":"ping"}"#, Unreadable::Message),
            (r#"{"id":1.5,"method":"ping"}"#, Unreadable::Message),
            (r#"{"params":{"arguments":[{"path":1,"p\u0061th":2}]}}"#, Unreadable::Message),
        ] {
            assert_eq!(Message::parse(body.as_bytes()).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn the_tool_is_read_through_escapes() {
        let body = br#"{"id":1,"method":"tools\u002fcall","params":{"name":"a\u0062c","arguments":{"x":1}}}"#;
        let message = Message::parse(body).unwrap();
        assert_eq!(message.tool_call().unwrap().name, "abc");
    }

    // A server behind us may find a member whatever the case of its name: what was decided on is not what it runs.
    #[test]
    fn what_a_laxer_reader_would_read_otherwise_is_no_message() {
        for body in [
            r#"{"id":1,"Method":"tools/call","params":{"name":"a"}}"#,
            r#"{"id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"id":1,"method":"ping","confirm":true}"#,
            r#"{"id":1,"method":"ping","result":null}"#,
            r#"{"id":1,"error":{},"params":{}}"#,
            r#"{"id":1,"method":"a","param\u017f":{}}"#,
            r#"{"id":1,"method":"a","params":{"name":"a","Name":"b"}}"#,
            r#"{"id":1,"method":"a","params":{"Arguments":{}}}"#,
            r#"{"id":1,"method":"a","params":{"argument\u017f":{}}}"#,
            r#"{"id":1,"method":"a","params":{"inputresponses":{}}}"#,
            r#"{"id":1,"method":"a","params":{"ref":{"Uri":"x"}}}"#,
            r#"{"id":1,"method":"a","params":{"notifications":{"resourcesubscriptions":["x"]}}}"#,
            r#"{"id":1,"method":"a","params":{"arguments":{"path":"a","Path":"b"}}}"#,
            r#"{"id":1,"method":"a","params":{"_meta":{"progressToken":1,"progresstoken":2}}}"#,
        ] {
            assert_eq!(Message::parse(body.as_bytes()).unwrap_err(), Unreadable::Message, "{body}");
        }
    }

    // Members by their position: a server behind us that takes batches would run the call that is in this one.
    #[test]
    fn a_message_and_its_parameters_are_objects() {
        let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"}}"#;
        for batch in
            [format!(r#"["2.0",1,"ping",{call}]"#), format!(r#"["2.0","a",null,null,{call}]"#)]
        {
            assert_eq!(Message::parse(batch.as_bytes()).unwrap_err(), Unreadable::Batch, "{batch}");
        }
        for body in [
            r#"{"id":1,"method":"tools/call","params":["a",{}]}"#,
            r#"{"id":1,"method":"tools/list","params":[null]}"#,
            r#"{"id":1,"method":"a","params":{"ref":["ref/prompt","a"]}}"#,
            r#"{"id":1,"method":"a","params":{"notifications":[true]}}"#,
            r#"{"id":1,"method":"a","params":{"argument":["a","b"]}}"#,
            r#"{"id":1,"method":"a","params":{"_meta":["2026-07-28"]}}"#,
        ] {
            assert_eq!(Message::parse(body.as_bytes()).unwrap_err(), Unreadable::Message, "{body}");
        }
    }

    #[test]
    fn names_of_a_callers_own_are_in_any_case() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"arguments":{"Name":1,"URI":2,"_Meta":3}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"Example.com/Name":1,"ProgressToken":2}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"inputResponses":{"q":{"content":{"Name":"x"}}},"requestState":"s"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"Params":1},"error":null}"#,
        ] {
            assert!(Message::parse(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[tokio::test]
    async fn the_member_at_fault_is_named_under_the_id_that_is_known() {
        for (body, id, named) in [
            (
                r#"{"id":7,"method":"a","params":{"arguments":{"headers":{"Accept":"a","accept":"b"}}}}"#,
                "7",
                "message: `Accept` and `accept` are one name in one object; each",
            ),
            (
                r#"{"id":"x","method":"a","method":"b"}"#,
                "\"x\"",
                ": `method` is there twice in one",
            ),
            (r#"{"id":1,"id":2,"method":"a"}"#, "null", ": `id` is there twice in one object; "),
            (r#"{"id":1,"method":"a","params":{"Name":"b"}}"#, "1", ": `Name` is not how the"),
            (
                r#"{"id":1.5,"method":"a","confirm":1}"#,
                "null",
                "message: each member once, whatever",
            ),
        ] {
            let unreadable = Message::parse(body.as_bytes()).unwrap_err();
            let answer = unreadable.answer(body.as_bytes()).into_body();
            let answer = axum::body::to_bytes(answer, usize::MAX).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer["id"].to_string(), id, "{body}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn an_id_is_text_or_a_whole_number() {
        let is = |text: &str| is_request_id(&RawValue::from_string(text.to_owned()).unwrap());
        assert!(is("1") && is("-1") && is("\"a\""));
        assert!(!is("null") && !is("1.5") && !is("1e3") && !is("true") && !is("{}"));
    }

    #[test]
    fn a_tool_named_twice_is_no_message() {
        let body = br#"{"id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#;
        assert_eq!(Message::parse(body).unwrap_err(), Unreadable::Message);
    }
}
