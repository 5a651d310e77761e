//! How policy is asked about a tool: once by the guard, once by the tool, with the same words.

use std::time::Duration;

use rmcp::model::JsonObject;
use serde_json::value::RawValue;

use crate::broker::{Caller, GraphCall};
use crate::id::ToolName;
use crate::policy::{Arguments, Ask, Decision, Difference, Live, Moment, Operation, Recorded};

use super::tools::{Entry, Kind};

/// Asks policy about tools and calls.
#[derive(Clone, Debug)]
pub struct Decider {
    pub policy: Live,
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
        self.ask(caller, &entry.tool.name, operation, Arguments::Unknown)
    }

    /// The same for a name that no tool has, so that it costs and tells what a hidden tool does.
    pub(super) fn unknown(&self, caller: &Caller, name: &str) -> Decision {
        self.ask(caller, name, Operation::Plain, Arguments::Unknown)
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
        if !visible.shows_the_tool() && !visible.can_step_up() {
            return visible;
        }
        let arguments = arguments.map_or("{}", RawValue::get);
        if entry.kind != Kind::GraphExecute {
            return self.plain(caller, entry, visible, arguments);
        }
        match GraphCall::parse(arguments.as_bytes(), caller.request_id(), self.max_timeout) {
            Ok(call) => call.ask(|graph| {
                let (tool, arguments) = (&entry.tool.name, Arguments::Json(arguments));
                self.ask(caller, tool, Operation::Graph(graph), arguments)
            }),
            Err(_) => visible,
        }
    }

    /// The same for a tool that is no Graph operation, whose arguments are parsed already.
    pub(super) fn parsed(
        &self,
        caller: &Caller,
        entry: &Entry,
        visible: Decision,
        arguments: &JsonObject,
    ) -> Decision {
        if !self.policy.current().policy().looks_at_arguments(&entry.tool.name) {
            return visible;
        }
        let text = serde_json::to_string(arguments).unwrap_or_default();
        self.plain(caller, entry, visible, &text)
    }

    /// Asks once more where a rule looks at the arguments.
    fn plain(
        &self,
        caller: &Caller,
        entry: &Entry,
        visible: Decision,
        arguments: &str,
    ) -> Decision {
        let tool = &entry.tool.name;
        if self.policy.current().policy().looks_at_arguments(tool) {
            self.ask(caller, tool, Operation::Plain, Arguments::Json(arguments))
        } else {
            visible
        }
    }

    /// What the shadow policy says instead about a call that is no Graph operation.
    pub(super) fn difference(
        &self,
        caller: &Caller,
        entry: &Entry,
        arguments: &JsonObject,
        said: &Decision,
    ) -> Option<Difference> {
        let in_force = self.policy.current();
        in_force.shadow()?;
        let text = serde_json::to_string(arguments).unwrap_or_default();
        let ask = Ask {
            who: caller.who(),
            tool: &entry.tool.name,
            operation: Operation::Plain,
            arguments: Arguments::Json(&text),
            now: in_force.moment(),
        };
        self.policy.difference(&in_force, &ask, said)
    }

    /// The question of a call as the audit log keeps it.
    pub(super) fn question(
        &self,
        caller: &Caller,
        entry: &Entry,
        arguments: Option<&RawValue>,
    ) -> Box<Recorded> {
        let arguments = arguments.map_or("{}", RawValue::get).as_bytes();
        if entry.kind == Kind::GraphExecute
            && let Ok(call) = GraphCall::parse(arguments, caller.request_id(), self.max_timeout)
        {
            return call
                .ask(|graph| self.record(caller, &entry.tool.name, Operation::Graph(graph)));
        }
        self.record(caller, &entry.tool.name, Operation::Plain)
    }

    /// The same about a tool without operations. `None` where the name is none that a tool could have.
    pub(super) fn named(&self, caller: &Caller, tool: &str) -> Option<Box<Recorded>> {
        let name: ToolName = tool.parse().ok()?;
        Some(self.record(caller, name.as_str(), Operation::Plain))
    }

    fn record(&self, caller: &Caller, tool: &str, operation: Operation<'_>) -> Box<Recorded> {
        let (arguments, now) = (Arguments::Unknown, Moment::default());
        self.policy.current().record(&Ask { who: caller.who(), tool, operation, arguments, now })
    }

    fn ask(
        &self,
        caller: &Caller,
        tool: &str,
        operation: Operation<'_>,
        arguments: Arguments<'_>,
    ) -> Decision {
        let in_force = self.policy.current();
        let now = in_force.moment();
        in_force.policy().decide(&Ask { who: caller.who(), tool, operation, arguments, now })
    }
}
