//! Why an event could not be recorded, and why a log could not be opened.

use std::io;
use std::path::PathBuf;

use crate::code::Code;

/// Why the caller must not go on: its event is not known to be kept. The code is `broker.unavailable`.
///
/// The event may still reach the log later. The opposite never happens: what was acknowledged is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    #[error("the audit queue is full")]
    QueueFull,
    #[error("an audit sink does not take events now")]
    SinkFailing,
    #[error("the audit log gave no acknowledgement in time")]
    Timeout,
    #[error("the audit log is closed")]
    Closed,
    /// At the end, with a sink that still fails: so many lines are not written.
    #[error("{lines} audit events could not be written before the end")]
    NotWritten { lines: usize },
    #[error("an audit event could not be written as JSON")]
    Serialize,
}

impl AuditError {
    /// One code for all: an audit log that is away is ours to repair, and a retry can help.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::QueueFull
            | Self::SinkFailing
            | Self::Timeout
            | Self::Closed
            | Self::NotWritten { .. }
            | Self::Serialize => Code::BrokerUnavailable,
        }
    }
}

/// Why the audit log cannot be used at all. Found at start; the message is for operators.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "cannot use the audit log {path}\n  hint: audit.sink.path names a file in a folder that exists or can be made, and belongs to the \
         broker's user"
    )]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the audit log {path} is in use by another process\n  hint: give each broker its own audit.sink.path"
    )]
    Locked { path: PathBuf },
    #[error(
        "the last line of {path} has {}hash chain, and audit.sink.hash_chain is {}\n  hint: choose another \
         audit.sink.path, or move the old files away together",
        if *.wanted { "no " } else { "a " },
        .wanted
    )]
    ChainMode { path: PathBuf, wanted: bool },
    #[error(
        "the last line of {path} was changed: its hash does not match\n  hint: run `broker audit verify`, keep the \
         files as evidence, and move them away together to start a new chain"
    )]
    ChainBroken { path: PathBuf },
    #[error(
        "audit.sink.path {path} does not name a file\n  hint: a file in a folder of its own, such as /var/lib/broker/audit/audit.jsonl"
    )]
    NotAFile { path: PathBuf },
    #[error(
        "no thread for the audit log\n  hint: raise the limit of processes (ulimit -u, pids.max)"
    )]
    Thread(#[source] io::Error),
}

impl OpenError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
