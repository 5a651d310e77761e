//! Deciding: default deny; deny beats ask beats allow; policy before scope.

use std::collections::HashMap;
use std::sync::Arc;

use crate::code::Code;
use crate::id::{Permission, TenantId, ToolName};
use crate::scope::{Scope, ScopeToken};

use super::ask::{Ask, GraphAsk, Operation};
use super::compile::Facts;
use super::decision::{Decision, Effect, Reason};
use super::permit::{GraphGrant, Permit};
use super::rule::{GraphRule, Rule};

/// The rules in force, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    pub(super) version: Arc<str>,
    pub(super) facts: Facts,
    pub(super) rules: Vec<Rule>,
    /// For each known tool, the rules whose pattern matches its name, in order.
    pub(super) by_tool: HashMap<String, Vec<usize>>,
    pub(super) may_assert_requester: Vec<String>,
}

/// A decision with what only an allow has.
struct Verdict<'p> {
    decision: Decision,
    rule: Option<&'p Rule>,
}

impl Policy {
    /// The configured label and a digest of the rules: tells one policy from another in the audit log.
    #[must_use]
    pub const fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Decides. Pure: the same question to the same policy has the same answer.
    ///
    /// Does *not* check the token, the time, or limits.
    #[must_use]
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        self.evaluate(ask).decision
    }

    /// Decides about a tool whose arguments policy does not look at.
    ///
    /// # Errors
    ///
    /// The [`Decision`], where it is not an allow.
    pub fn permit_tool(
        &self,
        ask: &Ask<'_>,
        tool: ToolName,
    ) -> Result<Permit<ToolName>, Box<Decision>> {
        let decision = self.evaluate(ask).decision;
        if decision.is_allow() {
            Ok(Permit::new(tool, Arc::new(decision)))
        } else {
            Err(Box::new(decision))
        }
    }

    /// Decides about one Graph operation.
    ///
    /// # Errors
    ///
    /// The [`Decision`], where it is not an allow.
    pub fn permit_graph(&self, ask: &Ask<'_>) -> Result<Permit<GraphGrant>, Box<Decision>> {
        let Verdict { decision, rule } = self.evaluate(ask);
        let granted = match (ask.operation, rule) {
            (Operation::Graph(graph), Some(rule)) if decision.is_allow() => {
                self.grant(rule, &graph)
            }
            _ => None,
        };
        match granted {
            Some(grant) => Ok(Permit::new(grant, Arc::new(decision))),
            None => Err(Box::new(decision)),
        }
    }

    fn evaluate(&self, ask: &Ask<'_>) -> Verdict<'_> {
        if ask.who.subject.is_none() {
            return self.refuse(ask, Reason::IdentityUntrusted, Code::PolicyMissingIdentity);
        }
        if let Operation::Graph(graph) = &ask.operation
            && let Some(reason) = self.out_of_bounds(ask, graph)
        {
            return self.refuse(ask, reason, Code::PolicyDenied);
        }
        let concerned = self.concerned(ask);
        let held = |rule: &&&Rule| rule.scopes.is_subset(ask.who.scopes);
        let first =
            |effect: Effect| concerned.iter().filter(held).find(move |rule| rule.effect == effect);
        if let Some(rule) = first(Effect::Deny) {
            return self.by_rule(ask, rule, Code::PolicyDenied);
        }
        if let Some(rule) = first(Effect::Ask).filter(|rule| self.permissions_fit(rule, ask)) {
            return self.by_rule(ask, rule, Code::PolicyApprovalRequired);
        }
        let mut allowing =
            concerned.iter().filter(held).filter(|rule| rule.effect == Effect::Allow).peekable();
        let any_allows = allowing.peek().is_some();
        if let Some(rule) = allowing.find(|rule| self.permissions_fit(rule, ask)) {
            return self.by_rule(ask, rule, Code::PolicyDenied);
        }
        if let Some(missing) = self.step_up(ask, &concerned) {
            let mut verdict = self.refuse(ask, Reason::ScopeNotPermitted, Code::PolicyDenied);
            verdict.decision.missing_scopes = missing;
            return verdict;
        }
        if any_allows {
            return self.refuse(ask, Reason::ScopeNotPermitted, Code::PolicyInvalidScope);
        }
        self.refuse(ask, Reason::Default, Code::PolicyDenied)
    }

    /// What stands in the way before any rule is looked at.
    fn out_of_bounds(&self, ask: &Ask<'_>, graph: &GraphAsk<'_>) -> Option<Reason> {
        let asserts_another =
            graph.asserted_requester.is_some_and(|other| Some(other) != ask.who.subject);
        let trusted = ask.who.client_id.is_some_and(|client| {
            self.may_assert_requester.iter().any(|trusted| trusted == client.as_str())
        });
        if asserts_another && !trusted {
            return Some(Reason::IdentityUntrusted);
        }
        let resource_known = graph.resource.is_none_or(|resource| {
            self.facts.allowed_resources.iter().any(|allowed| allowed == resource)
        });
        let tenant_known = graph.tenant.is_none_or(|tenant| {
            self.facts.profiles.iter().any(|(_, configured)| configured == tenant)
        });
        (!resource_known || !tenant_known).then_some(Reason::ProviderNotPermitted)
    }

    /// The rules about this caller, tool and operation, in their order.
    fn concerned<'p>(&'p self, ask: &Ask<'_>) -> Vec<&'p Rule> {
        let concerns =
            |rule: &&Rule| rule.concerns(&ask.who, &ask.operation) && self.tenant_fits(rule, ask);
        match self.by_tool.get(ask.tool) {
            Some(known) => {
                known.iter().filter_map(|index| self.rules.get(*index)).filter(concerns).collect()
            }
            None => self
                .rules
                .iter()
                .filter(|rule| rule.tools.is_match(ask.tool))
                .filter(concerns)
                .collect(),
        }
    }

    /// Whether the rule's credential acts in the tenant that the call names.
    fn tenant_fits(&self, rule: &Rule, ask: &Ask<'_>) -> bool {
        match (&rule.graph, &ask.operation) {
            (Some(graph), Operation::Graph(GraphAsk { tenant: Some(tenant), .. })) => {
                self.tenant_of(graph) == Some(*tenant)
            }
            _ => true,
        }
    }

    fn tenant_of(&self, graph: &GraphRule) -> Option<&TenantId> {
        self.facts
            .profiles
            .iter()
            .find(|(name, _)| *name == graph.profile)
            .map(|(_, tenant)| tenant)
    }

    /// Whether the permissions the call needs are among the rule's and those that are allowed at all.
    fn permissions_fit(&self, rule: &Rule, ask: &Ask<'_>) -> bool {
        let (Some(graph), Operation::Graph(wanted)) = (&rule.graph, &ask.operation) else {
            return true;
        };
        needed(graph, wanted).iter().all(|permission| {
            graph.permissions.contains(permission)
                && self
                    .facts
                    .allowed_permissions
                    .as_ref()
                    .is_none_or(|allowed| allowed.contains(permission))
        })
    }

    /// The fewest scopes that would turn the refusal into an allow or an ask, if scopes alone stand in the way.
    fn step_up(&self, ask: &Ask<'_>, concerned: &[&Rule]) -> Option<Scope> {
        let denied_with = |scopes: &Scope| {
            let held = ask.who.scopes.union(scopes);
            concerned.iter().any(|rule| rule.effect == Effect::Deny && rule.scopes.is_subset(&held))
        };
        concerned
            .iter()
            .filter(|rule| rule.effect != Effect::Deny && self.permissions_fit(rule, ask))
            .map(|rule| ask.who.scopes.missing(&rule.scopes))
            .filter(|missing| !missing.is_empty() && !denied_with(missing))
            .min_by_key(Scope::len)
    }

    fn grant(&self, rule: &Rule, ask: &GraphAsk<'_>) -> Option<GraphGrant> {
        let graph = rule.graph.as_ref()?;
        Some(GraphGrant {
            profile: graph.profile.clone(),
            tenant: self.tenant_of(graph)?.clone(),
            resource: ask.resource.unwrap_or(&self.facts.resource).into(),
            permissions: needed(graph, ask).to_vec(),
            path_template: Arc::clone(graph.path(ask)?.text()),
            reveal_links: graph.reveal_links,
        })
    }

    fn by_rule<'p>(&'p self, ask: &Ask<'_>, rule: &'p Rule, refusal: Code) -> Verdict<'p> {
        let mut decision = self.blank(ask, rule.effect, Reason::Rule(rule.effect, rule.id.clone()));
        decision.code = (rule.effect != Effect::Allow).then_some(refusal);
        decision.matched_rule_id = Some(rule.id.clone());
        decision.scopes_evaluated = match (&rule.graph, &ask.operation) {
            (Some(graph), Operation::Graph(wanted)) => scope_tokens(needed(graph, wanted)),
            _ => rule.scopes.iter().cloned().collect(),
        };
        if let (Some(graph), Operation::Graph(_)) = (&rule.graph, &ask.operation) {
            decision.tenant_id = self.tenant_of(graph).cloned();
        }
        Verdict { decision, rule: Some(rule) }
    }

    fn refuse(&self, ask: &Ask<'_>, reason: Reason, code: Code) -> Verdict<'_> {
        let mut decision = self.blank(ask, Effect::Deny, reason);
        decision.code = Some(code);
        if let Operation::Graph(graph) = &ask.operation {
            decision.scopes_evaluated = scope_tokens(graph.permissions);
        }
        Verdict { decision, rule: None }
    }

    fn blank(&self, ask: &Ask<'_>, effect: Effect, reason: Reason) -> Decision {
        let tenant = match ask.operation {
            Operation::Graph(graph) => graph.tenant.or_else(|| self.sole_tenant()),
            Operation::Plain | Operation::AnyGraph => None,
        };
        Decision {
            effect,
            reason,
            code: None,
            matched_rule_id: None,
            policy_version: Arc::clone(&self.version),
            requester_id: ask.who.subject.cloned(),
            tenant_id: tenant.cloned(),
            scopes_evaluated: Vec::new(),
            missing_scopes: Scope::empty(),
        }
    }

    /// The tenant a call means when it names none; `None` where several are configured.
    #[must_use]
    pub fn sole_tenant(&self) -> Option<&TenantId> {
        let mut tenants = self.facts.profiles.iter().map(|(_, tenant)| tenant);
        let first = tenants.next()?;
        tenants.all(|tenant| tenant == first).then_some(first)
    }
}

/// What the call says it needs, else what the rule lists.
fn needed<'a>(graph: &'a GraphRule, ask: &GraphAsk<'a>) -> &'a [Permission] {
    if ask.permissions.is_empty() { &graph.permissions } else { ask.permissions }
}

fn scope_tokens(permissions: &[Permission]) -> Vec<ScopeToken> {
    permissions.iter().filter_map(|permission| permission.as_str().parse().ok()).collect()
}
