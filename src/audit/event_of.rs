//! Events made of decisions, and which of them is the last of its request.

use std::sync::Arc;

use crate::id::ToolName;
use crate::policy::{Decision, Difference, Effect, Recorded};

use super::envelope::Context;
use super::event::AuditEvent;
use super::vocabulary::{AdminOutcome, ApprovalOutcome, GrantType, Outcome, ResultStatus, Sent};

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

    /// Whether who stands in the context has shown that it is them: at an OAuth endpoint a public client only names itself, and
    /// who is named in a log-in that failed may be anybody but the one who tried.
    #[must_use]
    pub fn is_of_proven(&self, context: &Context) -> bool {
        match self {
            Self::LoginFail { .. } | Self::LogoutRefuse { .. } => false,
            Self::TokenRefuse { grant_type, sent, .. } => {
                context.client_id.is_some() && proves_a_client(*grant_type, sent)
            }
            // At /consent it is a person who is known.
            Self::AuthorizeRefuse { sent, .. } => {
                let proven = context.client_id.is_some() && proves_a_client(None, sent);
                proven || context.requester_id.is_some()
            }
            _ => context.requester_id.is_some() || context.client_id.is_some(),
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
            | Self::PasskeySet { .. }
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
            | Self::DisownElsewhere { .. }
            | Self::ConfigReload { .. }
            | Self::KeyRotate { .. }
            | Self::AdminChangeBegin { .. }
            | Self::RefusalsHoldBack { .. }
            | Self::LogRecover { .. } => false,
        }
    }

    /// Whether it says that somebody did not get what they asked for: somebody may come and ask why.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::PolicyDecide { decision, .. } => *decision != Effect::Allow,
            Self::ProviderCall { outcome, .. } => *outcome != Outcome::Success,
            Self::ResultEmit { status, .. } => *status != ResultStatus::Ok,
            Self::AdminRequestEnd { status, .. } => *status >= 400,
            Self::UserinfoAsk { error, .. } => error.is_some(),
            Self::AdminChangeEnd { outcome, .. } => *outcome != AdminOutcome::Done,
            Self::AccountConnect { connected, .. } => !connected,
            Self::ApprovalAnswer { outcome, .. } => *outcome != ApprovalOutcome::Approved,
            Self::ConditionFail { .. }
            | Self::TokenReject { .. }
            | Self::ScopeInsufficient { .. }
            | Self::LoginInsufficient { .. }
            | Self::ApprovalRequest { .. }
            | Self::ApprovalRefuse { .. }
            | Self::LoginFail { .. }
            | Self::LogoutRefuse { .. }
            | Self::TokenRefuse { .. }
            | Self::AuthorizeRefuse { .. }
            | Self::AuthorizationDeny { .. }
            | Self::TokenReuse { .. }
            | Self::ClientRefuse { .. } => true,
            Self::RequestReceive { .. }
            | Self::ShadowDiffer { .. }
            | Self::TokenAccept { .. }
            | Self::RefusalsHoldBack { .. }
            | Self::ToolsList { .. }
            | Self::ToolFlawed { .. }
            | Self::ApprovalUse { .. }
            | Self::ApprovalNotify { .. }
            | Self::ConfigReload { .. }
            | Self::AdminTokenMint { .. }
            | Self::LoginSucceed { .. }
            | Self::LoginContinue {}
            | Self::SecondFactorSet {}
            | Self::SecondFactorRemove {}
            | Self::RecoveryCodesReplace {}
            | Self::PasskeyAdd { .. }
            | Self::PasskeyRemove {}
            | Self::PasskeySet { .. }
            | Self::LogOut { .. }
            | Self::LogOutElsewhere { .. }
            | Self::LogoutNotify { .. }
            | Self::DisownElsewhere { .. }
            | Self::PasswordSet {}
            | Self::ConsentWithdraw { .. }
            | Self::AccountEnd { .. }
            | Self::TokenIssue { .. }
            | Self::TokenRefresh { .. }
            | Self::TokenRevoke { .. }
            | Self::TokenIntrospect { .. }
            | Self::AdminChangeBegin { .. }
            | Self::ClientRegister { .. }
            | Self::ClientReplace { .. }
            | Self::ClientEnd { .. }
            | Self::AuthorizationStart { .. }
            | Self::AuthorizationGrant { .. }
            | Self::KeyRotate { .. }
            | Self::LogRecover { .. } => false,
        }
    }
}

/// Of a client that was found. One that sends what it does not need was refused before.
fn proves_a_client(grant_type: Option<GrantType>, sent: &Sent) -> bool {
    const PROOFS: [&str; 3] = ["client_secret", "client_assertion", "Authorization: Basic"];
    let has = |name: &str| sent.parameters.iter().any(|parameter| parameter.name == name);
    // A workload is found by its assertion, and sends no id.
    let workload =
        || grant_type == Some(GrantType::JwtBearer) && has("assertion") && !has("client_id");
    PROOFS.into_iter().any(has) || workload()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Parameter;
    use crate::id::{RequestId, TraceId};
    use crate::random::SeededRandom;
    use crate::time::{FixedClock, Timestamp};

    #[test]
    fn a_public_client_at_the_token_endpoint_is_a_stranger() {
        let (clock, random) = (FixedClock::at(Timestamp::default()), SeededRandom::new(1));
        let context = |client: Option<&str>| Context {
            request_id: RequestId::generate(&clock, &random),
            trace_id: TraceId::generate(&random),
            requester_id: None,
            client_id: client.map(|id| id.parse().unwrap()),
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let refused = |grant_type, names: &[&'static str]| AuditEvent::TokenRefuse {
            grant_type: Some(grant_type),
            error: "invalid_grant",
            unverified_client_id: None,
            sent: Box::new(Sent {
                parameters: names.iter().map(|name| Parameter { name, characters: None }).collect(),
                ..Sent::default()
            }),
        };
        let (code, jwt) = (GrantType::AuthorizationCode, GrantType::JwtBearer);
        for (grant, names, proven) in [
            (code, &["client_id", "code"][..], false),
            (code, &["client_id", "code", "assertion"], false),
            (code, &["client_id", "code", "client_secret"], true),
            (code, &["code", "Authorization: Basic"], true),
            (jwt, &["assertion"], true),
            (jwt, &["assertion", "client_id"], false),
        ] {
            let event = refused(grant, names);
            assert_eq!(event.is_of_proven(&context(Some("app"))), proven, "{names:?}");
            assert!(!event.is_of_proven(&context(None)), "{names:?}");
        }
    }
}
