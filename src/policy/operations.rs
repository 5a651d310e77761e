//! What a caller may execute on Graph now, or could after a step-up: the same rules, listed.

use std::sync::Arc;

use crate::id::{Permission, ProfileName, RuleId};
use crate::scope::Scope;

use super::ask::{Arguments, Ask, Moment, Operation, Who};
use super::condition::{Known, Truth};
use super::decide::Policy;
use super::decision::{Decision, Effect};
use super::judge::Nobody;
use super::names::is_told;
use super::rule::{Query, Rule};
use super::template::Template;

/// One operation a rule opens to a caller.
#[derive(Clone, Debug)]
pub struct OperationView {
    pub rule_id: RuleId,
    pub method: String,
    pub path_template: Arc<str>,
    pub permissions: Vec<Permission>,
    /// Scopes the caller lacks; empty: it may be executed now.
    pub needs_scopes: Scope,
    /// Whether a person approves each call first.
    pub approval: bool,
    /// Whether nothing that is not known of the caller could change it. Always, of a caller that is here.
    pub certain: bool,
}

/// A rule about the tool, and what it comes to for the caller.
struct Weighed<'p> {
    rule: &'p Rule,
    truth: Truth,
    certain: bool,
}

impl Policy {
    /// The Graph permissions that rules need which let calls through, each with the profile it is needed of.
    #[must_use]
    pub fn graph_permissions(&self) -> Vec<(ProfileName, Permission)> {
        let opening = self.rules.iter().filter(|rule| rule.effect != Effect::Deny);
        let of_rules = opening.filter_map(|rule| rule.graph.as_ref()).flat_map(|graph| {
            graph.permissions.iter().map(|permission| (graph.profile.clone(), permission.clone()))
        });
        let mut needed: Vec<_> = of_rules.collect();
        needed.sort_by(|a, b| (a.0.as_str(), a.1.as_str()).cmp(&(b.0.as_str(), b.1.as_str())));
        needed.dedup();
        needed
    }

    /// The operations `who` may execute with `tool`, in the order of the rules.
    ///
    /// An operation is left out if a rule forbids each call of it, whatever path, query and arguments it has; and waits for a
    /// person if a rule asks about each. Rules with narrower paths or conditions show when the call is decided.
    #[must_use]
    pub fn operations(&self, who: Who<'_>, tool: &str, now: Moment) -> Vec<OperationView> {
        let operation = Operation::AnyGraph;
        let ask = Ask { who, tool, operation, arguments: Arguments::Unknown, now };
        let decision = self.lists_surely(&ask);
        let closed = |said: &Decision| said.effect == Effect::Deny && !said.can_step_up();
        if decision.as_ref().is_some_and(closed) {
            return Vec::new();
        }
        let known = Known::new(&ask, self.writes(tool));
        let mut rules = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.tools.is_match(tool)) {
            let concerned = rule.is_for(&who, now);
            let holds = rule.holds(&known, &operation, &mut Nobody);
            let truth = Truth::all([concerned, holds].into_iter());
            let certain = truth != Truth::Unknown || is_told(rule, &who);
            if truth != Truth::False {
                rules.push(Weighed { rule, truth, certain });
            }
        }
        let mut views: Vec<_> =
            rules.iter().flat_map(|opening| of_rule(who, opening, &rules)).collect();
        for view in &mut views {
            view.certain &= decision.is_some();
        }
        views
    }
}

/// What one rule opens, unless another one closes it.
fn of_rule(who: Who<'_>, opening: &Weighed<'_>, rules: &[Weighed<'_>]) -> Vec<OperationView> {
    let Weighed { rule, truth, certain } = opening;
    let opens = rule.effect != Effect::Deny && matches!(truth, Truth::True | Truth::Unknown);
    let Some(graph) = rule.graph.as_ref().filter(|_| opens) else { return Vec::new() };
    let scopes = who.scopes.union(&rule.scopes);
    let view = |method: &String, path: &Template| {
        let about = |other: &&Weighed<'_>| {
            other.rule.scopes.is_subset(&scopes) && covers(other.rule, method, path)
        };
        let others: Vec<_> = rules.iter().filter(about).collect();
        let is = |effect, truth| {
            others.iter().any(|other| other.rule.effect == effect && other.truth == truth)
        };
        // A condition that fails makes what asks deny.
        if is(Effect::Deny, Truth::True)
            || is(Effect::Deny, Truth::Error)
            || is(Effect::Ask, Truth::Error)
        {
            return None;
        }
        Some(OperationView {
            rule_id: rule.id.clone(),
            method: method.clone(),
            path_template: Arc::clone(path.text()),
            permissions: graph.permissions.clone(),
            needs_scopes: who.scopes.missing(&rule.scopes),
            approval: rule.effect == Effect::Ask || is(Effect::Ask, Truth::True),
            certain: *certain && others.iter().all(|other| other.certain),
        })
    };
    let pairs =
        graph.methods.iter().flat_map(|method| graph.paths.iter().map(move |path| (method, path)));
    pairs.filter_map(|(method, path)| view(method, path)).collect()
}

/// Whether a rule is about every call that has this method and a path of this form.
fn covers(rule: &Rule, method: &str, path: &Template) -> bool {
    let Some(graph) = &rule.graph else { return rule.effect == Effect::Deny };
    let any_query = match graph.query {
        Query::Any => true,
        // At least of every call without options.
        Query::Usual | Query::Only(_) => rule.effect == Effect::Ask,
        Query::Using(_) => false,
    };
    any_query
        && graph.methods.iter().any(|own| own == method)
        && graph.paths.iter().any(|own| own.covers(path))
}
