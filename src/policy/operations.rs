//! What a caller may execute on Graph now, or could after a step-up: the same rules, listed.

use std::sync::Arc;

use crate::id::{Permission, RuleId};
use crate::scope::Scope;

use super::ask::{Arguments, Ask, Moment, Operation, Who};
use super::condition::{Known, Truth};
use super::decide::Policy;
use super::decision::Effect;
use super::judge::Nobody;
use super::rule::{GraphRule, Rule};

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
}

impl Policy {
    /// The operations `who` may execute with `tool`, in the order of the rules.
    ///
    /// An operation that a rule forbids is left out if that rule names the same path template and depends
    /// on nothing else; deny rules with narrower paths or conditions show when the call is decided.
    #[must_use]
    pub fn operations(&self, who: Who<'_>, tool: &str, now: Moment) -> Vec<OperationView> {
        let operation = Operation::AnyGraph;
        let ask = Ask { who, tool, operation, arguments: Arguments::Unknown, now };
        let decision = self.decide(&ask);
        if decision.effect == Effect::Deny && !decision.can_step_up() {
            return Vec::new();
        }
        let known = Known::new(&ask, self.writes(tool));
        let truth = |rule: &Rule| {
            let concerned = rule.is_for(&who, now);
            Truth::all([concerned, rule.holds(&known, &operation, &mut Nobody)].into_iter())
        };
        let about = || self.rules.iter().filter(|rule| rule.tools.is_match(tool));
        let denying: Vec<&GraphRule> = about()
            .filter(|rule| rule.effect == Effect::Deny && rule.scopes.is_subset(who.scopes))
            .filter(|rule| matches!(truth(rule), Truth::True | Truth::Error))
            .filter_map(|rule| rule.graph.as_ref())
            .filter(|graph| graph.query_is_any())
            .collect();
        about()
            .filter(|rule| rule.effect != Effect::Deny && rule.graph.is_some())
            .filter(|rule| matches!(truth(rule), Truth::True | Truth::Unknown))
            .filter_map(|rule| rule.graph.as_ref().map(|graph| (rule, graph)))
            .flat_map(|(rule, graph)| of_rule(who, rule, graph, &denying))
            .collect()
    }
}

fn of_rule(
    who: Who<'_>,
    rule: &Rule,
    graph: &GraphRule,
    denying: &[&GraphRule],
) -> Vec<OperationView> {
    let pairs =
        graph.methods.iter().flat_map(|method| graph.paths.iter().map(move |path| (method, path)));
    pairs
        .filter(|(method, path)| !denying.iter().any(|denying| names(denying, method, path.text())))
        .map(|(method, path)| OperationView {
            rule_id: rule.id.clone(),
            method: method.clone(),
            path_template: Arc::clone(path.text()),
            permissions: graph.permissions.clone(),
            needs_scopes: who.scopes.missing(&rule.scopes),
            approval: rule.effect == Effect::Ask,
        })
        .collect()
}

/// Whether a rule is about this very template.
fn names(rule: &GraphRule, method: &str, path: &str) -> bool {
    rule.methods.iter().any(|denied| denied == method)
        && rule.paths.iter().any(|denied| &**denied.text() == path)
}
