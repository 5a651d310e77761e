//! Events made of decisions, and which of them is the last of its request.

use std::sync::Arc;

use crate::id::ToolName;
use crate::policy::{Decision, Difference, Recorded};

use super::event::AuditEvent;

impl AuditEvent {
    /// The `policy.decided` event of a decision.
    #[must_use]
    pub fn decided(decision: &Decision, question: Box<Recorded>) -> Self {
        Self::PolicyDecide {
            decision: decision.effect,
            reason: decision.reason.clone(),
            policy_version: Arc::clone(&decision.policy_version),
            matched_rule_id: decision.matched_rule_id.clone(),
            tenant_id: decision.tenant_id.clone(),
            scopes_evaluated: decision.scopes_evaluated.clone(),
            evaluated: decision.evaluated.clone(),
            obligations: decision.obligations.clone(),
            question,
        }
    }

    /// The `policy.condition.failed` event of a decision. `None`: none failed.
    #[must_use]
    pub fn conditions_failed(tool_name: ToolName, decision: &Decision) -> Option<Self> {
        let rule_ids: Vec<_> = decision.failed_conditions().cloned().collect();
        let policy_version = Arc::clone(&decision.policy_version);
        (!rule_ids.is_empty()).then_some(Self::ConditionFail {
            tool_name,
            rule_ids,
            policy_version,
        })
    }

    /// The `policy.shadow.differed` event of a decision and what the shadow policy says instead.
    #[must_use]
    pub fn differed(tool_name: ToolName, decision: &Decision, difference: Difference) -> Self {
        Self::ShadowDiffer {
            tool_name,
            decision: decision.effect,
            reason: decision.reason.clone(),
            policy_version: Arc::clone(&decision.policy_version),
            shadow_decision: difference.effect,
            shadow_reason: difference.reason,
            shadow_missing_scopes: difference.missing_scopes,
            login: decision.login.clone(),
            shadow_login: difference.login,
            obligations: decision.obligations.clone(),
            shadow_obligations: difference.obligations,
            shadow_policy_version: difference.policy_version,
        }
    }

    /// Whether this is the last event of its request.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::ResultEmit { .. }
            | Self::TokenReject { .. }
            | Self::ScopeInsufficient { .. }
            | Self::LoginInsufficient { .. }
            | Self::ToolsList { .. }
            | Self::AdminTokenMint { .. }
            | Self::LoginSucceed { .. }
            | Self::LoginFail { .. }
            | Self::LoginContinue { .. }
            | Self::SecondFactorSet { .. }
            | Self::SecondFactorRemove { .. }
            | Self::RecoveryCodesReplace { .. }
            | Self::PasskeyAdd { .. }
            | Self::PasskeyRemove { .. }
            | Self::LogOut { .. }
            | Self::LogOutElsewhere { .. }
            | Self::LogoutRefuse { .. }
            | Self::PasswordSet { .. }
            | Self::ConsentWithdraw { .. }
            | Self::AccountConnect { .. }
            | Self::AccountEnd { .. }
            | Self::TokenIssue { .. }
            | Self::TokenRefresh { .. }
            | Self::TokenRefuse { .. }
            | Self::AuthorizeRefuse { .. }
            | Self::TokenReuse { .. }
            | Self::TokenRevoke { .. }
            | Self::TokenIntrospect { .. }
            | Self::ApprovalAnswer { .. }
            | Self::AdminRequestEnd { .. }
            | Self::UserinfoAsk { .. }
            | Self::ClientRegister { .. }
            | Self::ClientReplace { .. }
            | Self::ClientEnd { .. }
            | Self::ClientRefuse { .. }
            | Self::AuthorizationStart { .. }
            | Self::AuthorizationGrant { .. }
            | Self::AuthorizationDeny { .. }
            | Self::AdminChangeEnd { .. } => true,
            Self::RequestReceive { .. }
            | Self::PolicyDecide { .. }
            | Self::ShadowDiffer { .. }
            | Self::ConditionFail { .. }
            | Self::ProviderCall { .. }
            | Self::TokenAccept { .. }
            | Self::ToolFlawed { .. }
            | Self::ApprovalRequest { .. }
            | Self::ApprovalUse { .. }
            | Self::ApprovalRefuse { .. }
            | Self::ApprovalNotify { .. }
            | Self::LogoutNotify { .. }
            | Self::ConfigReload { .. }
            | Self::KeyRotate { .. }
            | Self::AdminChangeBegin { .. }
            | Self::RefusalsHoldBack { .. }
            | Self::LogRecover { .. } => false,
        }
    }
}
