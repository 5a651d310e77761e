//! Servers that are reached beside us, about which a proxy asks: the scopes that such a server was registered with are a
//! rule like any other, `registered.{id}`.
//!
//! It allows what is about the server as such. A tool, a prompt or a resource needs a rule that names it, and these scopes as
//! well. Deny beats ask beats allow here, too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::id::RuleId;
use crate::scope::Scope;

use super::ask::{Ask, Operation};
use super::compile::REGISTERED;
use super::condition::Truth;
use super::decide::{Policy, Verdict};
use super::decision::{Effect, Outcome, Reason, Step};
use super::explain::{Compared, RuleExplanation};
use super::judge::Seen;
use super::order::{Order, order, step_up};
use super::rule::Rule;

/// What is asked about such a server.
#[derive(Clone, Copy, Debug)]
pub struct BesideAsk<'a> {
    /// The server's id.
    pub server: &'a str,
    /// Those it was registered with.
    pub scopes: &'a Scope,
    pub about: About,
}

/// What of the server is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// One tool, prompt or resource, which is [`Ask::tool`].
    Thing,
    /// Whatever it has, for nobody looks at what is asked of it: [`Ask::tool`] is its id. A rule that may forbid something
    /// there forbids it.
    Whole,
    /// Nothing that it has: the handshake, or a list. [`Ask::tool`] is its id. Whatever follows is decided by itself.
    Handshake,
}

impl BesideAsk<'_> {
    /// The id of the rule that its scopes are.
    fn rule_id(&self) -> Option<RuleId> {
        format!("{REGISTERED}{}", self.server).parse().ok()
    }

    /// As a rule that was looked at.
    pub(super) fn step(&self, held: &Scope) -> Option<Step> {
        let outcome = if self.scopes.is_subset(held) { Outcome::Match } else { Outcome::LackScope };
        Some(Step { rule_id: self.rule_id()?, effect: Effect::Allow, outcome })
    }

    /// The same in words.
    pub(super) fn explained(
        &self,
        held: &Scope,
        decided: Option<&RuleId>,
    ) -> Option<RuleExplanation> {
        let Step { rule_id, effect, outcome } = self.step(held)?;
        let lacks = outcome == Outcome::LackScope;
        let compared = Compared {
            key: "scopes".to_owned(),
            wants: self.scopes.to_string(),
            saw: if held.is_empty() { "nothing".to_owned() } else { held.to_string() },
            came_to: (!lacks).into(),
            change: lacks.then(|| format!("the scopes {}", self.scopes)),
        };
        Some(RuleExplanation {
            decides: decided == Some(&rule_id),
            rule_id,
            effect,
            place: Arc::from("the registered server"),
            outcome: Some(outcome),
            compared: if self.scopes.is_empty() { Vec::new() } else { vec![compared] },
            condition: Vec::new(),
        })
    }
}

impl Rule {
    /// Whether it forbids, or asks about, what is asked of the server as such. Of the whole whatever may be about one thing
    /// there, of the handshake what is about every thing.
    fn stands_before(&self, beside: &BesideAsk<'_>) -> bool {
        let below = |between: &str| [beside.server, between].concat();
        match (beside.about, self.effect) {
            _ if self.graph.is_some() => false,
            (About::Thing, _) | (_, Effect::Allow) | (About::Handshake, Effect::Ask) => false,
            (About::Whole, Effect::Deny | Effect::Ask) => {
                self.tools.may_name_below(&below(".")) || self.tools.may_name_below(&below("/"))
            }
            (About::Handshake, Effect::Deny) => [".x", "/prompts/x", "/resources/x"]
                .iter()
                .all(|thing| self.tools.is_match(&below(thing))),
        }
    }
}

impl Policy {
    /// The rules that stand before a server as such, in their order.
    pub(super) fn before(&self, beside: &BesideAsk<'_>) -> Vec<u32> {
        let all = (0_u32..).zip(&self.rules);
        all.filter(|(_, rule)| rule.stands_before(beside)).map(|(number, _)| number).collect()
    }

    /// Weighs what stands before the server as such, and the rule that its scopes are.
    pub(super) fn weigh_server<'p>(
        &'p self,
        ask: &Ask<'_>,
        beside: &BesideAsk<'_>,
        seen: &[Seen<'p>],
    ) -> Verdict<'p> {
        let first = |effect: Effect, held: &Scope| {
            let acts = |seen: &&Seen<'p>| {
                seen.acts_at(beside.about) == Some(effect) && seen.rule.scopes.is_subset(held)
            };
            seen.iter().find(acts).map(|seen| seen.rule)
        };
        let standing = |held: &Scope| {
            [Effect::Deny, Effect::Ask]
                .into_iter()
                .find_map(|effect| first(effect, held).map(|rule| (effect, rule)))
        };
        if let Some((effect, rule)) = standing(ask.who.scopes) {
            return self.by_rule(ask, rule, effect);
        }
        let missing = ask.who.scopes.missing(beside.scopes);
        if missing.is_empty() {
            return self.by_registration(ask, beside);
        }
        let opens = standing(&ask.who.scopes.union(&missing)).is_none();
        let mut verdict = self.refuse(ask, Reason::ScopeNotPermitted, Code::PolicyDenied);
        if opens {
            verdict.decision.missing_scopes = missing;
        }
        verdict
    }

    fn by_registration(&self, ask: &Ask<'_>, beside: &BesideAsk<'_>) -> Verdict<'_> {
        let Some(id) = beside.rule_id() else {
            return self.refuse(ask, Reason::Default, Code::PolicyDenied);
        };
        let reason = Reason::Rule(Effect::Allow, id.clone());
        let mut decision = self.blank(ask, Effect::Allow, reason);
        decision.matched_rule_id = Some(id);
        decision.scopes_evaluated = beside.scopes.iter().cloned().collect();
        Verdict { decision, rule: None }
    }

    /// What the rules say about one thing of the server, where its scopes are needed as well: told only to who has, or could
    /// get, what the rules ask for.
    pub(super) fn with_server<'p>(
        &'p self,
        ask: &Ask<'_>,
        beside: &BesideAsk<'_>,
        (seen, verdict): (&[Seen<'p>], Verdict<'p>),
    ) -> Verdict<'p> {
        let lacking = ask.who.scopes.missing(beside.scopes);
        let decision = &verdict.decision;
        let for_good = decision.effect == Effect::Deny && !decision.can_step_up();
        if lacking.is_empty() || for_good {
            return verdict;
        }
        let held = ask.who.scopes.union(&lacking);
        let missing = match order(seen, |seen| seen.rule.scopes.is_subset(&held)) {
            Order::Ask(_) | Order::Allow(_) => Some(lacking),
            Order::Deny(_) => None,
            _ => step_up(&held, seen).map(|missing| missing.union(&lacking)),
        };
        let Some(missing) = missing else {
            return self.refuse(ask, Reason::Default, Code::PolicyDenied);
        };
        let mut refused = self.refuse(ask, Reason::ScopeNotPermitted, Code::PolicyDenied);
        refused.decision.missing_scopes = missing;
        refused
    }
}

impl Seen<'_> {
    /// As [`Seen::acts_as`]; before the whole of a server also where it depends on what is not asked yet.
    fn acts_at(&self, about: About) -> Option<Effect> {
        match (about, self.rule.effect, self.truth) {
            (About::Whole, effect @ (Effect::Deny | Effect::Ask), Truth::Unknown) => Some(effect),
            _ => self.acts_as(),
        }
    }
}

/// What is asked of a server beside us, if anything is.
pub(super) const fn beside<'a>(operation: &Operation<'a>) -> Option<BesideAsk<'a>> {
    match operation {
        Operation::Beside(beside) => Some(*beside),
        Operation::Plain | Operation::AnyGraph | Operation::Graph(_) => None,
    }
}
