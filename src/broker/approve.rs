//! What becomes of a call that a rule asks a person about.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditError, Context};
use crate::code::Code;
use crate::id::{Subject, ToolName};
use crate::policy::{Approval, Approved, Decision};
use crate::resource_server::EntraObject;
use crate::store::Requester;

use super::Broker;
use super::approval::{ApprovalError, Approvals, Exactly, Question, Standing, Terms};
use super::caller::Caller;
use super::failure;
use super::reply::Failure;

/// When to make the call again: people answer in minutes.
const RETRY_AFTER_MS: u64 = 5_000;
/// The same where the requester has to clear up first.
const CROWDED_AFTER_MS: u64 = 60_000;

/// The call that waits.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub tool: ToolName,
    /// All that is sent on if it is approved.
    pub call: Exactly,
    /// Whom a trusted gateway says it acts for.
    pub asserted: Option<&'a Subject>,
    /// What the client sends back of an answer that said that a call waits ([`Approvals::request_state`]).
    pub request_state: Option<&'a str>,
}

impl Broker {
    /// As [`Approvals::ask`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn settle(
        &self,
        caller: &Caller,
        context: &Context,
        wanted: &Wanted<'_>,
        decision: &Decision,
    ) -> Result<Result<Approved, Failure>, AuditError> {
        self.approvals.ask(caller, context, wanted, decision).await
    }
}

impl Approvals {
    /// Spends the approval of this exact call, or says where a person can give it.
    ///
    /// The outer error is the audit log's: there is no answer then. The inner one is `policy.approval_required` with
    /// `approval_id`, `approval_url` and `expires_at`; or `policy.denied` where a person said no; or
    /// `policy.rate_limited` where too many questions of the requester are open; or `broker.unavailable`.
    ///
    /// # Errors
    ///
    /// As said.
    pub async fn ask(
        &self,
        caller: &Caller,
        context: &Context,
        wanted: &Wanted<'_>,
        decision: &Decision,
    ) -> Result<Result<Approved, Failure>, AuditError> {
        let Some(question) = question(caller, wanted, decision) else {
            return Ok(Err(failure::of_policy(decision)));
        };
        match self.settle(context, &question).await {
            Ok(Standing::Approve { .. }) => {
                let Terms { rule, policy_version, .. } = question.terms;
                Ok(Ok(Approved { rule, policy_version }))
            }
            Ok(standing) => Ok(Err(self.waits(&standing, decision))),
            Err(ApprovalError::Audit(error)) => Err(error),
            Err(ApprovalError::Store(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, request_id = %caller.request_id(), "approval.store_failed");
                let message = "this call needs a person's approval, and the store of approvals does not answer";
                Ok(Err(Failure::new(Code::BrokerUnavailable, message)))
            }
        }
    }

    fn waits(&self, standing: &Standing, decision: &Decision) -> Failure {
        match standing {
            Standing::Wait { id, expires_at } => failure::of_policy(decision)
                .with("approval_id", Some(id))
                .with("approval_url", Some(self.page(*id)))
                .with("expires_at", Some(expires_at))
                .with("retry_after_ms", Some(RETRY_AFTER_MS))
                .with("hint", Some("after the approval make the same call again, unchanged")),
            Standing::Deny { id, until } => {
                Failure::new(Code::PolicyDenied, "a person has denied this call")
                    .with("reason_code", Some(&decision.reason))
                    .with("approval_id", Some(id))
                    .with("denied_until", Some(until))
            }
            Standing::TooMany => {
                let message = "too many calls of this requester wait for a person already";
                Failure::new(Code::PolicyRateLimited, message)
                    .with("retry_after_ms", Some(CROWDED_AFTER_MS))
            }
            Standing::Another => {
                let hint = "make the call anew, without requestState";
                Failure::new(
                    Code::PolicyDenied,
                    "the request state is of no question that waits about this very call",
                )
                .with("reason_code", Some(&decision.reason))
                .with("hint", Some(hint))
            }
            // Handled before.
            Standing::Approve { .. } => failure::of_policy(decision),
        }
    }
}

/// `None`: the decision is no question, or nobody asks.
fn question(caller: &Caller, wanted: &Wanted<'_>, decision: &Decision) -> Option<Question> {
    let who = caller.who();
    let approval: Arc<Approval> = decision.obligations.approval.clone()?;
    Some(Question {
        requester: Requester {
            issuer: who.issuer.clone(),
            subject: lasting_name(caller)?,
            client_id: who.client_id.cloned(),
            asserted: wanted.asserted.cloned(),
        },
        tool: wanted.tool.clone(),
        call: wanted.call.clone(),
        request_state: wanted.request_state.map(str::to_owned),
        terms: Terms {
            rule: decision.matched_rule_id.clone()?,
            policy_version: Arc::clone(&decision.policy_version),
            approvers: approval.approvers.clone(),
            self_approval: approval.self_approval,
            valid_for: Duration::from_secs(approval.valid_for_seconds.into()),
        },
    })
}

/// `sub`; of somebody in Entra `oid` or the application's id, since `sub` is another one for each application there.
fn lasting_name(caller: &Caller) -> Option<Subject> {
    let principal = caller.principal();
    match principal.entra().map(|entra| &entra.object) {
        Some(EntraObject::User(name) | EntraObject::Application(name)) => name.parse().ok(),
        None => principal.subject().cloned(),
    }
}
