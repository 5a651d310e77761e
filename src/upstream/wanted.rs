//! What a message of a client wants of a server, as far as policy looks at it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::broker::Exactly;
use crate::guard::{List, Message, Named};

use super::ask_person::{RESPONSES, SentBack};

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

impl<'a> Wanted<'a> {
    /// `modern`: of a client of 2026-07-28, in which some methods are no more (TR-15).
    pub(super) fn of(message: &Message<'a>, modern: bool) -> Self {
        match Named::of(message, modern) {
            Named::Tool { name, arguments } => {
                Self::Tool { name, arguments, beside: Beside::of(message) }
            }
            Named::Prompt { name, arguments } => Self::Prompt { name, arguments },
            Named::Resources(uris) => Self::Resources(uris),
            Named::List(list) => Self::List(list),
            Named::Protocol => Self::Protocol,
            Named::Reply => Self::Reply,
            Named::Unknown => Self::Unknown,
            Named::Malformed(what) => Self::Malformed(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::{LONGEST_PROMPT, LONGEST_URI, MOST_RESOURCES};

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
