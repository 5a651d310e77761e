//! Why a question was decided as it was: what was compared while it was decided, in words.

mod words;

use std::sync::Arc;

use serde::Serialize;

use crate::id::RuleId;

use super::ask::Ask;
use super::beside::beside;
use super::condition::{Looked, Truth};
use super::decide::Policy;
use super::decision::{Decision, Effect, Outcome, Reason};
use super::judge::{Aspect, Seen, Witness};
use super::rule::Rule;

/// A decision with every rule that names the tool.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub decision: Decision,
    /// What would make it an allow, the nearest way first. Empty where it is one.
    pub changes: Vec<String>,
    pub rules: Vec<RuleExplanation>,
}

/// What one rule saw. Holds values of claims and arguments: for the operator, never for a log.
#[derive(Clone, Debug, Serialize)]
pub struct RuleExplanation {
    pub rule_id: RuleId,
    pub effect: Effect,
    /// Where it is written.
    pub place: Arc<str>,
    /// What became of it; `None` where it is not about this caller, or not about this operation.
    pub outcome: Option<Outcome>,
    /// Whether it is the rule that decided.
    pub decides: bool,
    /// Everything it compares, in order.
    pub compared: Vec<Compared>,
    /// The parts of its condition.
    pub condition: Vec<Looked>,
}

/// One thing that a rule compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The key of the rule, such as `principals.groups`.
    pub key: String,
    pub wants: String,
    pub saw: String,
    pub came_to: Truth,
    /// What would have to be otherwise for it to fit; `None` where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// What was compared for one rule, before it is put into words.
#[derive(Default)]
struct Raw {
    checks: Vec<(Aspect, Truth)>,
    parts: Vec<Looked>,
    outcome: Option<Outcome>,
}

impl Raw {
    /// What each of those comparisons came to that a record has not the values for, as far as what became of the rule tells.
    fn what_is_not_on_record(&self) -> Truth {
        let of_rule = |(aspect, _): &&(Aspect, Truth)| {
            !matches!(aspect, Aspect::Scopes | Aspect::Permissions)
        };
        let others = self.checks.iter().filter(of_rule).filter(|(_, truth)| *truth != Truth::True);
        match self.outcome.map(Outcome::truth) {
            Some(Truth::True) => Truth::True,
            // The only one that can have done it.
            Some(truth) if others.count() == 1 => truth,
            Some(_) | None => Truth::Unknown,
        }
    }
}

/// Writes down what is compared.
#[derive(Default)]
struct Recorder(Vec<Raw>);

impl Witness for Recorder {
    const SEES_ALL: bool = true;

    fn begin(&mut self, _rule: &Rule) {
        self.0.push(Raw::default());
    }

    fn check(&mut self, aspect: Aspect, came_to: Truth) {
        if let Some(raw) = self.0.last_mut() {
            raw.checks.push((aspect, came_to));
        }
    }

    fn part(&mut self, looked: impl FnOnce() -> Looked) {
        if let Some(raw) = self.0.last_mut() {
            raw.parts.push(looked());
        }
    }

    fn end(&mut self, seen: Option<&Seen<'_>>) {
        if let Some(raw) = self.0.last_mut() {
            raw.outcome = seen.map(Seen::outcome);
        }
    }
}

impl Policy {
    /// Decides while every rule about the tool is looked at whole, and says what each saw.
    ///
    /// The comparisons are those that decide: they are made once, and both the decision and the words come from them.
    #[must_use]
    pub fn explain(&self, ask: &Ask<'_>) -> Explanation {
        let mut recorder = Recorder::default();
        let decision = self.evaluate_before(ask, &mut recorder).decision;
        let about = self.about(ask).into_iter().filter_map(|number| self.rule(number));
        let decided = decision.matched_rule_id.as_ref();
        let registered =
            beside(&ask.operation).and_then(|beside| beside.explained(ask.who.scopes, decided));
        let rules: Vec<RuleExplanation> = about
            .zip(recorder.0)
            .map(|(rule, raw)| self.in_words(rule, raw, ask, &decision))
            .chain(registered)
            .collect();
        let changes = changes(&decision, &rules);
        Explanation { decision, changes, rules }
    }

    fn in_words(
        &self,
        rule: &Rule,
        raw: Raw,
        ask: &Ask<'_>,
        decision: &Decision,
    ) -> RuleExplanation {
        let on_record = ask.who.told.is_some_and(|told| told.made.is_some());
        let came_to = raw.what_is_not_on_record();
        let compared = raw.checks.iter().map(|(aspect, truth)| match truth {
            Truth::Unknown if on_record => {
                let said = words::compared(self, rule, ask, *aspect, came_to);
                Compared { saw: words::not_on_record(came_to).to_owned(), ..said }
            }
            known => words::compared(self, rule, ask, *aspect, *known),
        });
        RuleExplanation {
            rule_id: rule.id.clone(),
            effect: rule.effect,
            place: Arc::clone(&rule.place),
            outcome: raw.outcome,
            decides: decision.matched_rule_id.as_ref() == Some(&rule.id),
            compared: compared.collect(),
            condition: raw.parts,
        }
    }
}

impl RuleExplanation {
    /// What would have to be otherwise for the rule to apply.
    pub fn changes(&self) -> impl Iterator<Item = &str> {
        self.compared.iter().filter_map(|compared| compared.change.as_deref())
    }
}

/// Rules that are named as near misses.
const NEAREST: usize = 3;

fn changes(decision: &Decision, rules: &[RuleExplanation]) -> Vec<String> {
    match (&decision.reason, decision.effect) {
        (_, Effect::Allow) => Vec::new(),
        (_, Effect::Ask) => vec!["a person's approval of this very call".to_owned()],
        _ if decision.can_step_up() => {
            vec![format!("a token that also has: {}", decision.missing_scopes)]
        }
        _ if decision.needs_login() => {
            decision.login.iter().map(|login| format!("a log-in of the same person {login}")).collect()
        }
        (Reason::Rule(..), Effect::Deny) => overruled(rules),
        (Reason::IdentityUntrusted, _) if decision.requester_id.is_none() => {
            vec!["a token that names a subject (`sub`)".to_owned()]
        }
        (Reason::IdentityUntrusted, _) => vec![
            "no requester.requester_id but the token's own subject, or the client, with its issuer, in may_assert_requester"
                .to_owned(),
        ],
        (Reason::ProviderNotPermitted, _) => vec![
            "a tenant of a configured [[graph.profile]], and a resource of graph.allowed_resources"
                .to_owned(),
        ],
        (Reason::ScopeNotPermitted | Reason::Default, Effect::Deny) => nearest(rules),
    }
}

/// A rule forbids it: it would have to be about something else.
fn overruled(rules: &[RuleExplanation]) -> Vec<String> {
    let Some(rule) = rules.iter().find(|rule| rule.decides) else { return Vec::new() };
    let failed = rule.compared.iter().any(|compared| compared.came_to == Truth::Error);
    let narrowing: Vec<&str> = rule.compared.iter().map(|compared| compared.key.as_str()).collect();
    let mut changes = vec![if failed {
        format!(
            "a call whose condition in rule `{}` can be evaluated and does not hold",
            rule.rule_id
        )
    } else if narrowing.is_empty() {
        format!("no rule `{}`: it forbids the tool to everybody", rule.rule_id)
    } else {
        format!("a call that rule `{}` does not fit, by {}", rule.rule_id, narrowing.join(", "))
    }];
    let allows = |rule: &RuleExplanation| {
        rule.effect != Effect::Deny && rule.outcome == Some(Outcome::Match)
    };
    if !rules.iter().any(allows) {
        changes.extend(nearest(rules).into_iter().map(|change| format!("besides, {change}")));
    }
    changes
}

/// No rule allows it: the rules that lack least.
fn nearest(rules: &[RuleExplanation]) -> Vec<String> {
    let opening = rules.iter().filter(|rule| rule.effect != Effect::Deny);
    let mut lacking: Vec<_> = opening.map(|rule| (rule.changes().count(), rule)).collect();
    lacking.sort_by_key(|(lack, _)| *lack);
    let least = lacking.first().map_or(0, |(lack, _)| *lack);
    let nearest = lacking.iter().filter(|(lack, _)| *lack == least).take(NEAREST);
    let mut changes: Vec<String> = nearest
        .map(|(_, rule)| {
            let changes: Vec<&str> = rule.changes().collect();
            format!("rule `{}` would apply with {}", rule.rule_id, changes.join(", and "))
        })
        .collect();
    if changes.is_empty() {
        changes.push("a rule that allows this tool: there is none".to_owned());
    }
    changes
}
