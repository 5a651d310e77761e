//! What policy answers: the effect, why, and what would change it. Safe to audit as it stands.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::code::Code;
use crate::id::{RuleId, Subject, TenantId};
use crate::scope::{Scope, ScopeToken};

use super::limited::CountedIn;

/// What policy says to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Allow,
    #[default]
    Deny,
    /// A person is asked first.
    Ask,
}

/// Why. Prints as the reason codes of the contract, such as `policy.rule.allow.graph.user.read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule matched; the effect is the rule's.
    Rule(Effect, RuleId),
    /// Scopes alone stand in the way, or a Graph permission lies outside the allowed set.
    ScopeNotPermitted,
    /// The tenant, resource or profile is not one that is configured and allowed.
    ProviderNotPermitted,
    /// The caller asserted to be somebody other than its token says.
    IdentityUntrusted,
    /// No rule allowed it.
    Default,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(Effect::Allow, id) => write!(f, "policy.rule.allow.{id}"),
            Self::Rule(Effect::Deny, id) => write!(f, "policy.rule.deny.{id}"),
            Self::Rule(Effect::Ask, id) => write!(f, "policy.rule.ask.{id}"),
            Self::ScopeNotPermitted => f.write_str("policy.rule.deny.scope.not_permitted"),
            Self::ProviderNotPermitted => f.write_str("policy.rule.deny.provider.not_permitted"),
            Self::IdentityUntrusted => f.write_str("policy.rule.deny.identity.untrusted"),
            Self::Default => f.write_str("policy.rule.deny.default"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One decision. Everything that shows a decision shows this value.
///
/// Holds identifiers and codes only, never the value of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub effect: Effect,
    pub reason: Reason,
    /// The code a caller gets; `None` when allowed.
    pub code: Option<Code>,
    pub matched_rule_id: Option<RuleId>,
    /// The configured label and a digest of the compiled rules.
    pub policy_version: Arc<str>,
    pub requester_id: Option<Subject>,
    pub tenant_id: Option<TenantId>,
    /// Scopes and Graph permissions in the order in which they were looked at.
    pub scopes_evaluated: Vec<ScopeToken>,
    /// The token scopes that alone would turn this refusal into an allow. Empty otherwise.
    pub missing_scopes: Scope,
    /// The log-in that alone would turn this refusal into something better. `None` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginNeeded>,
    /// The rules about this caller and operation in the order in which they were looked at, and what became of each.
    pub evaluated: Vec<Step>,
    /// What an allow or an ask comes with.
    pub obligations: Obligations,
}

/// What a log-in has to be, for a rule that looks at it (RFC 9470 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoginNeeded {
    /// How strong: one of these values of `acr`. Empty: any.
    pub assurance: Vec<String>,
    /// How long ago at most.
    pub max_age_seconds: Option<u32>,
}

impl fmt::Display for LoginNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strong = (!self.assurance.is_empty())
            .then(|| format!("with acr {}", self.assurance.join(" or ")));
        let recent = self.max_age_seconds.map(|most| format!("{most} s ago at most"));
        let parts: Vec<String> = strong.into_iter().chain(recent).collect();
        f.write_str(&parts.join(", "))
    }
}

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub rule_id: RuleId,
    pub effect: Effect,
    pub outcome: Outcome,
}

/// What became of a rule that is about the caller and the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It applies. Whether it decides is for the order of the effects to say.
    Match,
    /// The caller lacks a scope of it.
    LackScope,
    /// Its arguments or its condition do not hold.
    ConditionFalse,
    /// Its condition could not be evaluated: what denies or asks then denies, what allows does not.
    ConditionFailed,
    /// It depends on arguments or on a path that is not said yet.
    Undecided,
    /// The call wants a permission that the rule does not have.
    LackPermission,
}

/// What comes with a decision that is no refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Obligations {
    /// A person approves the call first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Arc<Approval>>,
    /// Values that are credentials, such as download links, are taken out of the answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conceal_links: bool,
    /// The limits that it is counted in, which refuse it when they are used up.
    #[serde(skip_serializing_if = "CountedIn::is_empty")]
    pub limits: CountedIn,
}

/// Who may approve, and for how long that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Groups; empty: the administrators.
    pub approvers: Vec<String>,
    pub valid_for_seconds: u32,
    /// Whether who asks may approve, being an approver.
    pub self_approval: bool,
}

impl Obligations {
    /// Whether it comes with nothing.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.approval.is_none() && !self.conceal_links && self.limits.is_empty()
    }

    /// What the rule asks for, in words; empty where it asks for nothing. The limits are the settings' and not in it.
    #[must_use]
    pub fn of_the_rule(&self) -> String {
        let approval = self.approval.as_deref().map(ToString::to_string);
        let links = self.conceal_links.then(|| "links are taken out".to_owned());
        approval.into_iter().chain(links).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("approval by ")?;
        if self.approvers.is_empty() {
            f.write_str("administrators")?;
        }
        f.write_str(&self.approvers.join(", "))?;
        if self.self_approval {
            f.write_str(", also of their own calls")?;
        }
        write!(f, ", good for {} s", self.valid_for_seconds)
    }
}

impl Decision {
    /// The rules whose condition could not be evaluated.
    pub fn failed_conditions(&self) -> impl Iterator<Item = &RuleId> {
        let failed = |step: &&Step| step.outcome == Outcome::ConditionFailed;
        self.evaluated.iter().filter(failed).map(|step| &step.rule_id)
    }

    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// Whether a tool that was asked about as such is in the caller's list.
    #[must_use]
    pub fn shows_the_tool(&self) -> bool {
        self.effect != Effect::Deny
    }

    /// Whether it makes no difference which of the two is given: to the caller, to who approves, and to what is in the answer.
    #[must_use]
    pub fn does_as(&self, other: &Self) -> bool {
        self.effect == other.effect
            && self.code == other.code
            && self.missing_scopes == other.missing_scopes
            && self.login == other.login
            && self.obligations.approval == other.obligations.approval
            && self.obligations.conceal_links == other.obligations.conceal_links
    }

    /// Whether a client that obtains [`Decision::missing_scopes`] would be allowed (step-up).
    #[must_use]
    pub fn can_step_up(&self) -> bool {
        self.effect == Effect::Deny && !self.missing_scopes.is_empty()
    }

    /// Whether another log-in of the same person would change it (RFC 9470).
    #[must_use]
    pub fn needs_login(&self) -> bool {
        self.effect == Effect::Deny && self.login.is_some()
    }

    /// Whether a client is to be told what to ask its authorization server for.
    #[must_use]
    pub fn is_challenge(&self) -> bool {
        self.can_step_up() || self.needs_login()
    }
}
