//! `[audit]`: where events go, and what happens when they cannot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::authorization_server::parse_each;
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::config::mask::quoted;
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

const MIB: u64 = 1 << 20;

impl RawAudit {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Audit {
        let list = at.name("sink");
        refuse_one_file_twice(&self.sink, &list, to);
        let mut sinks = parse_each(self.sink, &list, to, RawSink::parse);
        if sinks.is_empty() {
            if to.length(&list) == Some(0) {
                let finding = Finding::error(
                    FindingCode::NotAllowed,
                    &list,
                    "is empty: nothing would be audited",
                );
                to.add(finding.allowed("at least one sink").hint("leave it out for stdout"));
            }
            sinks.push(AuditSink::Stdout);
        }
        Audit { on_failure: self.on_failure, queue_length: self.queue_length as usize, sinks }
    }
}

/// Each file has one writer, and a second one would wait for the first as if that were another broker.
fn refuse_one_file_twice(sinks: &[RawSink], list: &Key, to: &mut Checker<'_>) {
    let mut seen = Vec::new();
    for (place, sink) in sinks.iter().enumerate() {
        let Some(path) = sink.path.as_ref().filter(|_| sink.kind == RawSinkKind::File) else {
            continue;
        };
        let file = one_name(&to.directory.join(path));
        if seen.contains(&file) {
            let key = to.item(list, place).name("path");
            let problem = "is the file of an earlier sink";
            let finding = Finding::error(FindingCode::Conflict, &key, problem);
            let finding = finding.found(quoted(&path.to_string_lossy()));
            to.add(finding.hint("take one out, or give each a file of its own"));
        }
        seen.push(file);
    }
}

/// By which two spellings of one file can be told, though it may not be there yet.
fn one_name(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match (std::fs::canonicalize(path), std::fs::canonicalize(folder), path.file_name()) {
        (Ok(file), ..) => file,
        (Err(_), Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

impl RawSink {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<AuditSink> {
        match self.kind {
            RawSinkKind::Stdout => {
                self.refuse_file_keys(at, to);
                Some(AuditSink::Stdout)
            }
            RawSinkKind::File => self.file(at, to).map(AuditSink::File),
        }
    }

    fn refuse_file_keys(&self, at: &Key, to: &mut Checker<'_>) {
        let keys = [
            ("path", self.path.is_some()),
            ("rotate_mb", self.rotate_mb.is_some()),
            ("keep_days", self.keep_days.is_some()),
            ("max_total_mb", self.max_total_mb.is_some()),
            ("durable", self.durable == Some(true)),
            ("hash_chain", self.hash_chain == Some(true)),
        ];
        for (name, given) in keys {
            if given {
                let finding = Finding::error(
                    FindingCode::Conflict,
                    &at.name(name),
                    "is for files, and this sink is stdout",
                );
                to.add(finding.hint("kind = \"file\""));
            }
        }
    }

    fn file(self, at: &Key, to: &mut Checker<'_>) -> Option<FileSink> {
        let Some(path) = self.path else {
            let finding = Finding::error(FindingCode::Missing, &at.name("path"), "is missing");
            to.add(finding.allowed("a file such as /var/lib/broker/audit/audit.jsonl"));
            return None;
        };
        let rotate_bytes = u64::from(self.rotate_mb.unwrap_or(256)) * MIB;
        let max_total_bytes = self.max_total_mb.map(|mb| u64::from(mb) * MIB);
        if max_total_bytes.is_some_and(|total| total < rotate_bytes) {
            let problem = "is less than rotate_mb: a segment would be deleted before it is full";
            to.add(Finding::error(FindingCode::Conflict, &at.name("max_total_mb"), problem));
        }
        Some(FileSink {
            path: to.directory.join(path),
            rotate_bytes,
            keep: self.keep_days.map(|days| Duration::from_hours(24 * u64::from(days))),
            max_total_bytes,
            durable: self.durable.unwrap_or(false),
            hash_chain: self.hash_chain.unwrap_or(false),
        })
    }
}
