//! What a message of a client wants of a server, as far as policy looks at it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::broker::Exactly;
use crate::guard::Message;

use super::ask_person::{RESPONSES, SentBack};
use super::spelling;

/// Which of a server's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

/// One message, by what has to be decided about it.
#[derive(Debug)]
pub(super) enum Wanted<'a> {
    Tool {
        name: Cow<'a, str>,
        arguments: Option<&'a RawValue>,
        /// The other parameters.
        beside: Beside<'a>,
    },
    Prompt {
        name: Cow<'a, str>,
        /// A JSON object.
        arguments: Cow<'a, str>,
    },
    /// Each of these URIs, which every reader reads alike.
    Resources(Vec<Cow<'a, str>>),
    List(List),
    /// What every caller with a token for the server may ask: the handshake, `ping`, and notifications of the protocol.
    Protocol,
    /// The answer to a question of the server (2025-11-25 and before).
    Reply,
    /// A method that is none of MCP's, or one that cannot be decided about.
    Unknown,
    /// Parameters that say nothing that could be decided about.
    Malformed(&'static str),
}

/// The longest name of a prompt, and the longest URI, in bytes: each stands in the audit log, which no caller is to fill.
pub(super) const LONGEST_PROMPT: usize = 256;
pub(super) const LONGEST_URI: usize = 2_048;

/// Resources of one `subscriptions/listen`: each is decided.
pub(super) const MOST_RESOURCES: usize = 100;

/// Members of `_meta` that are about the message and not about the call (MCP 2026-07-28 basic, `_meta`): an approval does not
/// look at them. Everything else that a server could act on is shown and bound.
const ABOUT_THE_MESSAGE: [&str; 7] = [
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/protocolVersion",
    "progressToken",
    "traceparent",
    "tracestate",
];

/// The parameters of a tool's call but its name and its arguments, as far as they are about the call.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    parameters: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// What answers a question of ours, which is no part of the call.
    pub(super) sent_back: Option<SentBack>,
}

impl<'a> Beside<'a> {
    fn of(message: &Message<'a>) -> Self {
        type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;
        let mut all: Members<'a> = message.params().unwrap_or_default();
        all.remove("name");
        all.remove("arguments");
        let meta =
            all.get("_meta").and_then(|meta| serde_json::from_str::<Members<'a>>(meta.get()).ok());
        let mut beside: BTreeMap<_, _> =
            all.into_iter().map(|(name, value)| (name, Cow::Borrowed(value.get()))).collect();
        if let Some(mut meta) = meta {
            meta.retain(|name, _| !ABOUT_THE_MESSAGE.contains(&&**name));
            if meta.is_empty() {
                beside.remove("_meta");
            } else {
                let meta = meta.into_iter().map(|(name, value)| (name, Cow::Borrowed(value.get())));
                beside.insert("_meta".into(), object(&meta.collect()).into());
            }
        }
        Self { parameters: beside, sent_back: None }
    }

    /// Whether the call brings answers to questions, of the server or of ours.
    pub(super) fn has_responses(&self) -> bool {
        self.parameters.contains_key(RESPONSES)
    }

    /// All that is sent to the server of the call itself.
    pub(super) fn exactly(self, arguments: Option<&'a RawValue>) -> Exactly {
        let arguments = arguments.map_or("{}", RawValue::get);
        if self.parameters.is_empty() {
            return Exactly::Arguments(arguments.to_owned());
        }
        let mut parameters = self.parameters;
        parameters.insert("arguments".into(), arguments.into());
        Exactly::Parameters(object(&parameters))
    }
}

fn object(members: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> String {
    let members = members.iter().map(|(name, value)| format!("{}:{value}", Value::from(&**name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// `prompts/get`
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Located<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Reference<'a>,
    #[serde(borrow)]
    argument: Argument<'a>,
    #[serde(borrow)]
    context: Option<Context<'a>>,
}

/// What is completed.
#[derive(Deserialize)]
struct Argument<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    value: Value,
}

/// What was chosen before.
#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    arguments: Option<BTreeMap<Cow<'a, str>, Value>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Listen<'a> {
    #[serde(borrow)]
    notifications: Filter<'a>,
}

#[derive(Deserialize)]
struct Filter<'a> {
    #[serde(borrow, rename = "resourceSubscriptions")]
    resources: Option<Vec<Cow<'a, str>>>,
}

impl<'a> Wanted<'a> {
    /// `modern`: of a client of 2026-07-28, in which some methods are no more (TR-15).
    pub(super) fn of(message: &Message<'a>, modern: bool) -> Self {
        let Some(method) = message.method.as_deref() else {
            return if message.id.is_some() { Self::Reply } else { Self::Unknown };
        };
        match method {
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
                if modern =>
            {
                Self::Unknown
            }
            "tools/call" => match message.tool_call() {
                Some(call) => Self::Tool {
                    name: call.name,
                    arguments: call.arguments,
                    beside: Beside::of(message),
                },
                None => Self::Malformed("params of tools/call need a name"),
            },
            "prompts/get" => match message.params::<Named<'a>>() {
                Some(Named { name, arguments }) => {
                    Self::prompt(name, arguments.map_or("{}", RawValue::get).into())
                }
                None => Self::Malformed("params of prompts/get need a name"),
            },
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                match message.params::<Located<'a>>() {
                    Some(resource) => Self::resources(vec![resource.uri]),
                    None => Self::Malformed("params need a uri"),
                }
            }
            "completion/complete" => completion(message),
            "subscriptions/listen" => listen(message),
            "tools/list" => Self::List(List::Tools),
            "prompts/list" => Self::List(List::Prompts),
            "resources/list" => Self::List(List::Resources),
            "resources/templates/list" => Self::List(List::Templates),
            "initialize"
            | "ping"
            | "server/discover"
            | "logging/setLevel"
            | "notifications/initialized"
            | "notifications/cancelled"
            | "notifications/progress"
            | "notifications/roots/list_changed" => Self::Protocol,
            _ => Self::Unknown,
        }
    }

    fn prompt(name: Cow<'a, str>, arguments: Cow<'a, str>) -> Self {
        if name.len() > LONGEST_PROMPT {
            return Self::Malformed("the name of a prompt has 256 bytes at most");
        }
        Self::Prompt { name, arguments }
    }

    fn resources(uris: Vec<Cow<'a, str>>) -> Self {
        if uris.iter().any(|uri| uri.len() > LONGEST_URI) {
            return Self::Malformed("a uri has 2048 bytes at most");
        }
        if uris.iter().all(|uri| spelling::is_plain(uri)) {
            return Self::Resources(uris);
        }
        Self::Malformed(
            "a uri is written in a way that readers read differently: write it without dot segments, empty segments, backslashes and needless escapes",
        )
    }
}

fn listen<'a>(message: &Message<'a>) -> Wanted<'a> {
    let wanted = message.params::<Listen<'a>>();
    match wanted.map(|listen| listen.notifications.resources.unwrap_or_default()) {
        Some(resources) if resources.len() <= MOST_RESOURCES => Wanted::resources(resources),
        Some(_) => Wanted::Malformed("params of subscriptions/listen name at most 100 resources"),
        None => Wanted::Malformed("params of subscriptions/listen need notifications"),
    }
}

/// A completion tells of what it completes, so it is decided like it: with the arguments that were chosen before, and the
/// one that is completed.
fn completion<'a>(message: &Message<'a>) -> Wanted<'a> {
    const MISSING: &str =
        "params of completion/complete need a ref to a prompt or a resource, and an argument";
    let Some(Completion { reference, argument, context }) = message.params::<Completion<'a>>()
    else {
        return Wanted::Malformed(MISSING);
    };
    match reference {
        Reference { kind, name: Some(name), .. } if kind == "ref/prompt" => {
            let mut all = context.and_then(|context| context.arguments).unwrap_or_default();
            // Which of two values the server believes nobody knows.
            if all.insert(argument.name, argument.value).is_some() {
                return Wanted::Malformed(
                    "an argument cannot be completed and in the context, too",
                );
            }
            Wanted::prompt(name, serde_json::json!(all).to_string().into())
        }
        Reference { kind, uri: Some(uri), .. } if kind == "ref/resource" => {
            Wanted::resources(vec![uri])
        }
        _ => Wanted::Malformed(MISSING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(body: &str) -> String {
        format!("{:?}", Wanted::of(&Message::parse(body.as_bytes()).unwrap(), false))
    }

    #[test]
    fn what_names_nothing_that_can_be_decided_goes_no_further() {
        for body in [
            r#"{"id":1,"method":"tools/call","params":{"name":7}}"#,
            r#"{"id":1,"method":"tools/call"}"#,
            r#"{"id":1,"method":"resources/read","params":{}}"#,
            r#"{"id":1,"method":"prompts/get","params":[]}"#,
            r#"{"id":1,"method":"completion/complete","params":{"ref":{"type":"ref/tool","name":"x"}}}"#,
            r#"{"id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":"x"}}}"#,
        ] {
            assert!(wanted(body).starts_with("Malformed"), "{body}");
        }
        for method in ["tasks/get", "Tools/call", "tools/call ", "sampling/createMessage", ""] {
            let body = format!(r#"{{"id":1,"method":"{method}"}}"#);
            assert_eq!(wanted(&body), "Unknown", "{body}");
        }
    }

    #[test]
    fn one_stream_is_about_a_hundred_resources_at_most() {
        let of = |count: usize| {
            let all = vec![r#""x:1""#; count].join(",");
            wanted(&format!(
                r#"{{"id":1,"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{all}]}}}}}}"#
            ))
        };
        assert!(of(MOST_RESOURCES).starts_with("Resources"));
        assert!(of(MOST_RESOURCES + 1).contains(&MOST_RESOURCES.to_string()));
    }

    #[test]
    fn a_completion_is_decided_like_what_it_completes() {
        let of = |reference: &str| {
            wanted(&format!(
                r#"{{"id":1,"method":"completion/complete","params":{{"ref":{reference},"argument":{{"name":"a","value":"x"}},"context":{{"arguments":{{"b":"y"}}}}}}}}"#
            ))
        };
        let prompt = of(r#"{"type":"ref/prompt","name":"p"}"#);
        assert_eq!(prompt, r#"Prompt { name: "p", arguments: "{\"a\":\"x\",\"b\":\"y\"}" }"#);
        assert_eq!(of(r#"{"type":"ref/resource","uri":"a:b"}"#), r#"Resources(["a:b"])"#);
        assert!(of(r#"{"type":"ref/resource","uri":"a:../b"}"#).starts_with("Malformed"));
    }

    #[test]
    fn what_is_named_at_length_goes_no_further() {
        type Params<'a> = &'a dyn Fn(&str) -> String;
        let long = |most: usize| ("x".repeat(most), "x".repeat(most + 1));
        let (prompts, uris) = (long(LONGEST_PROMPT), long(LONGEST_URI));
        let reference =
            |of: &str| format!(r#""ref":{{{of}}},"argument":{{"name":"a","value":"x"}}"#);
        let forms: [(&str, &(String, String), Params<'_>); 5] = [
            ("prompts/get", &prompts, &|name| format!(r#""name":"{name}""#)),
            ("completion/complete", &prompts, &|name| {
                reference(&format!(r#""type":"ref/prompt","name":"{name}""#))
            }),
            ("completion/complete", &uris, &|uri| {
                reference(&format!(r#""type":"ref/resource","uri":"{uri}""#))
            }),
            ("resources/read", &uris, &|uri| format!(r#""uri":"{uri}""#)),
            ("subscriptions/listen", &uris, &|uri| {
                format!(r#""notifications":{{"resourceSubscriptions":["a:b","{uri}"]}}"#)
            }),
        ];
        for (method, (most, more), params) in forms {
            let of = |name: &str| {
                wanted(&format!(r#"{{"id":1,"method":"{method}","params":{{{}}}}}"#, params(name)))
            };
            assert!(!of(most).starts_with("Malformed"), "{method}");
            assert!(of(more).starts_with("Malformed"), "{method}");
        }
    }

    #[test]
    fn a_completion_names_an_argument_once() {
        let body = r#"{"id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"x"},"context":{"arguments":{"a":"y"}}}}"#;
        assert!(wanted(body).starts_with("Malformed"));
    }

    #[test]
    fn what_a_call_says_beside_its_arguments_is_a_part_of_it() {
        let exactly = |params: &str| {
            let body = format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#);
            match Wanted::of(&Message::parse(body.as_bytes()).unwrap(), false) {
                Wanted::Tool { arguments, beside, .. } => beside.exactly(arguments),
                other => panic!("{other:?}"),
            }
        };
        let arguments = |params| match exactly(params) {
            Exactly::Arguments(text) => text,
            Exactly::Parameters(text) => panic!("{text}"),
        };
        let parameters = |params| match exactly(params) {
            Exactly::Parameters(text) => text,
            Exactly::Arguments(text) => panic!("{text}"),
        };
        assert_eq!(arguments(r#"{"name":"t"}"#), "{}");
        let meta =
            r#"{"name":"t","arguments":{"a":1},"_meta":{"progressToken":7,"traceparent":"x"}}"#;
        assert_eq!(arguments(meta), r#"{"a":1}"#);
        let all = r#"{"name":"t","arguments":{},"_meta":{"progressToken":7,"a":1e40},"requestState":"s"}"#;
        let all = parameters(all);
        assert_eq!(all, r#"{"_meta":{"a":1e40},"arguments":{},"requestState":"s"}"#);
        assert_eq!(parameters(r#"{"name":"t","_meta":[]}"#), r#"{"_meta":[],"arguments":{}}"#);
    }
}
