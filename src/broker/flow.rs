//! One call under way: who, under which request id, since when, and what was left out.

use std::sync::OnceLock;
use std::time::Duration;

use crate::audit::{AuditError, AuditEvent, Context, Noted, Redaction};
use crate::graph::GraphReply;
use crate::id::{EventId, RequestId};
use crate::policy::{Decision, Recorded};
use crate::token::ProviderToken;

use super::Broker;
use super::call::GraphCall;
use super::caller::Caller;
use super::execute::emitted;
use super::outages::Outages;
use super::reply::{Failure, Reply, Spent, redaction};

/// What every step of one call shares.
pub(super) struct Flow<'a> {
    broker: &'a Broker,
    caller: &'a Caller,
    request_id: RequestId,
    context: Context,
    redactions: Vec<Redaction>,
    /// The event that says what policy decided, once it did.
    decision_id: OnceLock<EventId>,
}

impl<'a> Flow<'a> {
    pub(super) fn start(broker: &'a Broker, caller: &'a Caller, call: &GraphCall) -> Self {
        let redactions: Vec<Redaction> =
            call.request().redactions().iter().map(redaction).collect();
        let context = Context {
            request_id: call.request_id(),
            asserted_requester_id: call.asserted_requester().cloned(),
            redactions: redactions.clone(),
            ..caller.context().clone()
        };
        Self {
            broker,
            caller,
            request_id: call.request_id(),
            context,
            redactions,
            decision_id: OnceLock::new(),
        }
    }

    pub(super) const fn caller(&self) -> &'a Caller {
        self.caller
    }

    pub(super) fn outages(&self) -> &Outages {
        &self.broker.outages
    }

    /// What an attempt at Graph gets where the call has that much left.
    pub(super) const fn attempt_timeout(&self) -> Duration {
        self.broker.graph.attempt_timeout()
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }

    /// Records a step that does not end the call.
    pub(super) async fn record(&self, event: AuditEvent) -> Result<(), AuditError> {
        self.caller.record(&self.context, event).await.map(drop)
    }

    /// Queues what was done, without waiting; [`Flow::kept`] waits.
    pub(super) fn note(&self, event: &AuditEvent) -> Result<Noted, AuditError> {
        self.caller.note(&self.context, event)
    }

    pub(super) async fn kept(&self, noted: Noted) -> Result<(), AuditError> {
        self.caller.kept(noted).await
    }

    /// Records what policy decided. From now on every answer names that event as its `decision_id`.
    pub(super) async fn decided(
        &self,
        decision: &Decision,
        question: Box<Recorded>,
    ) -> Result<(), AuditError> {
        let event = AuditEvent::decided(decision, question);
        let event_id = self.caller.record(&self.context, event).await?;
        self.decision_id.get_or_init(|| event_id);
        Ok(())
    }

    /// Records the end, with everything that was left out of the answer.
    pub(super) async fn end(&self, reply: &Reply) -> Result<(), AuditError> {
        let context = Context { redactions: reply.redactions().to_vec(), ..self.context.clone() };
        self.caller.end_with(context, emitted(reply, millis(self.elapsed()))).await
    }

    pub(super) fn success(
        &self,
        decision: &Decision,
        token: &ProviderToken,
        reply: GraphReply,
        attempts: u32,
    ) -> Reply {
        let spent = Spent {
            attempts,
            duration_ms: millis(self.elapsed()),
            redactions: self.redactions.clone(),
            decision_id: self.decision_id.get().copied(),
            simulated: self.broker.simulated,
        };
        Reply::success(self.request_id, decision, token, reply, spent)
    }

    pub(super) fn failure(&self, failure: Failure) -> Reply {
        let failure = failure.with("decision_id", self.decision_id.get());
        let mut redactions = self.redactions.clone();
        if failure.withholds_the_answer {
            let field = "error.metadata.provider_body".to_owned();
            redactions.push(Redaction { field, reason: "sensitive" });
        }
        Reply::failure(self.request_id, failure, redactions, self.broker.simulated)
    }

    fn elapsed(&self) -> Duration {
        self.broker.clock.monotonic().saturating_sub(self.caller.started())
    }
}

/// Whole milliseconds, as durations are shown.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
