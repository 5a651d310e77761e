//! How policy is asked about a tool: once by the guard, once by the tool, with the same words and of the same rules.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::JsonObject;
use serde_json::value::{RawValue, to_raw_value};

use crate::broker::{Caller, GraphCall};
use crate::id::ToolName;
use crate::policy::{
    Arguments, Ask, Decision, Difference, InForce, Live, Moment, Operation, Recorded,
};

use super::tools::{Entry, Kind};

/// Asks policy about tools and calls.
#[derive(Clone, Debug)]
pub struct Decider {
    pub policy: Live,
    /// The configured budget of a whole Graph call: a part of what makes a call well formed.
    pub max_timeout: Duration,
}

/// The rules in force, held from the guard to the end of one request: a reload in between changes nothing of it.
#[derive(Clone, Debug)]
pub(super) struct Deciding {
    decider: Decider,
    in_force: Arc<InForce>,
    now: Moment,
}

impl Decider {
    pub(super) fn now(&self) -> Deciding {
        self.under(self.policy.current())
    }

    /// The same by these rules.
    pub(super) fn under(&self, in_force: Arc<InForce>) -> Deciding {
        let now = in_force.moment();
        Deciding { decider: self.clone(), in_force, now }
    }
}

impl Deciding {
    pub(super) fn in_force(&self) -> &InForce {
        &self.in_force
    }

    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// Whether `caller` sees a tool, whatever its arguments are.
    pub(super) fn tool(&self, caller: &Caller, entry: &Entry) -> Decision {
        self.decide(caller, &entry.tool.name, as_such(entry), Arguments::Unknown)
    }

    /// The same for a list, which is compared with that of the shadow policy; what differs is to be recorded.
    pub(super) fn listed(&self, caller: &Caller, entry: &Entry) -> (Decision, Option<Difference>) {
        let ask = self.ask(caller, &entry.tool.name, as_such(entry), Arguments::Unknown);
        let said = self.in_force.policy().decide(&ask);
        let other = self.decider.policy.difference_of_listing(&self.in_force, &ask, &said);
        (said, other)
    }

    /// The same for a name that no tool has, so that it costs and tells what a hidden tool does.
    pub(super) fn unknown(&self, caller: &Caller, name: &str) -> Decision {
        self.decide(caller, name, Operation::Plain, Arguments::Unknown)
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
        self.of_call(caller, entry, visible, arguments)
    }

    /// The same where the tool as such is decided about already.
    pub(super) fn of_call(
        &self,
        caller: &Caller,
        entry: &Entry,
        visible: Decision,
        arguments: Option<&RawValue>,
    ) -> Decision {
        if !visible.shows_the_tool() && !visible.is_challenge() {
            return visible;
        }
        let arguments = arguments.map_or("{}", RawValue::get);
        if entry.kind != Kind::GraphExecute {
            return self.plain(caller, entry, visible, arguments);
        }
        match self.parse(caller, arguments) {
            Some(call) => call.ask(|graph| {
                let (tool, arguments) = (&entry.tool.name, Arguments::Json(arguments));
                self.decide(caller, tool, Operation::Graph(graph), arguments)
            }),
            None => visible,
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
        if !self.in_force.policy().looks_at_arguments(&entry.tool.name) {
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
        if self.in_force.policy().looks_at_arguments(tool) {
            self.decide(caller, tool, Operation::Plain, Arguments::Json(arguments))
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
        self.in_force.shadow()?;
        let text = serde_json::to_string(arguments).unwrap_or_default();
        let ask = self.ask(caller, &entry.tool.name, Operation::Plain, Arguments::Json(&text));
        self.compare(&ask, said)
    }

    /// The same about a tool as such: of a call that got no further than its name.
    pub(super) fn difference_of_name(
        &self,
        caller: &Caller,
        entry: &Entry,
        said: &Decision,
    ) -> Option<Difference> {
        let name = &entry.tool.name;
        self.compare(&self.ask(caller, name, as_such(entry), Arguments::Unknown), said)
    }

    /// The same about a call as it was sent.
    pub(super) fn difference_of_call(
        &self,
        caller: &Caller,
        (entry, arguments): (&Entry, Option<&RawValue>),
        said: &Decision,
    ) -> Option<Difference> {
        self.in_force.shadow()?;
        let tool = &entry.tool.name;
        let text = arguments.map_or("{}", RawValue::get);
        if entry.kind != Kind::GraphExecute {
            return self
                .compare(&self.ask(caller, tool, Operation::Plain, Arguments::Json(text)), said);
        }
        match self.parse(caller, text) {
            Some(call) => call.ask(|graph| {
                let operation = Operation::Graph(graph);
                self.compare(&self.ask(caller, tool, operation, Arguments::Json(text)), said)
            }),
            None => self.difference_of_name(caller, entry, said),
        }
    }

    fn compare(&self, ask: &Ask<'_>, said: &Decision) -> Option<Difference> {
        self.decider.policy.difference(&self.in_force, ask, said)
    }

    /// The question of a call as the audit log keeps it.
    pub(super) fn question(
        &self,
        caller: &Caller,
        entry: &Entry,
        arguments: Option<&RawValue>,
    ) -> Box<Recorded> {
        let arguments = arguments.map_or("{}", RawValue::get);
        if entry.kind == Kind::GraphExecute
            && let Some(call) = self.parse(caller, arguments)
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
        self.in_force.record(&self.ask(caller, tool, operation, Arguments::Unknown))
    }

    fn parse(&self, caller: &Caller, arguments: &str) -> Option<GraphCall> {
        let limit = self.decider.max_timeout;
        GraphCall::parse(arguments.as_bytes(), caller.request_id(), limit).ok()
    }

    fn decide(
        &self,
        caller: &Caller,
        tool: &str,
        operation: Operation<'_>,
        arguments: Arguments<'_>,
    ) -> Decision {
        self.in_force.policy().decide(&self.ask(caller, tool, operation, arguments))
    }

    fn ask<'a>(
        &self,
        caller: &'a Caller,
        tool: &'a str,
        operation: Operation<'a>,
        arguments: Arguments<'a>,
    ) -> Ask<'a> {
        Ask { who: caller.who(), tool, operation, arguments, now: self.now }
    }
}

/// The arguments as the tool gets them: blanks and escapes make no other call, so what is counted and challenged is decided
/// on the very text that is decided on again where the call is carried out.
pub(super) fn spelled(arguments: &RawValue) -> Box<RawValue> {
    let members = serde_json::from_str::<JsonObject>(arguments.get());
    // What is no object is the tool's to refuse.
    let spelled = members.ok().and_then(|members| to_raw_value(&members).ok());
    spelled.unwrap_or_else(|| arguments.to_owned())
}

/// The tool, whatever is called of it.
const fn as_such(entry: &Entry) -> Operation<'static> {
    match entry.kind {
        Kind::Document(_) | Kind::GraphList => Operation::Plain,
        Kind::GraphExecute => Operation::AnyGraph,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Facts, Policy, Who};
    use crate::scope::Scope;
    use crate::time::{FixedClock, Timestamp};

    fn rules(version: &str, effect: &str) -> Policy {
        let text = format!(
            "[[rule]]\nid = \"r\"\neffect = \"{effect}\"\ntools = [\"t\"]\narguments = {{ a = [1] }}\n"
        );
        let facts = Facts {
            issuer: "https://broker.example".to_owned(),
            profiles: Vec::new(),
            resource: "https://graph.microsoft.com".to_owned(),
            allowed_resources: Vec::new(),
            allowed_permissions: None,
            tools: vec!["t".to_owned()],
            reading_tools: Vec::new(),
        };
        Policy::load("policy.toml", &text, Some(version), &[], facts).unwrap()
    }

    #[test]
    fn the_guard_decides_on_the_text_that_the_tool_gets() {
        for text in [
            "{}",
            r#" { "b" : 1.10, "a" : "\u0041\/", "n" : 1e15, "f" : 0.12345678901234567 } "#,
            r#"{"big":12345678901234567890123,"neg":-0,"nested":[ { "x" : null } ]}"#,
        ] {
            let raw = RawValue::from_string(text.trim().to_owned()).unwrap();
            let members: JsonObject = serde_json::from_str(text).unwrap();
            assert_eq!(spelled(&raw).get(), serde_json::to_string(&members).unwrap());
        }
    }

    /// The tool as such and the call with its arguments are two questions: a reload between them is of the next request.
    #[test]
    fn a_reload_in_the_middle_of_a_request_changes_nothing_of_it() {
        let clock = Arc::new(FixedClock::at(Timestamp::default()));
        let policy = Live::new(rules("old", "allow"), None, clock);
        let decider = Decider { policy: policy.clone(), max_timeout: Duration::from_secs(1) };
        let (issuer, subject) = ("https://i.example".parse().unwrap(), "ada".parse().unwrap());
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: None,
            scopes: &Scope::empty(),
            groups: &[],
            groups_incomplete: false,
            roles: &[],
            roles_incomplete: false,
            claims: None,
            told: None,
        };
        let decide = |deciding: &Deciding, arguments: Arguments<'_>| {
            let ask =
                Ask { who, tool: "t", operation: Operation::Plain, arguments, now: deciding.now() };
            deciding.in_force().policy().decide(&ask)
        };
        let held = decider.now();
        let before = decide(&held, Arguments::Unknown);
        policy.replace(rules("new", "deny"), None);
        let after = decide(&held, Arguments::Json(r#"{"a":1}"#));
        assert!(after.is_allow());
        assert_eq!(after.policy_version, before.policy_version);
        assert!(!decide(&decider.now(), Arguments::Json(r#"{"a":1}"#)).is_allow());
    }
}
