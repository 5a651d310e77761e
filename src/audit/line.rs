//! Makes the line of an event: the envelope as JSON, written straight into a byte buffer.

use std::sync::Arc;

use crate::id::EventId;
use crate::random::Random;
use crate::time::Clock;

use super::envelope::{Context, Envelope, SCHEMA_VERSION};
use super::error::AuditError;
use super::event::AuditEvent;

/// What all lines of this process share.
#[derive(Clone, Debug)]
pub(super) struct LineFormat {
    pub(super) service: Arc<str>,
    pub(super) environment: &'static str,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl LineFormat {
    /// Replaces `line` with the event's line, newline included, and gives the id it has made for it.
    ///
    /// A text cannot break out of its line: JSON escapes every control character below U+0020.
    pub(super) fn write(
        &self,
        line: &mut Vec<u8>,
        context: &Context,
        event: &AuditEvent,
    ) -> Result<EventId, AuditError> {
        let now = self.clock.now();
        let event_id = EventId::at(now, &*self.random);
        let envelope = Envelope {
            schema_version: SCHEMA_VERSION,
            event_id,
            occurred_at: now,
            request_id: context.request_id,
            trace_id: context.trace_id,
            requester_id: context.requester_id.as_ref(),
            client_id: context.client_id.as_ref(),
            asserted_requester_id: context.asserted_requester_id.as_ref(),
            service: &self.service,
            environment: self.environment,
            redactions: &context.redactions,
            event,
        };
        line.clear();
        serde_json::to_writer(&mut *line, &envelope).map_err(|_| AuditError::Serialize)?;
        line.push(b'\n');
        Ok(event_id)
    }
}
