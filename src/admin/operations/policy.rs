//! The rules in force: which they are, and reading their files again.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::error::AdminError;
use crate::audit::{AdminAction, AdminObject, AuditError, Context};
use crate::policy::Effect;

use super::{Actor, Operations};

/// What decides now.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PolicyView {
    /// Label and digest, as in every decision of the audit log.
    pub policy_version: String,
    /// Absent where there are no shadow rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_policy_version: Option<String>,
    /// How often the shadow rules would have decided otherwise, since these two are in force together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_differences: Option<u64>,
    /// The same by kind, the most frequent first, at most 200. Who asked is in the audit log (`policy.shadow.differed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_kinds: Option<Vec<ShadowDifference>>,
    /// Why the files as they are now are not in force. Absent while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Calls that the shadow rules would have decided otherwise, in the same way.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ShadowDifference {
    pub tool: String,
    /// `allow`, `deny` or `ask`
    #[schemars(with = "String")]
    pub decision: Effect,
    pub reason: String,
    #[schemars(with = "String")]
    pub shadow_decision: Effect,
    pub shadow_reason: String,
    /// The scopes that a challenge of the shadow rules would name; empty: none.
    pub shadow_missing_scopes: String,
    /// What comes with the decision, such as who approves, where the shadow rules ask for something else; empty: the same.
    pub obligations: String,
    pub shadow_obligations: String,
    pub count: u64,
    pub last_at: String,
}

/// Why the rules in force stayed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadFault {
    /// Every fault of the files, with line and column.
    #[error("{0}")]
    Policy(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the audit log cannot be written")]
    Audit(#[source] AuditError),
}

/// A seam, because the rules are made of settings, which only `app` knows.
#[async_trait]
pub trait PolicyControl: Send + Sync + fmt::Debug {
    fn view(&self) -> PolicyView;

    /// Reads the files again and puts what they hold in force, whole or not at all; recorded in the name of `context`.
    ///
    /// # Errors
    ///
    /// [`ReloadFault`]: what was in force stays.
    async fn reload(&self, context: &Context) -> Result<PolicyView, ReloadFault>;
}

impl Operations {
    /// # Errors
    ///
    /// [`AdminError::NotFound`] where no broker serves.
    pub fn policy(&self) -> Result<PolicyView, AdminError> {
        Ok(self.serving()?.policy.view())
    }

    /// # Errors
    ///
    /// [`AdminError::Policy`] with every fault of the files: the rules in force stay. [`AdminError::Audit`]
    pub async fn reload_policy(&self, actor: &Actor) -> Result<PolicyView, AdminError> {
        let control = &self.serving()?.policy;
        let reloading = async {
            control.reload(&actor.context).await.map_err(|fault| match fault {
                ReloadFault::Policy(faults) => AdminError::Policy(faults),
                ReloadFault::Audit(error) => AdminError::Audit(error),
            })
        };
        self.change(actor, (AdminObject::Policy, AdminAction::Reload, "policy"), reloading).await
    }
}
