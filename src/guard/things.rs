//! How policy is asked about what a server offers that is behind us, or beside us.
//!
//! Policy knows a tool `get` of the server `weather` as `weather.get`, its prompt `day` as `weather/prompts/day` and its
//! resource `file:///a` as `weather/resources/file:///a`. A server's id has neither dot nor slash, so that no two things
//! have one name; only tools have a dot after the id, so that a pattern for tools is about tools alone.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::id::ToolName;
use crate::policy::{
    About, Arguments, Ask, BesideAsk, Decision, Difference, Effect, InForce, Live, Moment,
    Operation, Policy, Reason, Recorded,
};
use crate::scope::Scope;

use super::named::{LONGEST_PROMPT, LONGEST_URI};
use super::spelling;

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Thing<'a> {
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
    /// `upstream.server.id`, or that of a registered server.
    pub server: Box<str>,
    /// What whoever uses it needs whatever rule opens it: of a server that is reached beside us, the scopes it was registered
    /// with.
    pub beside: Option<Scope>,
}

/// The rules in force, held while one message is decided.
#[derive(Debug)]
pub struct Deciding<'a> {
    decider: &'a Decider,
    in_force: Arc<InForce>,
    now: Moment,
}

impl Decider {
    /// A tool's name in rules, limits, approvals and the audit log. `None` for one that breaks the format of MCP
    /// (2026-07-28 server/tools, Tool Names), or is too long with its prefix: it is never shown.
    #[must_use]
    pub fn tool_name(&self, tool: &str) -> Option<ToolName> {
        self.name(Thing::Tool(tool)).parse().ok()
    }

    /// What stands in the audit log for a server's prompts and resources; the question beside it names them.
    #[must_use]
    pub fn server_name(&self) -> Option<ToolName> {
        self.server.parse().ok()
    }

    #[must_use]
    pub fn now(&self) -> Deciding<'_> {
        self.under(self.policy.current())
    }

    /// The same by these rules.
    #[must_use]
    pub fn under(&self, in_force: Arc<InForce>) -> Deciding<'_> {
        let now = in_force.moment();
        Deciding { decider: self, in_force, now }
    }

    /// Whether its name is one that MCP allows and that can be asked for: others are never shown.
    #[must_use]
    pub fn is_nameable(&self, thing: Thing<'_>) -> bool {
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
    #[must_use]
    pub fn about(&self, caller: &Caller, thing: Thing<'_>) -> Decision {
        self.by(self.in_force.policy(), caller, thing).1
    }

    /// Whether a list shows it to `caller`, whatever it says of itself. Nobody can be asked about prompts and resources: what is
    /// refused when it is asked for is not listed.
    #[must_use]
    pub fn shows(&self, caller: &Caller, thing: Thing<'_>) -> bool {
        let shown = || match (thing, self.about(caller, thing)) {
            (Thing::Tool(_), said) => said.shows_the_tool(),
            (Thing::Prompt(..) | Thing::Resource(_), said) => said.is_allow(),
        };
        self.decider.is_nameable(thing) && shown()
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

    /// The same for a list, which is compared with that of the shadow policy; what differs is to be recorded.
    #[must_use]
    pub fn listed(&self, caller: &Caller, thing: Thing<'_>) -> (Decision, Option<Difference>) {
        let said = self.about(caller, thing);
        let other = self.in_force.shadow().and_then(|shadow| {
            let (name, _) = self.by(shadow, caller, thing);
            let ask = self.ask(caller, &name, thing.arguments());
            self.decider.policy.difference_of_listing(&self.in_force, &ask, &said)
        });
        (said, other)
    }

    /// Whether `caller` sees a tool, and may call it so.
    #[must_use]
    pub fn call(
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
    #[must_use]
    pub fn name(&self, thing: Thing<'_>) -> String {
        self.decider.name(thing)
    }

    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        self.in_force.policy().version()
    }

    /// What the shadow policy says instead.
    #[must_use]
    pub fn difference(
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
    #[must_use]
    pub fn difference_about(
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
    #[must_use]
    pub fn question(&self, caller: &Caller, thing: Thing<'_>) -> Box<Recorded> {
        let name = match thing {
            Thing::Tool(_) | Thing::Prompt(..) => self.decider.name(thing),
            Thing::Resource(_) => without_query(self.by(self.in_force.policy(), caller, thing).0),
        };
        self.in_force.record(&self.ask(caller, &name, Arguments::Unknown))
    }

    /// Whether `caller` may reach the server as such, which is beside us; with what the shadow policy says instead, and the
    /// question as the audit log keeps it.
    #[must_use]
    pub fn server(
        &self,
        caller: &Caller,
        about: About,
    ) -> (Decision, Option<Difference>, Box<Recorded>) {
        let ask = self.ask_server(caller, about);
        let said = self.in_force.policy().decide(&ask);
        let other = self.decider.policy.difference(&self.in_force, &ask, &said);
        (said, other, self.in_force.record(&ask))
    }

    fn decide(&self, caller: &Caller, name: &str, arguments: Arguments<'_>) -> Decision {
        self.in_force.policy().decide(&self.ask(caller, name, arguments))
    }

    /// What is asked about the server as such, whoever asks for what of it.
    fn ask_server<'a>(&'a self, caller: &'a Caller, about: About) -> Ask<'a> {
        let operation = self.operation(about);
        let (tool, arguments) = (&*self.decider.server, Arguments::Unknown);
        Ask { who: caller.who(), tool, operation, arguments, now: self.now }
    }

    fn ask<'a>(&'a self, caller: &'a Caller, tool: &'a str, arguments: Arguments<'a>) -> Ask<'a> {
        let operation = self.operation(About::Thing);
        Ask { who: caller.who(), tool, operation, arguments, now: self.now }
    }

    fn operation(&self, about: About) -> Operation<'_> {
        let server = &self.decider.server;
        match &self.decider.beside {
            Some(scopes) => Operation::Beside(BesideAsk { server, scopes, about }),
            None => Operation::Plain,
        }
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
