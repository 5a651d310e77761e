//! Proof that policy allowed one operation. Only this module's parent can make one.

use std::sync::Arc;

use crate::id::{Permission, ProfileName, RuleId, TenantId};

use super::decision::{Decision, Effect};

/// Policy allowed `Op` for the caller it was decided for.
///
/// What it guards (secrets, provider tokens) takes it by reference, so a step cannot be skipped.
#[derive(Clone, Debug)]
pub struct Permit<Op> {
    operation: Op,
    decision: Arc<Decision>,
}

impl<Op> Permit<Op> {
    /// The caller of this has just seen `decision` come out as an allow.
    pub(super) const fn new(operation: Op, decision: Arc<Decision>) -> Self {
        Self { operation, decision }
    }

    pub const fn operation(&self) -> &Op {
        &self.operation
    }

    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// A permit without a decision that matters, for unit tests of parts that may not know decisions.
    #[cfg(test)]
    pub(crate) fn allowed_for_test(operation: Op) -> Self {
        let decision = Decision {
            effect: super::decision::Effect::Allow,
            reason: super::decision::Reason::Default,
            code: None,
            matched_rule_id: None,
            policy_version: "test".into(),
            requester_id: None,
            tenant_id: None,
            scopes_evaluated: Vec::new(),
            missing_scopes: crate::scope::Scope::empty(),
            login: None,
            evaluated: Vec::new(),
            obligations: super::decision::Obligations::default(),
        };
        Self::for_test(operation, decision)
    }

    /// A permit without a policy, for unit tests of what a permit guards.
    #[cfg(test)]
    pub(crate) fn for_test(operation: Op, decision: Decision) -> Self {
        Self::new(operation, Arc::new(decision))
    }
}

/// A person approved what a rule asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub rule: RuleId,
    pub policy_version: Arc<str>,
}

impl Approved {
    /// Whether the decision is the question that was answered.
    #[must_use]
    pub fn fits(&self, decision: &Decision) -> bool {
        decision.effect == Effect::Ask
            && decision.matched_rule_id.as_ref() == Some(&self.rule)
            && decision.policy_version == self.policy_version
    }
}

/// What a Graph rule grants: which credential acts, where, with which permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphGrant {
    /// `graph.profile.name`
    pub profile: ProfileName,
    pub tenant: TenantId,
    /// The origin of the Graph resource, such as `https://graph.microsoft.com`.
    pub resource: Arc<str>,
    /// What the call needs: what it asked for, else what the rule lists.
    pub permissions: Vec<Permission>,
    /// The path with the rule's placeholders, such as `/v1.0/users/{id}`: safe to audit.
    pub path_template: Arc<str>,
    /// Whether the rule lets this client have values that are credentials (`downloadUrl` and the like).
    pub reveal_links: bool,
}
