//! A question to policy that owns what it is made of: from options, from a token, from a case.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::broker::GraphCall;
use crate::id::{ClientId, Issuer, RequestId, Subject};
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Arguments, Ask, Moment, Operation, Who};
use crate::random::SystemRandom;
use crate::resource_server::Principal;
use crate::scope::Scope;
use crate::time::{SystemClock, Timestamp};

use crate::cli::failure::Failure;

/// The longest budget a call may name here: how long it is, no rule looks at.
const BUDGET: Duration = Duration::from_secs(600);

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

    pub(super) fn tool(&self) -> &str {
        match self {
            Self::Visible(tool) | Self::Call { tool, .. } => tool,
            Self::Graph(_) => GRAPH_EXECUTE,
        }
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
            Self::Graph(call) => call.ask(|graph| {
                let arguments = Arguments::Json(call.arguments());
                answer(&Ask { who, tool, operation: Operation::Graph(graph), arguments, now })
            }),
        }
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
