//! Why a question was decided as it was: every rule about the tool, and what it saw.

use std::sync::Arc;

use serde::Serialize;

use crate::id::RuleId;
use crate::scope::Scope;

use super::ask::Ask;
use super::condition::{Known, Looked, Truth, Values};
use super::decide::Policy;
use super::decision::{Decision, Effect};
use super::rule::Rule;

/// A decision with every rule that names the tool.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub decision: Decision,
    pub rules: Vec<RuleExplanation>,
}

/// What one rule saw. Holds values of claims and arguments: for the operator, never for a log.
#[derive(Clone, Debug, Serialize)]
pub struct RuleExplanation {
    pub rule_id: RuleId,
    pub effect: Effect,
    /// Where it is written.
    pub place: Arc<str>,
    /// Whether it is about the operation.
    pub about_the_operation: bool,
    /// Whether the caller is among its principals.
    pub about_the_caller: Truth,
    /// The scopes of it that the caller lacks.
    pub missing_scopes: Scope,
    /// The parts of its condition.
    pub condition: Vec<Looked>,
}

impl Policy {
    /// Decides, and says what every rule about the tool saw. The decision is that of [`Policy::decide`].
    #[must_use]
    pub fn explain(&self, ask: &Ask<'_>) -> Explanation {
        let known = Known::new(ask, self.writes(ask.tool));
        let about = self.rules.iter().filter(|rule| rule.tools.is_match(ask.tool));
        let rules = about.map(|rule| explain(rule, ask, &known)).collect();
        Explanation { decision: self.decide(ask), rules }
    }
}

fn explain(rule: &Rule, ask: &Ask<'_>, known: &Known<'_>) -> RuleExplanation {
    let template = rule.template(&ask.operation);
    let values = Values::new(known, template, rule.graph.is_some(), ask.now.wall);
    RuleExplanation {
        rule_id: rule.id.clone(),
        effect: rule.effect,
        place: Arc::clone(&rule.place),
        about_the_operation: rule.is_about(&ask.operation),
        about_the_caller: rule.is_for(&ask.who, ask.now),
        missing_scopes: ask.who.scopes.missing(&rule.scopes),
        condition: rule.when.as_ref().map(|when| when.look(&values)).unwrap_or_default(),
    }
}
