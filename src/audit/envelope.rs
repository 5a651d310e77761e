//! What every audit event carries beside its payload.

use serde::Serialize;

use crate::id::{ClientId, EventId, RequestId, Subject, TraceId};
use crate::time::Timestamp;

use super::event::AuditEvent;
use super::vocabulary::Redaction;

/// Version of the envelope and the payloads.
pub const SCHEMA_VERSION: &str = "v0.1.0";

/// Who and what an event belongs to: the same for all events of one request.
#[derive(Clone, Debug)]
pub struct Context {
    pub request_id: RequestId,
    pub trace_id: TraceId,
    /// `None` where nobody was established.
    pub requester_id: Option<Subject>,
    pub client_id: Option<ClientId>,
    /// Whom a trusted gateway says it acts for, where it says so.
    pub asserted_requester_id: Option<Subject>,
    pub redactions: Vec<Redaction>,
}

/// One line of the audit log.
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    pub schema_version: &'static str,
    pub event_id: EventId,
    pub occurred_at: Timestamp,
    pub request_id: RequestId,
    pub trace_id: TraceId,
    pub requester_id: Option<&'a Subject>,
    pub client_id: Option<&'a ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asserted_requester_id: Option<&'a Subject>,
    pub service: &'a str,
    pub environment: &'static str,
    pub redactions: &'a [Redaction],
    #[serde(flatten)]
    pub event: &'a AuditEvent,
}
