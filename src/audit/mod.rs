//! The audit log: what was decided, by whom, with which outcome. Never a token, a secret or a body.

mod envelope;
mod event;

pub use envelope::{Context, Envelope, SCHEMA_VERSION};
pub use event::{AuditEvent, Outcome, Redaction, ResultStatus, TokenFailure, TokenName};
