//! The audit log: what was decided, by whom, with which outcome. Never a token, a secret or a body.
//!
//! Callers make lines and append them to a [`lane`] of each sink; a [`writer`] thread for each hands them to it. The [`queue`]
//! is all of them.
//! `docs/audit.md` says what each setting guarantees and costs.

mod auditor;
mod chain;
mod envelope;
mod error;
mod event;
mod event_of;
mod file;
mod guard;
mod lane;
mod line;
mod lookup;
mod queue;
mod recent;
mod segments;
mod sink;
mod strangers;
mod verify;
mod vocabulary;
mod writer;

pub use auditor::{AuditSettings, AuditStatus, Auditor, Noted, Observer, OnFailure};
pub use chain::LineFault;
pub use envelope::{Context, Envelope, SCHEMA_VERSION};
pub use error::{AuditError, OpenError};
pub use event::AuditEvent;
pub use guard::TerminalGuard;
pub use lookup::{Found, lookup, lookup_at_end};
pub use sink::{FileSettings, SinkSettings};
pub use verify::{Anchor, BadLine, Repair, Report, segments, verify};
pub use vocabulary::{
    AdminAction, AdminObject, AdminOutcome, AdminRefusal, ApprovalOutcome, ApprovalRefusal,
    FlawedThing, GrantType, LoginFailure, LoginMethod, LogoutFailure, Outcome, Parameter,
    Redaction, ResultStatus, Reused, Revoked, Sent, TokenFailure, TokenName, ToolFlaw,
};
