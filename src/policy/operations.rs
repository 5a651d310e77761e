//! What a caller may execute on Graph now, or could after a step-up: the same rules, listed.

use std::sync::Arc;

use crate::id::{Permission, RuleId};
use crate::scope::Scope;

use super::ask::{Ask, Operation, Who};
use super::decide::Policy;
use super::decision::Effect;
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
    /// An operation that a rule forbids is left out if that rule names the same path template, or no
    /// paths at all; deny rules with narrower paths show when the call is decided.
    #[must_use]
    pub fn operations(&self, who: Who<'_>, tool: &str) -> Vec<OperationView> {
        let concerns =
            |rule: &&Rule| rule.tools.is_match(tool) && rule.concerns(&who, &Operation::AnyGraph);
        let denied_outright = {
            let decision = self.decide(&Ask { who, tool, operation: Operation::AnyGraph });
            decision.effect == Effect::Deny && !decision.can_step_up()
        };
        if denied_outright {
            return Vec::new();
        }
        let opening = self.rules.iter().filter(concerns).filter(|rule| rule.effect != Effect::Deny);
        opening
            .filter_map(|rule| rule.graph.as_ref().map(|graph| (rule, graph)))
            .flat_map(|(rule, graph)| self.of_rule(who, tool, rule, graph))
            .collect()
    }

    fn of_rule(
        &self,
        who: Who<'_>,
        tool: &str,
        rule: &Rule,
        graph: &GraphRule,
    ) -> Vec<OperationView> {
        let pairs = graph
            .methods
            .iter()
            .flat_map(|method| graph.paths.iter().map(move |path| (method, path)));
        pairs
            .filter(|(method, path)| !self.forbidden(who, tool, method, path.text()))
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

    fn forbidden(&self, who: Who<'_>, tool: &str, method: &str, path: &str) -> bool {
        self.rules.iter().any(|rule| {
            rule.effect == Effect::Deny
                && rule.tools.is_match(tool)
                && rule.scopes.is_subset(who.scopes)
                && rule.is_for(&who)
                && rule.graph.as_ref().is_some_and(|graph| {
                    graph.methods.iter().any(|denied| denied == method)
                        && graph.paths.iter().any(|denied| &**denied.text() == path)
                        && graph.query_is_any()
                })
        })
    }
}
