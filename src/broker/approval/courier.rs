//! Brings the news that a call waits to where the settings say. Never in the way of the call itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditEvent, Auditor, Context};
use crate::id::{ApprovalId, RequestId, TraceId};
use crate::outbound::{Answer, Limits, Outbound, OutboundError};
use crate::random::Random;
use crate::store::ApprovalRow;
use crate::time::Clock;

use super::webhook::{Message, Webhook};

/// Messages that wait to be sent.
pub(super) const MOST_WAITING: usize = 256;
/// Messages that are being sent, or wait for their next attempt.
const MOST_UNDER_WAY: usize = 32;
const MOST_ATTEMPTS: u32 = 6;
/// Between the first two attempts; four times as long after each: all of it takes about six minutes.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Nobody reads the answer.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 64 * 1024 };

/// Where new questions are handed in. Clones hand in at the same place.
#[derive(Clone, Debug)]
pub struct Notices {
    waiting: mpsc::Sender<(TraceId, Message)>,
    desk: Arc<Desk>,
}

/// Sends what was handed in. Dropped, or without [`Courier::run`], nothing is sent and nobody waits for it.
#[derive(Debug)]
pub struct Courier {
    waiting: mpsc::Receiver<(TraceId, Message)>,
    desk: Arc<Desk>,
    first_wait: Duration,
}

/// What sending needs.
#[derive(Debug)]
struct Desk {
    webhook: Webhook,
    outbound: Outbound,
    auditor: Auditor,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Notices {
    /// Hands in, at once: where too many wait, this one is not sent, which is recorded. It is in every list all the same.
    pub(super) async fn tell(&self, context: &Context, row: &ApprovalRow, page: String) {
        if self.waiting.try_send((context.trace_id, Message::new(row, page))).is_err() {
            tracing::warn!(approval = %row.id, "approval.webhook.not_sent");
            self.desk.record(context.trace_id, row.id, (false, 0)).await;
        }
    }
}

impl Courier {
    #[must_use]
    pub fn new(
        webhook: Webhook,
        outbound: Outbound,
        auditor: Auditor,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    ) -> (Notices, Self) {
        let (notices, waiting) = mpsc::channel(MOST_WAITING);
        let desk = Arc::new(Desk { webhook, outbound, auditor, clock, random });
        let courier = Self { waiting, desk: Arc::clone(&desk), first_wait: FIRST_WAIT };
        (Notices { waiting: notices, desk }, courier)
    }

    #[cfg(test)]
    pub(super) fn waiting_first(mut self, first_wait: Duration) -> Self {
        self.first_wait = first_wait;
        self
    }

    /// Sends until `stop`; what is under way or waits then is given up, and recorded as not delivered.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        loop {
            let has_room = under_way.len() < MOST_UNDER_WAY;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = under_way.join_next() => {}
                handed_in = self.waiting.recv(), if has_room => match handed_in {
                    Some((trace_id, message)) => {
                        let (desk, stop) = (Arc::clone(&self.desk), stop.clone());
                        let around = (self.first_wait, stop);
                        under_way.spawn(async move { desk.deliver(trace_id, &message, around).await });
                    }
                    None => break,
                },
            }
        }
        let given_up = under_way.len().saturating_add(self.waiting.len());
        if given_up > 0 {
            tracing::warn!(given_up, "approval.webhook.stopped");
        }
        self.waiting.close();
        while let Ok((trace_id, message)) = self.waiting.try_recv() {
            self.desk.record(trace_id, message.approval, (false, 0)).await;
        }
        while under_way.join_next().await.is_some() {}
    }
}

impl Desk {
    async fn deliver(
        &self,
        trace_id: TraceId,
        message: &Message,
        (first_wait, stop): (Duration, CancellationToken),
    ) {
        let (mut attempt, mut wait) = (1, first_wait);
        let delivered = loop {
            let now = self.clock.now();
            let answer = tokio::select! {
                answer = self.outbound.send(self.webhook.call(message, now), LIMITS) => answer,
                () = stop.cancelled() => break false,
            };
            if is_taken(&answer) {
                break true;
            }
            tracing::warn!(
                approval = %message.approval, attempt, outcome = outcome(&answer), "approval.webhook.failed"
            );
            let asked = answer.as_ref().ok().and_then(|answer| answer.retry_after(now));
            let next = wait.max(asked.unwrap_or_default()).min(LONGEST_WAIT);
            let too_late = now.plus(next) >= message.expires_at;
            if attempt >= MOST_ATTEMPTS || is_gone(&answer) || too_late {
                break false;
            }
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = stop.cancelled() => break false,
            }
            (attempt, wait) = (attempt + 1, wait.saturating_mul(4));
        };
        self.record(trace_id, message.approval, (delivered, attempt)).await;
    }

    async fn record(
        &self,
        trace_id: TraceId,
        approval: ApprovalId,
        (delivered, attempts): (bool, u32),
    ) {
        let event = AuditEvent::ApprovalNotify { approval, delivered, attempts };
        if let Err(error) = self.auditor.record(&self.context(trace_id), event).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "approval.webhook.unrecorded"
            );
        }
    }
}

impl Desk {
    /// The call has ended long ago: this belongs to no request, and to its trace.
    fn context(&self, trace_id: TraceId) -> Context {
        Context {
            request_id: RequestId::generate(&*self.clock, &*self.random),
            trace_id,
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        }
    }
}

/// Any 2xx (Standard Webhooks, Delivery).
fn is_taken(answer: &Result<Answer, OutboundError>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.status.is_success())
}

/// The receiver wants no more of these.
fn is_gone(answer: &Result<Answer, OutboundError>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.status == http::StatusCode::GONE)
}

fn outcome(answer: &Result<Answer, OutboundError>) -> String {
    match answer {
        Ok(answer) => answer.status.as_u16().to_string(),
        Err(error) => error.to_string(),
    }
}
