//! How policy is asked about what a server behind us offers.
//!
//! Policy knows a tool `get` of the server `weather` as `weather.get`, its prompt `day` as `weather/prompts/day` and its
//! resource `file:///a` as `weather/resources/file:///a`. A server's id has neither dot nor slash, so that no two things
//! have one name; only tools have a dot after the id, so that a pattern for tools is about tools alone.

use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::id::ToolName;
use crate::policy::{
    Arguments, Ask, Decision, Difference, Effect, InForce, Live, Moment, Operation, Policy, Reason,
    Recorded,
};

use super::spelling;
use super::wanted::{LONGEST_PROMPT, LONGEST_URI};

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Thing<'a> {
    Tool(&'a str),
    /// With the arguments that it is asked for with, as a JSON object. `None`: not said yet.
    Prompt(&'a str, Option<&'a str>),
    /// Or a template of resources, by its text.
    Resource(&'a str),
}

/// Asks policy about the things of one server.
#[derive(Clone, Debug)]
pub struct Decider {
    pub policy: Live,
    /// `upstream.server.id`
    pub server: Box<str>,
}

/// The rules in force, held while one message is decided.
#[derive(Debug)]
pub(super) struct Deciding<'a> {
    decider: &'a Decider,
    in_force: std::sync::Arc<InForce>,
    now: Moment,
}

impl Decider {
    /// A tool's name in rules, limits, approvals and the audit log. `None` for one that breaks the format of MCP
    /// (2026-07-28 server/tools, Tool Names), or is too long with its prefix: it is never shown.
    pub(super) fn tool_name(&self, tool: &str) -> Option<ToolName> {
        self.name(Thing::Tool(tool)).parse().ok()
    }

    /// What stands in the audit log for a server's prompts and resources; the question beside it names them.
    pub(super) fn server_name(&self) -> Option<ToolName> {
        self.server.parse().ok()
    }

    pub(super) fn now(&self) -> Deciding<'_> {
        let in_force = self.policy.current();
        let now = in_force.moment();
        Deciding { decider: self, in_force, now }
    }

    /// Whether its name is one that MCP allows and that can be asked for: others are never shown.
    pub(super) fn is_nameable(&self, thing: Thing<'_>) -> bool {
        match thing {
            Thing::Tool(name) => self.tool_name(name).is_some(),
            Thing::Prompt(name, _) => name.len() <= LONGEST_PROMPT,
            Thing::Resource(uri) => uri.len() <= LONGEST_URI,
        }
    }

    fn name(&self, thing: Thing<'_>) -> String {
        let (between, name) = match thing {
            Thing::Tool(name) => (".", name),
            Thing::Prompt(name, _) => ("/prompts/", name),
            Thing::Resource(name) => ("/resources/", name),
        };
        [&*self.server, between, name].concat()
    }
}

impl<'a> Thing<'a> {
    const fn arguments(self) -> Arguments<'a> {
        match self {
            Thing::Tool(_) | Thing::Prompt(_, None) => Arguments::Unknown,
            Thing::Prompt(_, Some(arguments)) => Arguments::Json(arguments),
            // It has none, ever: a rule that looks at some cannot be evaluated, so it opens nothing, and forbids.
            Thing::Resource(_) => Arguments::Json(""),
        }
    }
}

impl Deciding<'_> {
    /// Whether `caller` sees a tool or a prompt, whatever its arguments are; or may have a resource, or a prompt with these.
    pub(super) fn about(&self, caller: &Caller, thing: Thing<'_>) -> Decision {
        self.by(self.in_force.policy(), caller, thing).1
    }

    /// What these rules say, and the name by which they say it.
    fn by(&self, rules: &Policy, caller: &Caller, thing: Thing<'_>) -> (String, Decision) {
        let decide = |name: &str| rules.decide(&self.ask(caller, name, thing.arguments()));
        let name = self.decider.name(thing);
        let said = decide(&name);
        let Thing::Resource(uri) = thing else { return (name, said) };
        // What a rule forbids by name is forbidden however the name is escaped.
        let Some(read_as) = spelling::decoded(uri) else { return (name, said) };
        let read_as = self.decider.name(Thing::Resource(&read_as));
        let other = decide(&read_as);
        let forbids = matches!(other.reason, Reason::Rule(Effect::Deny | Effect::Ask, _));
        if forbids { (read_as, other) } else { (name, said) }
    }

    /// The same for a list, which is compared with that of the shadow policy.
    pub(super) fn listed(&self, caller: &Caller, thing: Thing<'_>) -> Decision {
        let said = self.about(caller, thing);
        if let Some(shadow) = self.in_force.shadow() {
            let (name, _) = self.by(shadow, caller, thing);
            let ask = self.ask(caller, &name, thing.arguments());
            self.decider.policy.note_listing(&self.in_force, &ask, &said);
        }
        said
    }

    /// Whether `caller` sees a tool, and may call it so.
    pub(super) fn call(
        &self,
        caller: &Caller,
        tool: &ToolName,
        arguments: Option<&RawValue>,
    ) -> (Decision, Decision) {
        let visible = self.decide(caller, tool.as_str(), Arguments::Unknown);
        let looked_at = self.in_force.policy().looks_at_arguments(tool.as_str());
        let goes_on = visible.shows_the_tool() || visible.is_challenge();
        if !looked_at || !goes_on {
            return (visible.clone(), visible);
        }
        let arguments = Arguments::Json(arguments.map_or("{}", RawValue::get));
        (visible, self.decide(caller, tool.as_str(), arguments))
    }

    /// As limits and rules know it.
    pub(super) fn name(&self, thing: Thing<'_>) -> String {
        self.decider.name(thing)
    }

    pub(super) fn version(&self) -> &std::sync::Arc<str> {
        self.in_force.policy().version()
    }

    /// What the shadow policy says instead.
    pub(super) fn difference(
        &self,
        caller: &Caller,
        tool: &ToolName,
        (arguments, said): (Option<&RawValue>, &Decision),
    ) -> Option<Difference> {
        self.in_force.shadow()?;
        let arguments = Arguments::Json(arguments.map_or("{}", RawValue::get));
        let ask = self.ask(caller, tool.as_str(), arguments);
        self.decider.policy.difference(&self.in_force, &ask, said)
    }

    /// The same about a prompt or a resource, by the name by which the shadow policy decides.
    pub(super) fn difference_about(
        &self,
        caller: &Caller,
        thing: Thing<'_>,
        said: &Decision,
    ) -> Option<Difference> {
        let (name, _) = self.by(self.in_force.shadow()?, caller, thing);
        let ask = self.ask(caller, &name, thing.arguments());
        self.decider.policy.difference(&self.in_force, &ask, said)
    }

    /// The question as the audit log keeps it: by the name that decided, without the query of a URI.
    pub(super) fn question(&self, caller: &Caller, thing: Thing<'_>) -> Box<Recorded> {
        let name = match thing {
            Thing::Tool(_) | Thing::Prompt(..) => self.decider.name(thing),
            Thing::Resource(_) => without_query(self.by(self.in_force.policy(), caller, thing).0),
        };
        self.in_force.record(&self.ask(caller, &name, Arguments::Unknown))
    }

    fn decide(&self, caller: &Caller, name: &str, arguments: Arguments<'_>) -> Decision {
        self.in_force.policy().decide(&self.ask(caller, name, arguments))
    }

    fn ask<'a>(&self, caller: &'a Caller, tool: &'a str, arguments: Arguments<'a>) -> Ask<'a> {
        Ask { who: caller.who(), tool, operation: Operation::Plain, arguments, now: self.now }
    }
}

/// What a query says is the caller's, as the arguments of a call are: `…` stands for it.
fn without_query(mut name: String) -> String {
    if let Some(at) = name.find(['?', '#'])
        && at + 1 < name.len()
    {
        name.truncate(at + 1);
        name.push('…');
    }
    name
}
