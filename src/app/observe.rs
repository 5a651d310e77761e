//! What is counted of the events of the audit log: one look at what happened feeds both, so they cannot disagree.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use crate::audit::{
    ApprovalRefusal, AuditEvent, Context, LoginMethod, Observer, ResultStatus, Reused,
};
use crate::code::Code;
use crate::id::ToolName;
use crate::metrics::{Label, Meters};
use crate::policy::{Effect, Reason};

/// Names of tools of servers behind us that are told apart; what comes then is counted under `<server>.other`.
const MAX_TOOLS: usize = 300;

/// Counts events.
#[derive(Debug)]
pub(super) struct Counting {
    meters: Meters,
    tools: Arc<Tools>,
}

impl Counting {
    pub(super) fn new(meters: Meters, tools: Arc<Tools>) -> Self {
        // An increase from nothing to one is seen only where there was a zero; an alert hangs on each of them.
        for what in Reused::ALL {
            meters.oauth_reuses.add_many([word(&what)], 0);
        }
        for class in ApprovalRefusal::OF_NO_CLIENT {
            meters.approval_refusals.add_many([word(&class)], 0);
        }
        Self { meters, tools }
    }
}

/// The names that may become labels.
#[derive(Debug)]
pub(super) struct Tools {
    own: HashSet<String>,
    servers: Vec<String>,
    /// Ids of servers that were registered while the broker runs, as of a moment ago.
    registered: RwLock<HashSet<String>>,
    /// Of servers behind us, those that answered.
    seen: RwLock<HashSet<Arc<str>>>,
}

impl Tools {
    /// `own`: the names of our tools; `servers`: the ids of the servers behind us.
    pub(super) fn new(own: Vec<String>, servers: Vec<String>) -> Self {
        let own = own.into_iter().collect();
        Self { own, servers, registered: RwLock::default(), seen: RwLock::default() }
    }

    /// From now on these registered servers are served, and no others.
    pub(super) fn serve(&self, registered: HashSet<String>) {
        *self.registered.write().unwrap_or_else(PoisonError::into_inner) = registered;
    }

    fn is_served(&self, server: &str) -> bool {
        self.servers.iter().any(|known| known == server)
            || self.registered.read().unwrap_or_else(PoisonError::into_inner).contains(server)
    }

    /// A caller may ask for a tool of any name. One becomes a label that is ours, or that a server behind us has answered.
    pub(super) fn label(&self, name: Option<&ToolName>, answered: bool) -> Label {
        let Some(name) = name.map(ToolName::as_str) else { return "other".into() };
        if self.own.contains(name) {
            return name.to_owned().into();
        }
        // No id of a server has a dot in it.
        let Some((server, _)) = name.split_once('.') else { return "other".into() };
        if !self.is_served(server) {
            return "other".into();
        }
        if self.is_seen(name) || (answered && self.see(name)) {
            return name.to_owned().into();
        }
        format!("{server}.other").into()
    }

    fn is_seen(&self, name: &str) -> bool {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Whether there is room for one more.
    fn see(&self, name: &str) -> bool {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.len() < MAX_TOOLS && seen.insert(name.into())
    }
}

/// How a request ended, as far as anything is shown of it.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) method: &'static str,
    tool_name: Option<&'a ToolName>,
    pub(super) status: ResultStatus,
    pub(super) error_code: Option<Code>,
    pub(super) took: Duration,
    pub(super) decision: Option<Effect>,
    pub(super) reason: Option<String>,
}

impl<'a> Ended<'a> {
    /// `None` for another event.
    pub(super) fn of(event: &'a AuditEvent) -> Option<Self> {
        let AuditEvent::ResultEmit {
            method,
            tool_name,
            status,
            error_code,
            duration_ms,
            decision,
            reason,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            method,
            tool_name: tool_name.as_ref(),
            status: *status,
            error_code: *error_code,
            took: Duration::from_millis(*duration_ms),
            decision: *decision,
            reason: reason.as_ref().map(ToString::to_string),
        })
    }

    pub(super) fn names_a_tool(&self) -> bool {
        self.tool_name.is_some()
    }

    /// What the tool is called where it is shown. Only a call that went well says that there is such a tool: one that was
    /// cancelled, and a server's own error, say nothing, and the name is the caller's.
    pub(super) fn label(&self, tools: &Tools) -> Label {
        tools.label(self.tool_name, self.status == ResultStatus::Ok)
    }
}

/// A request that ended with a challenge, as far as anything is shown of it.
#[derive(Debug)]
pub(super) struct Challenged<'a> {
    pub(super) method: &'static str,
    tool_name: &'a ToolName,
    reason: &'a Reason,
    /// What the client is told (RFC 6750 §3.1, RFC 9470 §3).
    pub(super) error: &'static str,
}

impl<'a> Challenged<'a> {
    /// `None` for another event.
    pub(super) const fn of(event: &'a AuditEvent) -> Option<Self> {
        match event {
            AuditEvent::ScopeInsufficient { method, tool_name, reason, .. } => {
                Some(Self { method, tool_name, reason, error: "insufficient_scope" })
            }
            AuditEvent::LoginInsufficient { method, tool_name, reason, .. } => {
                let error = "insufficient_user_authentication";
                Some(Self { method, tool_name, reason, error })
            }
            _ => None,
        }
    }

    pub(super) fn reason(&self) -> String {
        self.reason.to_string()
    }

    /// What the tool is called where it is shown; `None` where the server as a whole was asked for, or what is no tool.
    pub(super) fn tool(&self, tools: &Tools) -> Option<Label> {
        (self.method == "tools/call").then(|| tools.label(Some(self.tool_name), false))
    }
}

impl Observer for Counting {
    fn see(&self, _: &Context, event: &AuditEvent) {
        use AuditEvent as E;
        let meters = &self.meters;
        match event {
            E::PolicyDecide { decision, reason, .. } => {
                meters.decisions.add([word(decision), reason.to_string().into()]);
            }
            E::ShadowDiffer { decision, shadow_decision, .. } => {
                meters.shadow_differences.add([word(decision), word(shadow_decision)]);
            }
            E::ConditionFail { .. } => drop(meters.condition_failures.inc()),
            E::ResultEmit { .. } => {
                if let Some(ended) = Ended::of(event) {
                    self.ended(&ended);
                }
            }
            E::ProviderCall { .. } => self.provider(event),
            E::ToolsList { .. } => meters.mcp_requests.add(["tools/list".into(), "ok".into()]),
            E::ScopeInsufficient { .. } | E::LoginInsufficient { .. } => {
                if let Some(challenged) = Challenged::of(event) {
                    self.challenged(&challenged);
                }
            }
            E::TokenAccept { .. } => drop(meters.tokens_verified.inc()),
            E::TokenReject { reason, .. } => meters.token_rejections.add([word(reason)]),
            E::RefusalsHoldBack { held_back, .. } => {
                meters.token_rejections.add_many(["not_recorded".into()], *held_back);
            }
            E::ToolFlawed { flaw, .. } => meters.flawed_tools.add([word(flaw)]),
            E::ConfigReload { .. } => drop(meters.policy_reloads.inc()),
            E::KeyRotate { .. } => drop(meters.key_rotations.inc()),
            other => self.people_and_clients(other),
        }
    }
}

impl Counting {
    /// How a tool call or another MCP request ended.
    fn ended(&self, ended: &Ended<'_>) {
        let status = status(ended.status);
        self.meters.mcp_requests.add([ended.method.into(), status.into()]);
        if let (Some(decided), Some(reason)) = (ended.decision, &ended.reason) {
            self.meters.decisions.add([effect(decided).into(), reason.clone().into()]);
        }
        if ended.method != "tools/call" {
            return;
        }
        let tool = ended.label(&self.tools);
        self.meters.tool_times.observe([tool.clone()], ended.took);
        self.meters.tool_calls.add([tool, status.into(), code(ended.error_code)]);
    }

    /// What stands in the way is a scope or a log-in, so it was refused.
    fn challenged(&self, challenged: &Challenged<'_>) {
        let meters = &self.meters;
        meters.mcp_requests.add([challenged.method.into(), "error".into()]);
        meters.decisions.add(["deny".into(), challenged.reason().into()]);
        if let Some(tool) = challenged.tool(&self.tools) {
            meters.tool_calls.add([tool, "error".into(), challenged.error.into()]);
        }
    }

    fn provider(&self, event: &AuditEvent) {
        let AuditEvent::ProviderCall {
            provider,
            outcome,
            error_code,
            http_status,
            duration_ms,
            ..
        } = event
        else {
            return;
        };
        let took = Duration::from_millis(*duration_ms);
        self.meters.provider_times.observe([(*provider).into()], took);
        let status: Label = http_status.map_or("none".into(), |status| status.to_string().into());
        let labels = [(*provider).into(), word(outcome), status, code(*error_code)];
        self.meters.provider_calls.add(labels);
    }

    /// Log-ins, consent, tokens, approvals and administration.
    fn people_and_clients(&self, event: &AuditEvent) {
        use AuditEvent as E;
        let meters = &self.meters;
        match event {
            E::LoginSucceed { method } => meters.logins.add([login(method), "ok".into()]),
            E::LoginFail { method, reason } => meters.logins.add([login(method), word(reason)]),
            E::TokenIssue { grant_type, .. } => {
                meters.oauth_tokens.add([word(grant_type), "issued".into()]);
            }
            E::TokenRefresh { .. } => {
                meters.oauth_tokens.add(["refresh_token".into(), "issued".into()]);
            }
            E::TokenRefuse { grant_type, error, .. } => {
                let grant_type = grant_type.as_ref().map_or("unknown".into(), word);
                meters.oauth_tokens.add([grant_type, (*error).into()]);
            }
            E::TokenReuse { what, .. } => meters.oauth_reuses.add([word(what)]),
            E::TokenRevoke { what, .. } => meters.oauth_revocations.add([word(what)]),
            E::TokenIntrospect { active, .. } => {
                meters.oauth_introspections.add([truth(*active)]);
            }
            E::AuthorizationStart { .. } => meters.oauth_authorizations.add(["started".into()]),
            E::AuthorizationGrant { .. } => meters.oauth_authorizations.add(["granted".into()]),
            E::AuthorizationDeny { .. } => meters.oauth_authorizations.add(["denied".into()]),
            E::AuthorizeRefuse { error, .. } => meters.oauth_authorizations.add([(*error).into()]),
            E::ClientRegister { .. } => meters.oauth_registrations.add(["registered".into()]),
            E::ClientReplace { .. } => meters.oauth_registrations.add(["replaced".into()]),
            E::ClientEnd { .. } => meters.oauth_registrations.add(["ended".into()]),
            E::ClientRefuse { error, .. } => meters.oauth_registrations.add([(*error).into()]),
            other => self.approvals_and_changes(other),
        }
    }

    fn approvals_and_changes(&self, event: &AuditEvent) {
        use AuditEvent as E;
        let meters = &self.meters;
        match event {
            E::ApprovalRequest { .. } => meters.approvals.add(["requested".into()]),
            E::ApprovalAnswer { outcome, .. } => meters.approvals.add([word(outcome)]),
            E::ApprovalUse { .. } => meters.approvals.add(["used".into()]),
            E::ApprovalRefuse { class, .. } => meters.approval_refusals.add([word(class)]),
            E::ApprovalNotify { delivered, .. } => {
                meters.approval_notifications.add([truth(*delivered)]);
            }
            E::AdminChangeEnd { object, action, outcome, .. } => {
                meters.admin_changes.add([word(object), word(action), word(outcome)]);
            }
            E::AdminRequestEnd { status, .. } => {
                meters.admin_requests.add([status.to_string().into()]);
            }
            _ => {} // what is rare or says nothing about load; the audit log has it
        }
    }
}

/// As the audit log writes it.
pub(super) fn word(value: &impl Serialize) -> Label {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.into(),
        Ok(_) | Err(_) => "other".into(),
    }
}

/// How a request ended, as [`word`] has it; of every request, and so without writing it.
pub(super) const fn status(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Ok => "ok",
        ResultStatus::Error => "error",
        ResultStatus::Cancelled => "cancelled",
    }
}

/// What policy decided, in the same way.
pub(super) const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::Ask => "ask",
    }
}

const fn truth(is: bool) -> Label {
    Cow::Borrowed(if is { "true" } else { "false" })
}

fn login(method: &LoginMethod) -> Label {
    match method {
        LoginMethod::Password => "password".into(),
        LoginMethod::PasswordAndCode => "password_and_code".into(),
        LoginMethod::PasswordAndRecoveryCode => "password_and_recovery_code".into(),
        LoginMethod::IdentityProvider(_) => "identity_provider".into(),
        LoginMethod::Passkey => "passkey".into(),
        LoginMethod::PasswordAndPasskey => "password_and_passkey".into(),
    }
}

fn code(code: Option<Code>) -> Label {
    code.map_or("none", Code::as_str).into()
}

#[cfg(test)]
mod tests;
