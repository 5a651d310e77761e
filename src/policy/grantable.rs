//! Which scopes are worth granting to a person: those that a rule asks for which would allow that person something.

use crate::scope::Scope;

use super::ask::{Arguments, Ask, Moment, Operation, Who};
use super::condition::Truth;
use super::decide::Policy;
use super::decision::Effect;
use super::rule::Rule;

impl Policy {
    /// Of `wanted`, the scopes that some rule asks for which allows this caller something, or asks a person about it.
    ///
    /// The scopes of `who` are not looked at. Arguments and whatever else a call brings are not known here, so this is
    /// the most that may be of use, not what will be allowed: every call is decided again.
    #[must_use]
    pub fn grantable(&self, who: &Who<'_>, wanted: &Scope, now: Moment) -> Scope {
        let rules: Vec<&Rule> =
            self.rules.iter().filter(|rule| self.is_of_use(rule, who, wanted, now)).collect();
        let of_use = wanted.iter().filter(|token| {
            rules.iter().any(|rule| rule.scopes.iter().any(|needed| token.implies(needed)))
        });
        of_use.cloned().collect()
    }

    /// Whether the rule opens a tool to who holds what is wanted and what the rule asks for.
    fn is_of_use(&self, rule: &Rule, who: &Who<'_>, wanted: &Scope, now: Moment) -> bool {
        if rule.effect == Effect::Deny || rule.is_for(who, now) == Truth::False {
            return false;
        }
        // What servers behind us have, only they know: a rule about nothing of ours may be about that.
        let of_ours = self.facts.tools.iter().any(|tool| rule.tools.is_match(tool));
        if !of_ours && rule.graph.is_none() && rule.tools.may_be_a_servers() {
            return true;
        }
        let scopes = wanted.union(&rule.scopes);
        let operation = if rule.graph.is_some() { Operation::AnyGraph } else { Operation::Plain };
        self.facts.tools.iter().filter(|tool| rule.tools.is_match(tool)).any(|tool| {
            let who = Who { scopes: &scopes, ..*who };
            let ask = Ask { who, tool, operation, arguments: Arguments::Unknown, now };
            self.decide(&ask).effect != Effect::Deny
        })
    }
}
