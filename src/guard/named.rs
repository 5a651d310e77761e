//! What a message of a client names, as far as policy looks at it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::jsonrpc::Message;
use super::spelling;

/// Which of a server's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl List {
    /// Asks for it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// Its name in a result.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }
}

/// One message, by what has to be decided about it.
#[derive(Debug)]
pub enum Named<'a> {
    Tool {
        name: Cow<'a, str>,
        arguments: Option<&'a RawValue>,
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
pub const LONGEST_PROMPT: usize = 256;
pub const LONGEST_URI: usize = 2_048;

/// Resources of one `subscriptions/listen`: each is decided.
pub const MOST_RESOURCES: usize = 100;

/// `prompts/get`
#[derive(Deserialize)]
struct Prompt<'a> {
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

impl<'a> Named<'a> {
    /// `modern`: of a client of 2026-07-28, in which some methods are no more (TR-15).
    #[must_use]
    pub fn of(message: &Message<'a>, modern: bool) -> Self {
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
                Some(call) => Self::Tool { name: call.name, arguments: call.arguments },
                None => Self::Malformed("params of tools/call need a name"),
            },
            "prompts/get" => match message.params::<Prompt<'a>>() {
                Some(Prompt { name, arguments }) => {
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

fn listen<'a>(message: &Message<'a>) -> Named<'a> {
    let wanted = message.params::<Listen<'a>>();
    match wanted.map(|listen| listen.notifications.resources.unwrap_or_default()) {
        Some(resources) if resources.len() <= MOST_RESOURCES => Named::resources(resources),
        Some(_) => Named::Malformed("params of subscriptions/listen name at most 100 resources"),
        None => Named::Malformed("params of subscriptions/listen need notifications"),
    }
}

/// A completion tells of what it completes, so it is decided like it: with the arguments that were chosen before, and the
/// one that is completed.
fn completion<'a>(message: &Message<'a>) -> Named<'a> {
    const MISSING: &str =
        "params of completion/complete need a ref to a prompt or a resource, and an argument";
    let Some(Completion { reference, argument, context }) = message.params::<Completion<'a>>()
    else {
        return Named::Malformed(MISSING);
    };
    match reference {
        Reference { kind, name: Some(name), .. } if kind == "ref/prompt" => {
            let mut all = context.and_then(|context| context.arguments).unwrap_or_default();
            // Which of two values the server believes nobody knows.
            if all.insert(argument.name, argument.value).is_some() {
                return Named::Malformed("an argument cannot be completed and in the context, too");
            }
            Named::prompt(name, serde_json::json!(all).to_string().into())
        }
        Reference { kind, uri: Some(uri), .. } if kind == "ref/resource" => {
            Named::resources(vec![uri])
        }
        _ => Named::Malformed(MISSING),
    }
}
