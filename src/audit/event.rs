//! The audit events: a closed set. Append a variant; never rename one.
//!
//! Fields are identifiers, codes, numbers and names from our own configuration; no type here can
//! hold a token or a body, so none can leak.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use crate::code::Code;
use crate::id::{
    ApprovalId, ClientAddress, ClientId, GrantId, Issuer, ProfileName, RuleId, Subject, TenantId,
    ToolName,
};
use crate::policy::{Effect, LoginNeeded, Obligations, Reason, Recorded, Step};
use crate::scope::{Scope, ScopeToken};
use crate::time::Timestamp;

use super::vocabulary::{
    AdminAction, AdminObject, AdminOutcome, AdminRefusal, ApprovalOutcome, ApprovalRefusal,
    FlawedThing, GrantType, LoginFailure, LoginMethod, LogoutFailure, Outcome, ResultStatus,
    Reused, Revoked, Sent, TokenFailure, TokenName, ToolFlaw,
};

/// What happened. Serialises as `event_type` beside its `payload`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event_type", content = "payload")]
pub enum AuditEvent {
    /// A Graph flow begins.
    #[serde(rename = "request.received")]
    RequestReceive {
        tool_name: ToolName,
        contract_version: &'static str,
        tenant_id: Option<TenantId>,
        requested_scopes: Vec<ScopeToken>,
    },
    #[serde(rename = "policy.decided")]
    PolicyDecide {
        decision: Effect,
        reason: Reason,
        policy_version: Arc<str>,
        matched_rule_id: Option<RuleId>,
        tenant_id: Option<TenantId>,
        scopes_evaluated: Vec<ScopeToken>,
        /// The rules that were looked at, in order, and what became of each.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        evaluated: Vec<Step>,
        /// What an allow or an ask comes with.
        #[serde(skip_serializing_if = "Obligations::is_none")]
        obligations: Obligations,
        /// What was asked, as far as rules look at it.
        question: Box<Recorded>,
    },
    /// The shadow policy would have decided otherwise.
    #[serde(rename = "policy.shadow.differed")]
    ShadowDiffer {
        tool_name: ToolName,
        decision: Effect,
        reason: Reason,
        policy_version: Arc<str>,
        shadow_decision: Effect,
        shadow_reason: Reason,
        shadow_missing_scopes: Scope,
        #[serde(skip_serializing_if = "Option::is_none")]
        login: Option<LoginNeeded>,
        #[serde(skip_serializing_if = "Option::is_none")]
        shadow_login: Option<LoginNeeded>,
        #[serde(skip_serializing_if = "Obligations::is_none")]
        obligations: Obligations,
        #[serde(skip_serializing_if = "Obligations::is_none")]
        shadow_obligations: Obligations,
        shadow_policy_version: Arc<str>,
    },
    /// A condition could not be evaluated.
    #[serde(rename = "policy.condition.failed")]
    ConditionFail { tool_name: ToolName, rule_ids: Vec<RuleId>, policy_version: Arc<str> },
    /// One attempt at a provider. `operation` is the method and the path *template*.
    #[serde(rename = "provider.called")]
    ProviderCall {
        provider: &'static str,
        operation: String,
        profile: Option<ProfileName>,
        timeout_ms: u64,
        attempt: u32,
        outcome: Outcome,
        error_code: Option<Code>,
        http_status: Option<u16>,
        duration_ms: u64,
    },
    /// Terminal: a tool answered, or a request that neither calls nor lists a tool ended.
    #[serde(rename = "result.emitted")]
    ResultEmit {
        /// The MCP method, from a closed set; never a caller's text.
        method: &'static str,
        /// `None` where no tool was called, or the name is none that a tool could have.
        tool_name: Option<ToolName>,
        status: ResultStatus,
        error_code: Option<Code>,
        duration_ms: u64,
        /// For a tool without a provider, whose decision has no event of its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        decision: Option<Effect>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        #[serde(skip_serializing_if = "Option::is_none")]
        policy_version: Option<Arc<str>>,
        /// The rules that were looked at, in order, and what became of each.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        evaluated: Vec<Step>,
        /// What an allow or an ask comes with.
        #[serde(skip_serializing_if = "Obligations::is_none")]
        obligations: Obligations,
        /// What was asked of policy, where this event says what it decided.
        #[serde(skip_serializing_if = "Option::is_none")]
        question: Option<Box<Recorded>>,
    },
    /// A token was verified, not found in the cache.
    #[serde(rename = "auth.token.accepted")]
    TokenAccept { token: TokenName, issuer: Issuer, scopes: Scope },
    /// Terminal: refused with 401.
    #[serde(rename = "auth.token.rejected")]
    TokenReject {
        reason: TokenFailure,
        token: Option<TokenName>,
        /// Where it came from, for there is nobody else to name.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_address: Option<ClientAddress>,
        /// What was asked for: one of our routes, else empty.
        #[serde(skip_serializing_if = "str::is_empty")]
        endpoint: &'static str,
    },
    /// Refusals (401) of one network that have no line of their own, since this was last said. Belongs to no request.
    #[serde(rename = "auth.refusals.held_back")]
    RefusalsHoldBack { network: Arc<str>, held_back: u64 },
    /// Terminal: refused with 403 and a challenge.
    #[serde(rename = "auth.scope.insufficient")]
    ScopeInsufficient {
        /// The MCP method, from a closed set, or `forward-auth`.
        method: &'static str,
        tool_name: ToolName,
        missing_scopes: Scope,
        reason: Reason,
        policy_version: Arc<str>,
        /// The rules that were looked at, in order, and what became of each.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        evaluated: Vec<Step>,
        question: Box<Recorded>,
    },
    /// Terminal: a tool list was answered.
    #[serde(rename = "tools.listed")]
    ToolsList { listed: usize, hidden: usize, policy_version: Arc<str> },
    /// A server behind us has come to define a tool in a way that is to be noticed.
    #[serde(rename = "upstream.tool.flawed")]
    ToolFlawed {
        /// As rules know it; of what is no tool its server.
        tool_name: ToolName,
        /// What it is, if it is no tool.
        #[serde(skip_serializing_if = "Option::is_none")]
        thing: Option<FlawedThing>,
        flaw: ToolFlaw,
        /// Of the definition as it is now: what an operator pins to approve it. None where it cannot be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
        /// Whether callers see the tool all the same.
        hidden: bool,
        /// Tools of the same list that have come to have a flaw, too, and have no event of their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        others: Option<usize>,
    },
    /// A call waits for a person.
    #[serde(rename = "approval.requested")]
    ApprovalRequest {
        approval: ApprovalId,
        tool_name: ToolName,
        matched_rule_id: RuleId,
        policy_version: Arc<str>,
        expires_at: Timestamp,
    },
    /// Terminal: a person answered, or tried to.
    #[serde(rename = "approval.answered")]
    ApprovalAnswer {
        approval: ApprovalId,
        approver: Subject,
        outcome: ApprovalOutcome,
        /// Of a command, whose process it was: nobody has logged in as the approver.
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
    },
    /// An approved call is let through, the one time.
    #[serde(rename = "approval.used")]
    ApprovalUse { approval: ApprovalId, approver: Subject },
    /// A call that needs an approval is refused, and why: no answer opens it.
    #[serde(rename = "approval.refused")]
    ApprovalRefuse {
        tool_name: ToolName,
        class: ApprovalRefusal,
        /// The question that its request state is of, or that was answered; null where there is none.
        approval: Option<ApprovalId>,
    },
    /// Terminal: a call waits for nothing but another log-in of its person (RFC 9470).
    #[serde(rename = "auth.login.insufficient")]
    LoginInsufficient {
        /// The MCP method, from a closed set, or `forward-auth`.
        method: &'static str,
        tool_name: ToolName,
        /// Values of `acr` that would do. Empty: any.
        assurance: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_age_seconds: Option<u32>,
        reason: Reason,
        policy_version: Arc<str>,
        /// The rules that were looked at, in order, and what became of each.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        evaluated: Vec<Step>,
        question: Box<Recorded>,
    },
    /// The webhook was told that a call waits, or could not be. Belongs to no request.
    #[serde(rename = "approval.notified")]
    ApprovalNotify { approval: ApprovalId, delivered: bool, attempts: u32 },
    /// The policy in force was replaced.
    #[serde(rename = "config.reloaded")]
    ConfigReload {
        policy_version: Arc<str>,
        previous_version: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        shadow_policy_version: Option<Arc<str>>,
    },
    /// A command or the admin API changed something.
    #[serde(rename = "admin.token.minted")]
    AdminTokenMint {
        token: TokenName,
        subject: Subject,
        client_id: Option<ClientId>,
        scopes: Scope,
    },
    /// Terminal: somebody proved who they are.
    #[serde(rename = "person.login.succeeded")]
    LoginSucceed { method: LoginMethod },
    /// Terminal: somebody did not.
    #[serde(rename = "person.login.failed")]
    LoginFail { method: LoginMethod, reason: LoginFailure },
    /// Terminal: a password was right, and the person is asked for a second factor. What became of that has events of its
    /// own.
    #[serde(rename = "person.login.continued")]
    LoginContinue {},
    /// Terminal: a person set up an authenticator app, and got recovery codes.
    #[serde(rename = "person.second_factor.set")]
    SecondFactorSet {},
    /// Terminal: a person gave it up.
    #[serde(rename = "person.second_factor.removed")]
    SecondFactorRemove {},
    /// Terminal: a person got other recovery codes; the ones before count no more.
    #[serde(rename = "person.recovery_codes.replaced")]
    RecoveryCodesReplace {},
    /// Terminal: a session ended, or all of a person's.
    #[serde(rename = "person.logged_out")]
    LogOut {
        everywhere: bool,
        /// How many of the things that were allowed in it were revoked with it.
        grants: u64,
    },
    /// Terminal: an identity provider says that a log-in there is over, and what comes from it here has ended.
    #[serde(rename = "person.logged_out_elsewhere")]
    LogOutElsewhere {
        /// The provider's id.
        provider: Arc<str>,
        sessions: u64,
        grants: u64,
    },
    /// An identity provider that was asked again stands by somebody no more, and what comes from their log-ins there has ended.
    /// Belongs to no request: the one in which it was asked has an event of its own.
    #[serde(rename = "person.disowned_elsewhere")]
    DisownElsewhere {
        /// The provider's id.
        provider: Arc<str>,
        sessions: u64,
        grants: u64,
    },
    /// Terminal: somebody said so who did not prove to be an identity provider of ours.
    #[serde(rename = "person.logout.refused")]
    LogoutRefuse { reason: LogoutFailure },
    /// A client was told that a log-in is over, or could not be. Belongs to no request.
    #[serde(rename = "oauth.client.logout_notified")]
    LogoutNotify { delivered: bool, attempts: u32 },
    /// Terminal: a person chose a password by a one-time link, which logs them in; or one beside their passkeys, having had none.
    #[serde(rename = "person.password.set")]
    PasswordSet {},
    /// Terminal: a person withdrew what a client had.
    #[serde(rename = "person.consent.withdrawn")]
    ConsentWithdraw { grants: u64 },
    /// Terminal: a person came back from connecting their account at a server behind us.
    #[serde(rename = "person.account.connected")]
    AccountConnect {
        /// The server's id.
        server: Arc<str>,
        /// `false`: they or the other side refused, or it failed.
        connected: bool,
    },
    /// Terminal: a person ended that; the tokens are gone.
    #[serde(rename = "person.account.ended")]
    AccountEnd { server: Arc<str> },
    /// Terminal: a client got tokens, for a person or for itself.
    #[serde(rename = "oauth.token.issued")]
    TokenIssue {
        grant_type: GrantType,
        token: TokenName,
        /// `None` for a client that acts for itself.
        grant_id: Option<GrantId>,
        resource: String,
        scopes: Scope,
        /// What it was made from (RFC 8693, RFC 7523).
        #[serde(skip_serializing_if = "Option::is_none")]
        subject_token: Option<TokenName>,
        /// The `sub` of a workload: one of the values of its client in the settings.
        #[serde(skip_serializing_if = "Option::is_none")]
        workload_subject: Option<Arc<str>>,
    },
    /// Terminal: a refresh token was used.
    #[serde(rename = "oauth.token.refreshed")]
    TokenRefresh {
        token: TokenName,
        grant_id: GrantId,
        resource: String,
        scopes: Scope,
        /// Somebody was faster, and this is the same answer.
        same_reply: bool,
    },
    /// Terminal: a client got no tokens.
    #[serde(rename = "oauth.token.refused")]
    TokenRefuse {
        /// `None` where the client could not prove who it is, or asked for another one.
        grant_type: Option<GrantType>,
        /// The code of RFC 6749 §5.2.
        error: &'static str,
        /// Who the client says it is, where it could not prove it. Anybody can write any name here.
        #[serde(skip_serializing_if = "Option::is_none")]
        unverified_client_id: Option<ClientId>,
        #[serde(flatten)]
        sent: Box<Sent>,
    },
    /// Terminal: an authorization request was refused (RFC 6749 §4.1.2.1).
    #[serde(rename = "oauth.authorization.refused")]
    AuthorizeRefuse {
        /// The code that its client is told, else `invalid_client`, `invalid_redirect_uri` or `invalid_request`.
        error: &'static str,
        /// Which client the request says it is of. Anybody can write any name here.
        #[serde(skip_serializing_if = "Option::is_none")]
        unverified_client_id: Option<ClientId>,
        /// What the tokens were to be for, without user, query and fragment.
        #[serde(skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
        #[serde(flatten)]
        sent: Box<Sent>,
    },
    /// Terminal: a code or refresh token came again, which proves a theft; the grant is revoked.
    #[serde(rename = "oauth.token.reuse_detected")]
    TokenReuse { what: Reused, grant_id: GrantId },
    /// Terminal: a client gave something back.
    #[serde(rename = "oauth.token.revoked")]
    TokenRevoke { what: Revoked, grant_id: Option<GrantId>, token: Option<TokenName> },
    /// Terminal: a resource server, or the client itself, asked what a token is.
    #[serde(rename = "oauth.token.introspected")]
    TokenIntrospect {
        /// `None` where nothing may be told about it.
        token: Option<TokenName>,
        /// The resource server that asked, where it was one.
        server: Option<Arc<str>>,
        active: bool,
    },
    /// An administrator is about to change something. What cannot be recorded is not begun.
    #[serde(rename = "admin.change.begun")]
    AdminChangeBegin { object: AdminObject, action: AdminAction, id: Arc<str> },
    /// Terminal: how that ended. Without this line after the other one, it is not known.
    #[serde(rename = "admin.change.ended")]
    AdminChangeEnd { object: AdminObject, action: AdminAction, id: Arc<str>, outcome: AdminOutcome },
    /// Terminal: a request to the admin API that changed nothing, refused (401 has an event of its own) or not.
    #[serde(rename = "admin.request.ended")]
    AdminRequestEnd {
        /// `None` for one that no route takes.
        method: Option<Cow<'static, str>>,
        /// The path with its variable parts left out; `None` where there is nothing.
        route: Option<Arc<str>>,
        status: u16,
        /// Why the caller may not ask this; `None` where it may.
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<AdminRefusal>,
    },
    /// Terminal: somebody asked with an accepted token who the person of it is.
    #[serde(rename = "oauth.userinfo.asked")]
    UserinfoAsk {
        token: TokenName,
        /// The code of RFC 6750 §3.1 where that was not told.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Cow<'static, str>>,
    },
    /// Terminal: a client registered itself (RFC 7591). Gives it no right to anything.
    #[serde(rename = "oauth.client.registered")]
    ClientRegister {
        registered_client_id: ClientId,
        token_endpoint_auth_method: &'static str,
        /// The prefix of what it registered with, where that needs a token.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_access_token: Option<TokenName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_address: Option<ClientAddress>,
    },
    /// Terminal: it registered itself anew (RFC 7592 §2.2).
    #[serde(rename = "oauth.client.replaced")]
    ClientReplace {
        registered_client_id: ClientId,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_address: Option<ClientAddress>,
    },
    /// Terminal: it ended its registration (RFC 7592 §2.3).
    #[serde(rename = "oauth.client.ended")]
    ClientEnd {
        registered_client_id: ClientId,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_address: Option<ClientAddress>,
    },
    /// Terminal: it did not.
    #[serde(rename = "oauth.client.refused")]
    ClientRefuse {
        /// The code of RFC 7591 §3.2.2, or of the other refusals of an OAuth endpoint.
        error: &'static str,
        #[serde(flatten)]
        sent: Box<Sent>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_address: Option<ClientAddress>,
    },
    /// Terminal: a browser came with a client's request, and its person is going to be asked.
    #[serde(rename = "oauth.authorization.started")]
    AuthorizationStart {
        /// A client of this name is known here, and the answer goes to it; anybody can start a request in its name.
        unverified_client_id: ClientId,
        resource: String,
        scopes: Scope,
    },
    /// Terminal: a person allows a client something.
    #[serde(rename = "oauth.authorization.granted")]
    AuthorizationGrant {
        resource: String,
        scopes: Scope,
        /// Whether they were asked; else they had allowed all of it before.
        asked: bool,
    },
    /// Terminal: a person does not.
    #[serde(rename = "oauth.authorization.denied")]
    AuthorizationDeny { resource: String, scopes: Scope },
    /// A new signing key is there. Between the two events of the change that made it.
    #[serde(rename = "oauth.key.rotated")]
    KeyRotate {
        kid: Arc<str>,
        /// Whether every other key was given up with it, because one has leaked.
        at_once: bool,
    },
    /// The log's last line was cut off, by a crash or by somebody. First line of the segment after it.
    #[serde(rename = "audit.log.recovered")]
    LogRecover { segment: String, torn_bytes: u64 },
    /// Terminal: a person registered a passkey.
    #[serde(rename = "person.passkey.added")]
    PasskeyAdd {
        /// Whether it is their first second factor, so that they got recovery codes.
        first: bool,
    },
    /// Terminal: a person removed one of theirs.
    #[serde(rename = "person.passkey.removed")]
    PasskeyRemove {},
    /// Terminal: a person made a passkey by a one-time link, in place of a password, which logs them in.
    #[serde(rename = "person.passkey.set")]
    PasskeySet {
        /// Whether it is their first second factor, so that they got recovery codes.
        first: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_particulars_has_an_empty_payload() {
        let event = serde_json::to_value(AuditEvent::PasswordSet {}).unwrap();
        let line = serde_json::json!({ "event_type": "person.password.set", "payload": {} });
        assert_eq!(event, line);
    }

    /// serde leaves the payload out of a variant without braces, and a reader of the log has to find one in every line.
    #[test]
    fn every_event_has_braces() {
        let source = include_str!("event.rs");
        let (_, after) = source.split_once("pub enum AuditEvent {").unwrap();
        let (variants, _) = after.split_once("\n}").unwrap();
        let begun = |line: &&str| {
            line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_uppercase))
        };
        let (with, without): (Vec<&str>, Vec<&str>) =
            variants.lines().filter(begun).partition(|line| line.contains(" {"));
        assert!(with.len() > 50 && without.is_empty(), "{} with, without: {without:?}", with.len());
    }
}
