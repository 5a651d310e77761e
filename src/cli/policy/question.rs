//! A question to policy that owns what it is made of: from options, from a token, from a case.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::broker::GraphCall;
use crate::id::{ClientId, Issuer, RequestId, Subject};
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{About, Arguments, Ask, BesideAsk, Moment, Operation, Policy, Who};
use crate::random::SystemRandom;
use crate::resource_server::Principal;
use crate::scope::Scope;
use crate::time::{SystemClock, Timestamp};

use crate::cli::failure::Failure;

/// The longest budget a call may name here: how long it is, no rule looks at.
const BUDGET: Duration = Duration::from_mins(10);

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) issuer: Issuer,
    pub(super) subject: Option<Subject>,
    pub(super) client_id: Option<ClientId>,
    pub(super) scopes: Scope,
    pub(super) groups: Vec<Arc<str>>,
    pub(super) groups_incomplete: bool,
    pub(super) roles: Vec<Arc<str>>,
    pub(super) roles_incomplete: bool,
    pub(super) claims: Map<String, Value>,
}

impl Asker {
    pub(super) fn of(principal: &Principal) -> Self {
        Self {
            issuer: principal.issuer().clone(),
            subject: principal.subject().cloned(),
            client_id: principal.client_id().cloned(),
            scopes: principal.scopes().clone(),
            groups: principal.groups().to_vec(),
            groups_incomplete: principal.groups_incomplete(),
            roles: principal.roles().to_vec(),
            roles_incomplete: principal.roles_incomplete(),
            claims: (**principal.claims()).clone(),
        }
    }

    pub(super) fn who(&self) -> Who<'_> {
        Who {
            issuer: &self.issuer,
            subject: self.subject.as_ref(),
            client_id: self.client_id.as_ref(),
            scopes: &self.scopes,
            groups: &self.groups,
            groups_incomplete: self.groups_incomplete,
            roles: &self.roles,
            roles_incomplete: self.roles_incomplete,
            claims: Some(&self.claims),
            told: None,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// Whether the tool is listed.
    Visible(String),
    /// A call of a tool that is no Graph operation; its arguments as JSON.
    Call {
        tool: String,
        arguments: String,
    },
    Graph(Box<GraphCall>),
    /// Something at a server that stays where it is, about which a proxy asks; `tool` is its id where it is about all of it.
    Gate {
        gate: Gate,
        tool: String,
        arguments: String,
    },
}

/// A server that was registered with these scopes, and is not reached through us.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) id: String,
    pub(super) scopes: Scope,
}

impl Wanted {
    /// From words: `GET /v1.0/users/ada` is a Graph operation, everything else the name of a tool.
    pub(super) fn parse(text: &str, arguments: Option<&Value>) -> Result<Self, Failure> {
        let operation = match text.split_once(' ') {
            Some((method, path)) => Some(with_body(method, path.trim(), arguments)),
            None if text == GRAPH_EXECUTE => arguments.cloned(),
            None => None,
        };
        if let Some(operation) = operation {
            return Self::graph(&operation);
        }
        let tool = text.to_owned();
        Ok(match arguments {
            Some(arguments) => Self::Call { tool, arguments: arguments.to_string() },
            None if text == GRAPH_EXECUTE => Self::Visible(tool),
            None => Self::Call { tool, arguments: "{}".to_owned() },
        })
    }

    fn graph(arguments: &Value) -> Result<Self, Failure> {
        let request_id = RequestId::generate(&SystemClock, &SystemRandom::new());
        let parsed = GraphCall::parse(arguments.to_string().as_bytes(), request_id, BUDGET);
        let call = parsed.map_err(|error| {
            Failure::new(format!("the call is malformed, so policy is not asked: {error}"))
                .hint("such as GET /v1.0/users/ada@contoso.example")
        })?;
        Ok(Self::Graph(Box::new(call)))
    }

    /// The same, asked by a proxy before the server of `gate`.
    pub(super) fn at_gate(
        text: &str,
        arguments: Option<&Value>,
        gate: Gate,
    ) -> Result<Self, Failure> {
        let below = text.strip_prefix(&*gate.id).is_some_and(|rest| {
            rest.is_empty()
                || rest.starts_with('.')
                || rest.starts_with("/prompts/")
                || rest.starts_with("/resources/")
        });
        if !below {
            let id = &gate.id;
            return Err(Failure::new(format!("`{text}` is nothing of the server `{id}`")).hint(format!(
                "write {id}.TOOL, {id}/prompts/NAME or {id}/resources/URI; or {id} for /forward-auth/{id}, which decides for the whole server"
            )));
        }
        let arguments = arguments.map_or_else(|| "{}".to_owned(), ToString::to_string);
        Ok(Self::Gate { tool: text.to_owned(), arguments, gate })
    }

    pub(super) fn tool(&self) -> &str {
        match self {
            Self::Visible(tool) | Self::Call { tool, .. } | Self::Gate { tool, .. } => tool,
            Self::Graph(_) => GRAPH_EXECUTE,
        }
    }

    pub(super) fn gate(&self) -> Option<&Gate> {
        match self {
            Self::Gate { gate, .. } => Some(gate),
            Self::Visible(_) | Self::Call { .. } | Self::Graph(_) => None,
        }
    }

    /// Whether the tool is in the caller's list. `None`: a server as such is in none.
    pub(super) fn is_listed(&self, policy: &Policy, who: Who<'_>, now: Moment) -> Option<bool> {
        let ask = match self {
            Self::Gate { gate, tool, .. } if *tool == gate.id => return None,
            Self::Gate { gate, tool, .. } => {
                let (operation, arguments) = (gate.ask(About::Thing), Arguments::Unknown);
                Ask { who, tool, operation, arguments, now }
            }
            Self::Visible(_) | Self::Call { .. } | Self::Graph(_) => visible(who, self.tool(), now),
        };
        Some(policy.decide(&ask).shows_the_tool())
    }

    /// Asks as the product does.
    pub(super) fn ask<T>(
        &self,
        who: Who<'_>,
        now: Moment,
        answer: impl FnOnce(&Ask<'_>) -> T,
    ) -> T {
        let tool = self.tool();
        match self {
            Self::Visible(_) => answer(&visible(who, tool, now)),
            Self::Call { arguments, .. } => {
                let (operation, arguments) = (Operation::Plain, Arguments::Json(arguments));
                answer(&Ask { who, tool, operation, arguments, now })
            }
            Self::Gate { gate, arguments, .. } => {
                let (about, arguments) = if *tool == *gate.id {
                    (About::Whole, Arguments::Unknown)
                } else if tool.contains("/resources/") {
                    // A resource has none, ever.
                    (About::Thing, Arguments::Json(""))
                } else {
                    (About::Thing, Arguments::Json(arguments))
                };
                answer(&Ask { who, tool, operation: gate.ask(about), arguments, now })
            }
            Self::Graph(call) => call.ask(|graph| {
                let arguments = Arguments::Json(call.arguments());
                answer(&Ask { who, tool, operation: Operation::Graph(graph), arguments, now })
            }),
        }
    }
}

impl Gate {
    fn ask(&self, about: About) -> Operation<'_> {
        Operation::Beside(BesideAsk { server: &self.id, scopes: &self.scopes, about })
    }
}

/// Whether the tool is in the caller's list.
pub(super) const fn visible<'a>(who: Who<'a>, tool: &'a str, now: Moment) -> Ask<'a> {
    let operation = if is_execute(tool) { Operation::AnyGraph } else { Operation::Plain };
    Ask { who, tool, operation, arguments: Arguments::Unknown, now }
}

const fn is_execute(tool: &str) -> bool {
    matches!(tool.as_bytes(), b"auth.graph.operation.execute.v1")
}

/// `arguments` beside a method and a path are those of the tool: a body, permissions, a requester.
fn with_body(method: &str, path: &str, arguments: Option<&Value>) -> Value {
    let mut all = arguments.cloned().unwrap_or_else(|| json!({}));
    if let Some(members) = all.as_object_mut() {
        let operation = members.entry("operation").or_insert_with(|| json!({}));
        if let Some(operation) = operation.as_object_mut() {
            operation.insert("method".to_owned(), method.into());
            operation.insert("path".to_owned(), path.into());
        }
    }
    all
}

/// A time as people write it: RFC 3339.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let parsed: jiff::Timestamp =
        text.parse().map_err(|_| "is no time such as 2026-11-20T23:30:00+01:00".to_owned())?;
    Ok(Timestamp::from_unix_millis(parsed.as_millisecond()))
}
