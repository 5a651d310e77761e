//! The spine: one Graph call, from a caller to an answer. If you read one file of this product, read this one.

use std::sync::Arc;

use crate::audit::{AuditError, AuditEvent, ResultStatus};
use crate::code::Code;
use crate::graph::GraphReply;
use crate::policy::{
    Approved, Arguments, Ask, Decision, Effect, GraphAsk, GraphGrant, InForce, Moment, Obligations,
    Operation, Permit, Who,
};
use crate::time::Budget;
use crate::token::{ProviderToken, TokenError, TokenSource};

use super::Broker;
use super::approval::Exactly;
use super::approve;
use super::attempts::Attempts;
use super::call::{CallError, GraphCall};
use super::caller::Caller;
use super::credential::ProfileSecret;
use super::failure;
use super::flow::Flow;
use super::reply::{Failure, Reply};

/// The tool whose rules decide.
pub(super) const TOOL: &str = "auth.graph.operation.execute.v1";

impl Broker {
    /// Executes one call: decide by these rules as of this moment, which are those of the limits that let it through, get a
    /// token, call Graph. Every step is recorded before the next.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: the audit log could not take an event, so there is no answer. Every other
    /// failure is a [`Reply`].
    pub async fn execute(
        &self,
        caller: &Caller,
        call: &GraphCall,
        rules: (&InForce, Moment),
    ) -> Result<Reply, AuditError> {
        let flow = Flow::start(self, caller, call);
        flow.record(received(call)).await?;
        let reply = match self.run(&flow, call, rules).await {
            Ok(reply) => reply,
            Err(Stopped::Failed(failure)) => flow.failure(failure),
            Err(Stopped::Unrecorded(error)) => return Err(error),
        };
        flow.end(&reply).await?;
        Ok(reply)
    }

    /// Answers arguments that are no call.
    ///
    /// # Errors
    ///
    /// As for [`Broker::execute`].
    pub async fn refuse(&self, caller: &Caller, error: &CallError) -> Result<Reply, AuditError> {
        let reason = Failure::new(error.code, error.to_string()).with("field", Some(&error.field));
        let reply = Reply::failure(error.request_id, reason, Vec::new(), self.simulated);
        caller.end(emitted(&reply, 0)).await?;
        Ok(reply)
    }

    async fn run(
        &self,
        flow: &Flow<'_>,
        call: &GraphCall,
        rules: (&InForce, Moment),
    ) -> Result<Reply, Stopped> {
        let budget = Budget::start(Arc::clone(&self.clock), call.timeout());
        let permit = self.decide(flow, call, rules).await?;
        let mut token = self.token(&permit, &budget).await?;
        let mut attempts = Attempts::new(flow, call, permit.operation());
        let mut answer =
            self.graph.execute(&permit, &token, call.request(), &budget, &mut attempts).await;
        // Graph refused before it acted, so any method may be sent once more with a new token.
        if answer.as_ref().is_err_and(crate::graph::GraphError::token_refused)
            && self.tokens.drop_token(&token)
        {
            token = self.token(&permit, &budget).await?;
            answer =
                self.graph.execute(&permit, &token, call.request(), &budget, &mut attempts).await;
        }
        attempts.recorded()?;
        let reply: GraphReply = answer.map_err(|error| failure::of_graph(&error))?;
        Ok(flow.success(permit.decision(), &token, reply, attempts.count()))
    }

    /// `Caller -> Permit`: the decision, recorded also when it is a refusal.
    async fn decide(
        &self,
        flow: &Flow<'_>,
        call: &GraphCall,
        (in_force, now): (&InForce, Moment),
    ) -> Result<Permit<GraphGrant>, Stopped> {
        if call.tenant().is_none() && in_force.policy().sole_tenant().is_none() {
            let message = "graph.tenant_id: is required, because several tenants are configured";
            return Err(Failure::new(Code::InvalidField, message)
                .with("field", Some("graph.tenant_id"))
                .into());
        }
        let (decided, difference, question) = call.ask(|graph| {
            let ask = asked(flow.caller().who(), call, graph, now);
            let decided = in_force.policy().permit_graph(&ask);
            let decision = decided.as_ref().map_or_else(|refusal| refusal, Permit::decision);
            let difference = self.policy.difference(in_force, &ask, decision);
            (decided, difference, in_force.record(&ask))
        });
        let decision = decided.as_ref().map_or_else(|refusal| refusal, Permit::decision);
        flow.decided(decision, question).await?;
        if let Some(failed) = AuditEvent::conditions_failed(super::tool_name(), decision) {
            flow.record(failed).await?;
        }
        if let Some(mut difference) = difference {
            let first = difference.take_first();
            flow.record(AuditEvent::differed(super::tool_name(), decision, difference)).await?;
            if let Some(first) = first {
                first.is_recorded();
            }
        }
        match decided {
            Ok(permit) => Ok(permit),
            Err(refusal) if refusal.effect == Effect::Ask => {
                let approved = self.approved(flow, call, &refusal).await?;
                let permit = call.ask(|graph| {
                    let ask = asked(flow.caller().who(), call, graph, now);
                    in_force.policy().permit_approved(&ask, &approved)
                });
                permit.map_err(|refusal| failure::of_policy(&refusal).into())
            }
            Err(refusal) => Err(failure::of_policy(&refusal).into()),
        }
    }

    /// Waits for nobody: either a person has approved this exact call, or the answer says where one can.
    async fn approved(
        &self,
        flow: &Flow<'_>,
        call: &GraphCall,
        decision: &Decision,
    ) -> Result<Approved, Stopped> {
        let wanted = approve::Wanted {
            tool: super::tool_name(),
            call: Exactly::Arguments(call.arguments().to_owned()),
            asserted: call.asserted_requester(),
            request_state: call.request_state(),
        };
        let settled = self.settle(flow.caller(), flow.context(), &wanted, decision).await?;
        Ok(settled?)
    }

    /// `Permit -> Secret -> ProviderToken`: the secret is read only where no token is at hand.
    async fn token(
        &self,
        permit: &Permit<GraphGrant>,
        budget: &Budget,
    ) -> Result<ProviderToken, Stopped> {
        let profile = self.profile(&permit.operation().profile)?;
        let secret = ProfileSecret::new(&self.secrets, permit, profile, budget);
        let token = self.tokens.obtain(permit, &profile.settings, &secret, budget).await;
        if !token.as_ref().is_ok_and(|token| token.source() == TokenSource::Cache) {
            let login = || format!("login endpoint of tenant {}", permit.operation().tenant);
            self.outages.note(login, token.as_ref().err().map(TokenError::code));
        }
        token.map_err(|error| failure::of_token(&error).into())
    }
}

/// Why there is no result.
pub(super) enum Stopped {
    Failed(Failure),
    Unrecorded(AuditError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<AuditError> for Stopped {
    fn from(error: AuditError) -> Self {
        Self::Unrecorded(error)
    }
}

/// What policy is asked about the call.
fn asked<'a>(caller: Who<'a>, call: &'a GraphCall, graph: GraphAsk<'a>, now: Moment) -> Ask<'a> {
    let arguments = Arguments::Json(call.arguments());
    Ask { who: caller, tool: TOOL, operation: Operation::Graph(graph), arguments, now }
}

fn received(call: &GraphCall) -> AuditEvent {
    AuditEvent::RequestReceive {
        tool_name: super::tool_name(),
        contract_version: super::call::CONTRACT_VERSION,
        tenant_id: call.tenant().cloned(),
        requested_scopes: call
            .permissions()
            .iter()
            .filter_map(|name| name.as_str().parse().ok())
            .collect(),
    }
}

/// The terminal event of a Graph call.
pub(super) fn emitted(reply: &Reply, duration_ms: u64) -> AuditEvent {
    AuditEvent::ResultEmit {
        method: "tools/call",
        tool_name: Some(super::tool_name()),
        status: if reply.error_code().is_none() { ResultStatus::Ok } else { ResultStatus::Error },
        error_code: reply.error_code(),
        duration_ms,
        decision: None,
        reason: None,
        policy_version: None,
        evaluated: Vec::new(),
        obligations: Obligations::default(),
        question: None,
    }
}
