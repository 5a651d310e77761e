//! Which scopes are worth granting to a person: those that a rule asks for which would allow that person something.

use crate::scope::Scope;

use super::ask::{Arguments, Ask, Moment, Operation, Who};
use super::condition::Truth;
use super::decide::Policy;
use super::decision::Effect;
use super::rule::Rule;

/// What a token is for: rules about anything else do not make a scope worth having in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// The broker's own tools.
    Own,
    /// Whatever the server of this id has: `{id}.{tool}`, `{id}/prompts/{name}`, `{id}/resources/{uri}`. What that is, is
    /// not known here.
    Server(&'a str),
}

impl Policy {
    /// Of `wanted`, the scopes that some rule asks for which allows this caller something, or asks a person about it.
    ///
    /// The scopes of `who` are not looked at. Arguments and whatever else a call brings are not known here, so this is
    /// the most that may be of use, not what will be allowed: every call is decided again.
    #[must_use]
    pub fn grantable(&self, who: &Who<'_>, at: Reach<'_>, wanted: &Scope, now: Moment) -> Scope {
        let of_use = |rule: &&Rule| self.is_of_use(rule, who, (at, wanted), now);
        let rules: Vec<&Rule> = self.rules.iter().filter(of_use).collect();
        let of_use = wanted.iter().filter(|token| {
            rules.iter().any(|rule| rule.scopes.iter().any(|needed| token.implies(needed)))
        });
        of_use.cloned().collect()
    }

    /// Whether some rule is about this server, and not about others as well.
    #[must_use]
    pub fn names_server(&self, id: &str) -> bool {
        let names = |rule: &Rule| rule.tools.examples().any(|name| is_of(name, id));
        self.rules.iter().any(names)
    }

    /// Whether the rule opens something to who holds what is wanted and what the rule asks for.
    fn is_of_use(
        &self,
        rule: &Rule,
        who: &Who<'_>,
        (at, wanted): (Reach<'_>, &Scope),
        now: Moment,
    ) -> bool {
        if rule.effect == Effect::Deny || rule.is_for(who, now) == Truth::False {
            return false;
        }
        let scopes = wanted.union(&rule.scopes);
        let operation = if rule.graph.is_some() { Operation::AnyGraph } else { Operation::Plain };
        let opens = |tool: &str| {
            let who = Who { scopes: &scopes, ..*who };
            let ask = Ask { who, tool, operation, arguments: Arguments::Unknown, now };
            rule.tools.is_match(tool) && self.decide(&ask).effect != Effect::Deny
        };
        match at {
            Reach::Own => self.facts.tools.iter().any(|tool| opens(tool)),
            Reach::Server(id) => {
                let any = [".x", "/prompts/x", "/resources/x"].map(|thing| [id, thing].concat());
                any.iter().any(|thing| opens(thing))
                    || rule.tools.examples().any(|name| is_of(name, id) && opens(name))
            }
        }
    }
}

/// Whether it is the name of something that the server has.
pub(super) fn is_of(name: &str, server: &str) -> bool {
    let rest = name.strip_prefix(server).unwrap_or_default();
    rest.starts_with('.') || rest.starts_with('/')
}
