//! Deciding: default deny; deny beats ask beats allow; policy before scope.

use std::sync::Arc;

use crate::code::Code;
use crate::id::{Permission, RuleId, TenantId};
use crate::scope::{Scope, ScopeToken};

use super::ask::{Ask, GraphAsk, Operation};
use super::beside::{About, beside};
use super::compile::Facts;
use super::condition::{Known, Truth};
use super::decision::{Decision, Effect, Obligations, Reason};
use super::index::Index;
use super::judge::{Nobody, Seen, Witness};
use super::limited::Limited;
use super::login::Needed;
use super::names::{Names, is_told};
use super::order::{Order, order, step_up};
use super::rule::{GraphRule, Rule};

/// The rules in force, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    pub(super) version: Arc<str>,
    pub(super) facts: Facts,
    pub(super) rules: Vec<Rule>,
    pub(super) index: Index,
    pub(super) looks_at_time: bool,
    /// Whether any rule asks for a strong or a recent log-in.
    pub(super) looks_at_login: bool,
    /// Client and issuer.
    pub(super) may_assert_requester: Vec<(String, String)>,
    pub(super) names: Names,
    pub(super) limited: Limited,
}

/// A decision with what only an allow has.
pub(super) struct Verdict<'p> {
    pub(super) decision: Decision,
    pub(super) rule: Option<&'p Rule>,
}

impl Policy {
    /// The configured label and a digest of the rules: tells one policy from another in the audit log.
    #[must_use]
    pub const fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The groups, roles and claims that its rules look for.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The rules, in their order.
    pub fn rule_ids(&self) -> impl Iterator<Item = &RuleId> {
        self.rules.iter().map(|rule| &rule.id)
    }

    /// Every tool that is configured or that a rule names outright.
    pub fn known_tools(&self) -> impl Iterator<Item = String> {
        let named = self.rules.iter().filter_map(|rule| rule.tools.names()).flatten();
        let named = named.map(ToString::to_string);
        self.facts.tools.iter().cloned().chain(named)
    }

    /// Every part of every condition, as CEL reads it, with its rule.
    pub fn conditions(&self) -> impl Iterator<Item = (&RuleId, &Arc<str>)> {
        let conditions = self.rules.iter().filter_map(|rule| Some((&rule.id, rule.when.as_ref()?)));
        conditions.flat_map(|(id, when)| when.part_texts().map(move |text| (id, text)))
    }

    /// Decides. Pure: the same question to the same policy has the same answer.
    ///
    /// Does *not* check the token, the time, or limits.
    #[must_use]
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        self.evaluate(ask).decision
    }

    /// Whether a rule looks at the arguments of this tool. One that is not configured counts as looked at.
    #[must_use]
    pub fn looks_at_arguments(&self, tool: &str) -> bool {
        self.index.of_tool(tool).is_none_or(|tool| tool.looks_at_arguments)
    }

    /// Whether a rule that is no `deny` is about this tool, whoever calls: without one nobody may use it.
    #[must_use]
    pub fn may_open(&self, tool: &str) -> bool {
        self.rules.iter().any(|rule| rule.effect != Effect::Deny && rule.tools.is_match(tool))
    }

    /// Whether one may be about names that begin so. A pattern whose names nobody knows counts as one that is.
    #[must_use]
    pub fn may_open_below(&self, prefix: &str) -> bool {
        self.rules.iter().any(|rule| rule.effect != Effect::Deny && rule.tools.may_begin(prefix))
    }

    /// Whether any rule looks at the time; if none does, [`Ask::now`] may be anything.
    #[must_use]
    pub const fn looks_at_time(&self) -> bool {
        self.looks_at_time
    }

    pub(super) fn evaluate(&self, ask: &Ask<'_>) -> Verdict<'_> {
        self.evaluate_before(ask, &mut Nobody)
    }

    /// The same, while somebody looks on.
    pub(super) fn evaluate_before<W: Witness>(
        &self,
        ask: &Ask<'_>,
        witness: &mut W,
    ) -> Verdict<'_> {
        if let Some((reason, code)) = self.out_of_question(ask) {
            return self.refuse(ask, reason, code);
        }
        let seen = self.look(ask, witness);
        let mut verdict = self.weigh(ask, &seen);
        let registered = beside(&ask.operation).and_then(|beside| beside.step(ask.who.scopes));
        verdict.decision.evaluated = seen.iter().map(Seen::step).chain(registered).collect();
        let open = verdict.rule.is_none() && verdict.decision.missing_scopes.is_empty();
        if open
            && !is_about_a_server(&ask.operation)
            && let Needed::Login(login) = self.login_needed(ask, &|_| true)
        {
            verdict.decision.login = Some(login);
        }
        verdict
    }

    /// Decides a question of which not everything is known. `None`: what is not known could change the answer.
    pub(super) fn decide_surely(&self, ask: &Ask<'_>) -> Option<Decision> {
        self.decide_unless(ask, &|_| true)
    }

    /// Decides about a tool as such, of a caller of whom not everything is known. What only a call would say leaves it
    /// open, as in a list. `None`: what is not known of the caller could change the answer.
    #[must_use]
    pub fn lists_surely(&self, ask: &Ask<'_>) -> Option<Decision> {
        self.decide_unless(ask, &|rule| !is_told(rule, &ask.who))
    }

    /// `None`: a rule that is not known to hold, and is `doubtful`, could change the answer.
    fn decide_unless(&self, ask: &Ask<'_>, doubtful: &dyn Fn(&Rule) -> bool) -> Option<Decision> {
        if let Some((reason, code)) = self.out_of_question(ask) {
            return Some(self.refuse(ask, reason, code).decision);
        }
        let verdict = self.weigh_unless(ask, doubtful)?;
        let open = verdict.rule.is_none() && verdict.decision.missing_scopes.is_empty();
        let mut decision = verdict.decision;
        if open && !is_about_a_server(&ask.operation) {
            match self.login_needed(ask, doubtful) {
                Needed::Login(login) => decision.login = Some(login),
                Needed::None => {}
                Needed::NotTold => return None,
            }
        }
        Some(decision)
    }

    /// The same by the rules alone: which log-in would help is not looked at.
    pub(super) fn weigh_unless<'p>(
        &'p self,
        ask: &Ask<'_>,
        doubtful: &dyn Fn(&Rule) -> bool,
    ) -> Option<Verdict<'p>> {
        let mut seen = self.look(ask, &mut Nobody);
        let mut unsure = Vec::new();
        // What is not asked yet of a server as such weighs as it did; only what is not known of the caller is in doubt.
        let as_such = is_about_a_server(&ask.operation);
        let doubtful =
            |rule: &Rule| if as_such { !is_told(rule, &ask.who) } else { doubtful(rule) };
        let open = |seen: &&mut Seen<'_>| seen.truth == Truth::Unknown && doubtful(seen.rule);
        for seen in seen.iter_mut().filter(open) {
            // The worst it may come to: a question whose condition fails denies.
            let asks = seen.rule.effect == Effect::Ask && !seen.in_part;
            seen.truth = if asks { Truth::Error } else { Truth::True };
            unsure.push(&seen.rule.id);
        }
        // A rule that decides even then, and is sure to hold, outranks each of them, whatever they come to.
        let verdict = self.weigh(ask, &seen);
        let sure = match verdict.rule {
            Some(rule) => !unsure.contains(&&rule.id),
            None => unsure.is_empty(),
        };
        sure.then_some(verdict)
    }

    /// Why no rule is looked at.
    fn out_of_question(&self, ask: &Ask<'_>) -> Option<(Reason, Code)> {
        if ask.who.subject.is_none() {
            return Some((Reason::IdentityUntrusted, Code::PolicyMissingIdentity));
        }
        match &ask.operation {
            Operation::Graph(graph) => {
                self.out_of_bounds(ask, graph).map(|reason| (reason, Code::PolicyDenied))
            }
            Operation::Plain | Operation::AnyGraph | Operation::Beside(_) => None,
        }
    }

    /// The rules about this caller, tool and operation, in their order.
    pub(super) fn look<'p, W: Witness>(&'p self, ask: &Ask<'_>, witness: &mut W) -> Vec<Seen<'p>> {
        let mut numbers = Vec::new();
        if W::SEES_ALL || is_about_a_server(&ask.operation) {
            numbers = self.about(ask);
        } else {
            self.index.candidates(&self.rules, ask.tool, &ask.who, &ask.operation, &mut numbers);
        }
        let known = Known::new(ask, self.writes(ask.tool));
        let rules = numbers
            .into_iter()
            .filter_map(|number| self.judge(self.rule(number)?, ask, &known, witness));
        rules.collect()
    }

    /// The numbers of the rules that name what is asked about, whoever asks.
    pub(super) fn about(&self, ask: &Ask<'_>) -> Vec<u32> {
        match beside(&ask.operation) {
            Some(beside) if beside.about != About::Thing => self.before(&beside),
            _ => self.index.of_name(&self.rules, ask.tool),
        }
    }

    pub(super) fn rule(&self, number: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(number).ok()?)
    }

    /// Whether a tool is not known to only read.
    pub(super) fn writes(&self, tool: &str) -> bool {
        !self.facts.reading_tools.iter().any(|reading| reading == tool)
    }

    pub(super) fn weigh<'p>(&'p self, ask: &Ask<'_>, seen: &[Seen<'p>]) -> Verdict<'p> {
        match beside(&ask.operation) {
            Some(beside) if beside.about == About::Thing => {
                self.with_server(ask, &beside, (seen, self.weigh_rules(ask, seen)))
            }
            Some(beside) => self.weigh_server(ask, &beside, seen),
            None => self.weigh_rules(ask, seen),
        }
    }

    fn weigh_rules<'p>(&'p self, ask: &Ask<'_>, seen: &[Seen<'p>]) -> Verdict<'p> {
        match order(seen, |seen| seen.held) {
            Order::Deny(rule) => self.by_rule(ask, rule, Effect::Deny),
            Order::Ask(rule) => self.by_rule(ask, rule, Effect::Ask),
            Order::Allow(rule) => self.by_rule(ask, rule, Effect::Allow),
            order @ (Order::AskOtherwise | Order::AllowOtherwise | Order::Nothing) => {
                match (step_up(ask.who.scopes, seen), order) {
                    (Some(missing), _) => {
                        let (reason, code) = (Reason::ScopeNotPermitted, Code::PolicyDenied);
                        let mut verdict = self.refuse(ask, reason, code);
                        verdict.decision.missing_scopes = missing;
                        verdict
                    }
                    (None, Order::AskOtherwise | Order::AllowOtherwise) => {
                        self.refuse(ask, Reason::ScopeNotPermitted, Code::PolicyInvalidScope)
                    }
                    (None, _) => self.refuse(ask, Reason::Default, Code::PolicyDenied),
                }
            }
        }
    }

    /// What stands in the way before any rule is looked at.
    fn out_of_bounds(&self, ask: &Ask<'_>, graph: &GraphAsk<'_>) -> Option<Reason> {
        let asserts_another =
            graph.asserted_requester.is_some_and(|other| Some(other) != ask.who.subject);
        let trusted = ask.who.client_id.is_some_and(|client| {
            let caller = (client.as_str(), ask.who.issuer.as_str());
            self.may_assert_requester.iter().any(|(client, issuer)| caller == (client, issuer))
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

    /// Whether the rule's credential acts in the tenant that the call names.
    pub(super) fn tenant_fits(&self, rule: &Rule, ask: &Ask<'_>) -> bool {
        match (&rule.graph, &ask.operation) {
            (Some(graph), Operation::Graph(GraphAsk { tenant: Some(tenant), .. })) => {
                self.tenant_of(graph) == Some(*tenant)
            }
            _ => true,
        }
    }

    pub(super) fn tenant_of(&self, graph: &GraphRule) -> Option<&TenantId> {
        self.facts
            .profiles
            .iter()
            .find(|(name, _)| *name == graph.profile)
            .map(|(_, tenant)| tenant)
    }

    /// Whether the permissions the call needs are among the rule's and those that are allowed at all.
    pub(super) fn permissions_fit(&self, rule: &Rule, ask: &Ask<'_>) -> bool {
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

    /// `effect` is the rule's, or a deny where its condition failed.
    pub(super) fn by_rule<'p>(
        &'p self,
        ask: &Ask<'_>,
        rule: &'p Rule,
        effect: Effect,
    ) -> Verdict<'p> {
        let mut decision = self.blank(ask, effect, Reason::Rule(effect, rule.id.clone()));
        decision.code = match effect {
            Effect::Allow => None,
            Effect::Ask => Some(Code::PolicyApprovalRequired),
            Effect::Deny => Some(Code::PolicyDenied),
        };
        decision.matched_rule_id = Some(rule.id.clone());
        decision.scopes_evaluated = match (&rule.graph, &ask.operation) {
            (Some(graph), Operation::Graph(wanted)) => scope_tokens(needed(graph, wanted)),
            _ => rule.scopes.iter().cloned().collect(),
        };
        if let (Some(graph), Operation::Graph(_)) = (&rule.graph, &ask.operation) {
            decision.tenant_id = self.tenant_of(graph).cloned();
        }
        if effect != Effect::Deny {
            let limits = self.limited.of(ask.tool, decision.tenant_id.is_some());
            decision.obligations = Obligations { limits, ..rule.obligations.clone() };
        }
        Verdict { decision, rule: Some(rule) }
    }

    pub(super) fn refuse(&self, ask: &Ask<'_>, reason: Reason, code: Code) -> Verdict<'_> {
        let mut decision = self.blank(ask, Effect::Deny, reason);
        decision.code = Some(code);
        if let Operation::Graph(graph) = &ask.operation {
            decision.scopes_evaluated = scope_tokens(graph.permissions);
        }
        Verdict { decision, rule: None }
    }

    pub(super) fn blank(&self, ask: &Ask<'_>, effect: Effect, reason: Reason) -> Decision {
        let tenant = match ask.operation {
            Operation::Graph(graph) => graph.tenant.or_else(|| self.sole_tenant()),
            Operation::Plain | Operation::AnyGraph | Operation::Beside(_) => None,
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
            login: None,
            evaluated: Vec::new(),
            obligations: Obligations::default(),
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

fn is_about_a_server(operation: &Operation<'_>) -> bool {
    beside(operation).is_some_and(|beside| beside.about != About::Thing)
}

/// What the call says it needs, else what the rule lists.
pub(super) fn needed<'a>(graph: &'a GraphRule, ask: &GraphAsk<'a>) -> &'a [Permission] {
    if ask.permissions.is_empty() { &graph.permissions } else { ask.permissions }
}

fn scope_tokens(permissions: &[Permission]) -> Vec<ScopeToken> {
    permissions.iter().filter_map(|permission| permission.as_str().parse().ok()).collect()
}
