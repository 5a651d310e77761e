//! Messages to and from a child process: one a line, with ids of the broker's own (MCP 2026-07-28 and 2025-11-25, stdio).
//!
//! Callers share the process, so each caller's id, progress token and subscription becomes a number of ours on the way in, and
//! their own again on the way out. Everything else of a message stays as it was written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

const META: &str = "_meta";
const PROGRESS: &str = "progressToken";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

type Members<'a> = BTreeMap<Cow<'a, str>, Cow<'a, RawValue>>;

/// A message of a client, as far as it is written anew.
#[derive(Debug, Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// What a child wrote.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// The answer to the request that has this number of ours.
    Answer(u64, Outcome<'a>),
    /// About a call: its progress token is our number.
    Progress(u64, &'a RawValue),
    /// On a stream of `subscriptions/listen` that has this number.
    Heard(u64, Cow<'a, str>, &'a RawValue),
    /// The server ends the stream, or gives the call up.
    Cancelled(u64),
    /// A request to us, which nobody here can answer for a caller.
    Request(&'a RawValue, Cow<'a, str>),
    /// About nobody's call, so for nobody; or an answer to a request that is not ours.
    Unrelated,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    Result(&'a RawValue),
    Error(&'a RawValue),
}

/// A line that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbage;

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a Members<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    jsonrpc: &'static str,
    method: &'a str,
    params: &'a Members<'a>,
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Line<'a> {
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> Asked<'a> {
    /// `None` for what is no object; the guard has refused that before.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The parameters as text, for what looks into them.
    pub(super) fn params<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.params?.get()).ok()
    }

    /// The request as the child gets it, under our number, and the caller's progress token if it brought one. `None` where the
    /// parameters are no object: then there is nothing that MCP could mean.
    pub(super) fn request(&self, number: u64) -> Option<(Bytes, Option<Box<RawValue>>)> {
        let mut params = self.params.map(members).transpose().ok()?;
        let mut token = None;
        if let Some(all) = &mut params
            && let Some(meta) = all.get(META)
        {
            let mut inner = members(meta).ok()?;
            if let Some(own) = inner.get_mut(PROGRESS) {
                token = Some(std::mem::replace(own, raw(&number)?).into_owned());
                let written = raw(&inner)?.into_owned();
                all.insert(META.into(), Cow::Owned(written));
            }
        }
        let method = &*self.method;
        let request = Request { jsonrpc: "2.0", id: Some(number), method, params: params.as_ref() };
        Some((line(&request)?, token))
    }
}

/// A request of our own.
pub(super) fn own_request(number: u64, method: &str, params: &serde_json::Value) -> Option<Bytes> {
    #[derive(Serialize)]
    struct Own<'a> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        params: &'a serde_json::Value,
    }
    line(&Own { jsonrpc: "2.0", id: number, method, params })
}

pub(super) const INITIALIZED: Bytes =
    Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");

/// Tells the child that nobody waits for this request any more.
pub(super) fn cancelled(number: u64) -> Bytes {
    let params = format!(r#"{{"requestId":{number},"reason":"the caller is gone"}}"#);
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{params}}}\n")
        .into()
}

/// What a child's request gets: `ping` an answer, and everything else the error that says that there is no such method.
pub(super) fn reply(id: &RawValue, method: &str) -> Bytes {
    let id = id.get();
    let outcome = match method {
        "ping" => r#""result":{}"#,
        _ => r#""error":{"code":-32601,"message":"Method not found"}"#,
    };
    one_line(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{outcome}}}\n").into_bytes())
}

impl<'a> Said<'a> {
    /// Reads one line.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Garbage> {
        let line: Line<'a> = serde_json::from_slice(line).map_err(|_| Garbage)?;
        if line.jsonrpc != "2.0" {
            return Err(Garbage);
        }
        match line {
            Line { id: Some(id), method: Some(method), result: None, error: None, .. } => {
                Ok(Self::Request(id, method))
            }
            Line { id: None, method: Some(method), params, result: None, error: None, .. } => {
                Ok(Self::notification(method, params))
            }
            Line { id, method: None, result: Some(result), error: None, .. } => {
                Ok(Self::answer(id, Outcome::Result(result)))
            }
            Line { id, method: None, result: None, error: Some(error), .. } => {
                Ok(Self::answer(id, Outcome::Error(error)))
            }
            _ => Err(Garbage),
        }
    }

    fn answer(id: Option<&RawValue>, outcome: Outcome<'a>) -> Self {
        id.and_then(number).map_or(Self::Unrelated, |number| Self::Answer(number, outcome))
    }

    fn notification(method: Cow<'a, str>, params: Option<&'a RawValue>) -> Self {
        #[derive(Deserialize)]
        struct About<'a> {
            #[serde(borrow, rename = "progressToken")]
            progress: Option<&'a RawValue>,
            #[serde(borrow, rename = "requestId")]
            request: Option<&'a RawValue>,
            #[serde(borrow, rename = "_meta")]
            meta: Option<Meta<'a>>,
        }
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
            subscription: Option<&'a RawValue>,
        }
        let Some(params) = params else { return Self::Unrelated };
        let Ok(about) = serde_json::from_str::<About<'_>>(params.get()) else {
            return Self::Unrelated;
        };
        let subscription = about.meta.and_then(|meta| meta.subscription).and_then(number);
        match (&*method, about.progress.and_then(number), about.request.and_then(number)) {
            ("notifications/progress", Some(number), _) => Self::Progress(number, params),
            ("notifications/cancelled", _, Some(number)) => Self::Cancelled(number),
            _ => subscription.map_or(Self::Unrelated, |number| Self::Heard(number, method, params)),
        }
    }
}

/// The answer as its caller gets it. `listens`: the subscription in it is the caller's again.
pub(super) fn answer(id: &RawValue, outcome: Outcome<'_>, listens: bool) -> Option<Bytes> {
    let again = match outcome {
        Outcome::Result(result) if listens => subscribed(result, id),
        _ => None,
    };
    let (result, error) = match outcome {
        Outcome::Result(result) => (Some(again.as_deref().unwrap_or(result)), None),
        Outcome::Error(error) => (None, Some(error)),
    };
    bytes(&Answer { jsonrpc: "2.0", id, result, error })
}

/// Progress under the caller's own token.
pub(super) fn progress(token: &RawValue, params: &RawValue) -> Option<Bytes> {
    let mut params = members(params).ok()?;
    params.insert(PROGRESS.into(), Cow::Borrowed(token));
    let method = "notifications/progress";
    bytes(&Notification { jsonrpc: "2.0", method, params: &params })
}

/// A notification of a subscription under the caller's own id.
pub(super) fn heard(id: &RawValue, method: &str, params: &RawValue) -> Option<Bytes> {
    let params = subscribed(params, id)?;
    let params = members(&params).ok()?;
    bytes(&Notification { jsonrpc: "2.0", method, params: &params })
}

/// `object` with the caller's id in its `_meta`, where it has one of ours.
fn subscribed(object: &RawValue, id: &RawValue) -> Option<Box<RawValue>> {
    let mut object = members(object).ok()?;
    let mut meta = members(object.get(META)?).ok()?.into_iter().map(owned).collect::<Members<'_>>();
    let known = meta.get_mut(SUBSCRIPTION)?;
    *known = Cow::Borrowed(id);
    let meta = raw(&meta)?.into_owned();
    object.insert(META.into(), Cow::Owned(meta));
    Some(raw(&object)?.into_owned())
}

fn owned<'a>(
    (name, value): (Cow<'_, str>, Cow<'_, RawValue>),
) -> (Cow<'a, str>, Cow<'a, RawValue>) {
    (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
}

fn members(object: &RawValue) -> serde_json::Result<Members<'_>> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(object.get())?;
    Ok(members.into_iter().map(|(name, value)| (name, Cow::Borrowed(value))).collect())
}

fn raw<'a>(value: &impl Serialize) -> Option<Cow<'a, RawValue>> {
    to_raw_value(value).ok().map(Cow::Owned)
}

/// One of our numbers.
fn number(id: &RawValue) -> Option<u64> {
    id.get().parse().ok()
}

fn bytes(value: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(value).ok().map(Bytes::from)
}

fn line(value: &impl Serialize) -> Option<Bytes> {
    let mut text = serde_json::to_vec(value).ok()?;
    text.push(b'\n');
    Some(one_line(text))
}

/// Line ends within JSON are white space: in a text they are written `\n`. The last one ends the message.
fn one_line(mut text: Vec<u8>) -> Bytes {
    let last = text.len().saturating_sub(1);
    for byte in text.iter_mut().take(last) {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Option<Bytes>) -> String {
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    fn request(body: &str) -> (String, Option<String>) {
        let (line, token) = Asked::read(body.as_bytes()).unwrap().request(7).unwrap();
        (text(Some(line)), token.map(|token| token.get().to_owned()))
    }

    #[test]
    fn a_request_has_our_number_and_progress_token_and_is_one_line() {
        let body = "{\"id\":\"a\",\"method\":\"tools/call\",\n \"params\":{\"name\":\"x\\n\",\"arguments\":{\"n\": 1.50,\r\n\"big\":123456789012345678901234567890},\"_meta\":{\"progressToken\":\"mine\",\"x\":1}}}";
        let (line, token) = request(body);
        assert_eq!(
            line,
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"progressToken\":7,\"x\":1},\"arguments\":{\"n\": 1.50,  \"big\":123456789012345678901234567890},\"name\":\"x\\n\"}}\n"
        );
        assert_eq!(token.as_deref(), Some("\"mine\""));
        let (line, token) = request(r#"{"id":1,"method":"tools/list"}"#);
        assert_eq!(line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\"}\n");
        assert_eq!(token, None);
    }

    #[test]
    fn parameters_that_are_no_object_are_not_sent() {
        for params in ["[1]", "1", "\"x\"", r#"{"_meta":[]}"#] {
            let body = format!(r#"{{"id":1,"method":"m","params":{params}}}"#);
            assert!(Asked::read(body.as_bytes()).unwrap().request(7).is_none(), "{body}");
        }
    }

    #[test]
    fn what_comes_back_is_the_callers_again() {
        let id = RawValue::from_string("\"a\"".to_owned()).unwrap();
        let line = br#"{"jsonrpc":"2.0","id":7,"result":{"n":1.50}}"#;
        let Ok(Said::Answer(7, outcome)) = Said::read(line) else { panic!() };
        assert_eq!(
            text(answer(&id, outcome, false)),
            r#"{"jsonrpc":"2.0","id":"a","result":{"n":1.50}}"#
        );
        let line = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#;
        let Ok(Said::Progress(7, params)) = Said::read(line) else { panic!() };
        assert_eq!(
            text(progress(&id, params)),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1,"progressToken":"a"}}"#
        );
        let line = br#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"u","_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#;
        let Ok(Said::Heard(7, method, params)) = Said::read(line) else { panic!() };
        assert_eq!(
            text(heard(&id, &method, params)),
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"a"},"uri":"u"}}"#
        );
    }

    #[test]
    fn what_is_about_nobodys_call_is_for_nobody() {
        for line in [
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"of somebody"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"7"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":-7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7.0,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{}}"#,
        ] {
            assert!(matches!(Said::read(line.as_bytes()), Ok(Said::Unrelated)), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_message_are_garbage() {
        for line in [
            "",
            "Server listening",
            "[]",
            "{}",
            r#"{"id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        ] {
            assert_eq!(Said::read(line.as_bytes()).unwrap_err(), Garbage, "{line}");
        }
    }

    #[test]
    fn the_servers_own_requests_are_refused_but_ping() {
        let line = br#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#;
        let Ok(Said::Request(id, method)) = Said::read(line) else { panic!() };
        let refused = text(Some(reply(id, &method)));
        assert!(refused.starts_with(r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32601"#));
        assert!(text(Some(reply(id, "ping"))).contains(r#""result":{}"#));
    }
}
