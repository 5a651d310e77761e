//! Exactly one terminal event for a request, also when its caller goes away.

use std::time::Duration;

use crate::id::ToolName;
use crate::policy::Obligations;

use super::auditor::Auditor;
use super::envelope::Context;
use super::error::AuditError;
use super::event::AuditEvent;
use super::lane::Slot;
use super::vocabulary::ResultStatus;

/// Owes the terminal event of one request. [`TerminalGuard::finish`] pays it; dropping the guard
/// without it (the caller disconnected, a task was aborted or panicked) pays with
/// `result.emitted`, status `cancelled`.
///
/// The room for that one line is taken when the guard is made, beside the queue. So neither way ever
/// waits for room, none is refused because the queue is full, and the line is not lost while a sink fails.
#[derive(Debug)]
pub struct TerminalGuard {
    auditor: Auditor,
    /// What the terminal event will carry; redactions may be added until then.
    pub context: Context,
    method: &'static str,
    tool_name: Option<ToolName>,
    started: Duration,
    owes: bool,
}

impl Auditor {
    /// Puts one request under guard, before anything is done for it. `method` is the MCP method.
    ///
    /// # Errors
    ///
    /// As [`Auditor::record`]: as many calls as the queue is long are under way, or a sink fails.
    pub async fn guard(
        &self,
        context: Context,
        method: &'static str,
        tool_name: Option<ToolName>,
    ) -> Result<TerminalGuard, AuditError> {
        self.take_reserve().await?;
        let started = self.clock().monotonic();
        Ok(TerminalGuard { auditor: self.clone(), context, method, tool_name, started, owes: true })
    }
}

impl TerminalGuard {
    /// Says what the request turned out to be, for the event of a caller that goes away.
    pub fn describe(&mut self, method: &'static str, tool_name: Option<ToolName>) {
        self.method = method;
        self.tool_name = tool_name;
    }

    /// Since the guard was made: `duration_ms` of the terminal event.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.auditor.clock().monotonic().saturating_sub(self.started)
    }

    /// Records `event`, which must be terminal. It is queued before the first wait, so a dropped
    /// future neither loses nor doubles it.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: the event is queued but not known to be written. Nothing more is owed.
    pub async fn finish(mut self, event: AuditEvent) -> Result<(), AuditError> {
        debug_assert!(event.is_terminal(), "{event:?} does not end a request");
        self.owes = false;
        let (_, ack) = self.auditor.enqueue(&self.context, &event, Slot::Reserved)?;
        self.auditor.acknowledged_in_time(ack).await
    }

    /// Gives the debt up: the terminal event of this request is recorded by other means.
    pub fn release(mut self) {
        self.owes = false;
        self.auditor.free_reserve();
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        if !self.owes {
            return;
        }
        let event = AuditEvent::ResultEmit {
            method: self.method,
            tool_name: self.tool_name.clone(),
            status: ResultStatus::Cancelled,
            error_code: None,
            duration_ms: u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX),
            decision: None,
            reason: None,
            policy_version: None,
            evaluated: Vec::new(),
            obligations: Obligations::default(),
            question: None,
        };
        if let Err(error) = self.auditor.enqueue(&self.context, &event, Slot::Reserved) {
            tracing::error!(request_id = %self.context.request_id, %error, "a cancelled request has no terminal event");
        }
    }
}
