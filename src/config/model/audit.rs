//! `[audit]`: where events go, and what happens when they cannot.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[audit]`, parsed.
#[derive(Clone, Debug)]
pub struct Audit {
    pub on_failure: OnFailure,
    pub queue_length: usize,
    /// Never empty.
    pub sinks: Vec<AuditSink>,
}

/// What happens to a call whose events cannot be written. There is no `drop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It waits up to its budget, then fails.
    #[default]
    Block,
    /// It fails at once.
    Deny,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditSink {
    Stdout,
    File(FileSink),
}

/// A file and its older segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    pub path: PathBuf,
    pub rotate_bytes: u64,
    pub keep: Option<Duration>,
    pub max_total_bytes: Option<u64>,
    pub durable: bool,
    pub hash_chain: bool,
}

/// Where audit events go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAudit {
    /// What happens to a call whose events cannot be written. `block`: it waits up to its budget, then fails;
    /// `deny`: it fails at once.
    pub(super) on_failure: OnFailure,
    /// How many events may wait.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub(super) queue_length: u32,
    /// Where events go. Unset: stdout.
    pub(super) sink: Vec<RawSink>,
}

impl Default for RawAudit {
    fn default() -> Self {
        Self { on_failure: OnFailure::default(), queue_length: 4096, sink: Vec::new() }
    }
}

/// Where events go. All keys but `kind` are those of `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSink {
    /// What it is.
    pub(super) kind: RawSinkKind,
    /// The file, made with mode 0600. Older segments lie beside it.
    pub(super) path: Option<PathBuf>,
    /// A new segment starts after so many MiB. Unset: 256.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub(super) rotate_mb: Option<u32>,
    /// Segments not written to for longer are deleted. Unset: never.
    #[schemars(range(min = 1, max = 36_500))]
    pub(super) keep_days: Option<u32>,
    /// Older segments are deleted until all together take at most so many MiB. Unset: no limit.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub(super) max_total_mb: Option<u32>,
    /// Acknowledges only what is on disk. Unset: false.
    pub(super) durable: Option<bool>,
    /// Chains every line to the one before it, for `broker audit verify`. Unset: false.
    pub(super) hash_chain: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawSinkKind {
    Stdout,
    File,
}
