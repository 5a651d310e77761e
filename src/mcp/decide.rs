//! How policy is asked about a tool: once by the guard, once by the tool, with the same words.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::broker::{Caller, GraphCall};
use crate::policy::{Ask, Decision, Operation, Policy};

use super::tools::{Entry, Kind};

/// Asks policy about tools and calls.
#[derive(Clone, Debug)]
pub struct Decider {
    pub policy: Arc<Policy>,
    /// The configured budget of a whole Graph call: a part of what makes a call well formed.
    pub max_timeout: Duration,
}

impl Decider {
    /// Whether `caller` sees a tool, whatever its arguments are.
    pub(super) fn tool(&self, caller: &Caller, entry: &Entry) -> Decision {
        let operation = match entry.kind {
            Kind::Document(_) | Kind::GraphList => Operation::Plain,
            Kind::GraphExecute => Operation::AnyGraph,
        };
        self.policy.decide(&Ask { who: caller.who(), tool: &entry.tool.name, operation })
    }

    /// The same for a name that no tool has, so that it costs and tells what a hidden tool does.
    pub(super) fn unknown(&self, caller: &Caller, name: &str) -> Decision {
        self.policy.decide(&Ask { who: caller.who(), tool: name, operation: Operation::Plain })
    }

    /// Whether `caller` may make this call. Malformed arguments are the tool's to refuse, so they are
    /// decided like the tool as such.
    pub(super) fn call(
        &self,
        caller: &Caller,
        entry: &Entry,
        arguments: Option<&RawValue>,
    ) -> Decision {
        let visible = self.tool(caller, entry);
        let reachable = visible.shows_the_tool() || visible.can_step_up();
        if entry.kind != Kind::GraphExecute || !reachable {
            return visible;
        }
        let arguments = arguments.map_or("{}", RawValue::get);
        match GraphCall::parse(arguments.as_bytes(), caller.request_id(), self.max_timeout) {
            Ok(call) => call.ask(|graph| {
                let operation = Operation::Graph(graph);
                self.policy.decide(&Ask { who: caller.who(), tool: &entry.tool.name, operation })
            }),
            Err(_) => visible,
        }
    }
}
