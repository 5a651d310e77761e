//! The audit log through its public door: nothing acknowledged is lost, nothing changed goes unseen.

use crate::support::audit::{
    LIMIT, assert_one_terminal_per_request, chained, context, lines, numbered, numbers, open,
    settings,
};
use mcp_auth_broker::audit::{
    AuditError, AuditSettings, Auditor, FileSettings, OnFailure, OpenError, Report, SinkSettings,
    segments, verify,
};
use mcp_auth_broker::code::Code;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

mod chain;
mod crash;
mod failing;

fn log() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit/audit.jsonl");
    (folder, path)
}

fn open_file(file: FileSettings) -> Auditor {
    open(settings(SinkSettings::File(file))).unwrap()
}

async fn record(auditor: &Auditor, range: std::ops::Range<u64>) {
    for number in range {
        auditor.record(&context(), numbered(number)).await.unwrap();
    }
}

/// A closed chained log of `count` lines.
async fn chained_log(path: &Path, count: u64) {
    let auditor = open_file(chained(path));
    record(&auditor, 0..count).await;
    auditor.close(LIMIT).await.unwrap();
}

fn check(path: &Path) -> Report {
    verify(path, None, &mut |_| ()).unwrap()
}

/// The file name, line and reason of the first bad line.
fn bad(path: &Path) -> Option<(String, u64, String)> {
    let bad = check(path).bad?;
    let name = bad.file.file_name()?.to_str()?.to_owned();
    Some((name, bad.line, bad.fault.to_string()))
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.concat()).unwrap();
}

#[tokio::test]
async fn close_writes_everything_that_was_acknowledged() {
    let (_folder, path) = log();
    let auditor = open_file(FileSettings::at(&path));
    record(&auditor, 0..500).await;
    auditor.close(LIMIT).await.unwrap();
    assert_eq!(numbers(&lines(&path)), (0..500).collect::<Vec<_>>());
    let after = auditor.record(&context(), numbered(0)).await;
    assert_eq!(after, Err(AuditError::Closed));
}

#[tokio::test]
async fn flush_answers_when_everything_is_written() {
    let (_folder, path) = log();
    let auditor = open_file(FileSettings::at(&path));
    record(&auditor, 0..10).await;
    auditor.flush().await.unwrap();
    assert_eq!(numbers(&lines(&path)).len(), 10);
}

#[tokio::test]
async fn a_line_has_the_envelope_of_the_contract() {
    let (_folder, path) = log();
    let auditor = open_file(FileSettings::at(&path));
    record(&auditor, 7..8).await;
    auditor.close(LIMIT).await.unwrap();
    let mut line: serde_json::Value = serde_json::from_str(&lines(&path)[0]).unwrap();
    for volatile in ["event_id", "occurred_at", "request_id", "trace_id"] {
        assert!(line[volatile].is_string());
        line[volatile] = "…".into();
    }
    insta::assert_json_snapshot!(line, @r#"
    {
      "client_id": null,
      "environment": "dev",
      "event_id": "…",
      "event_type": "result.emitted",
      "occurred_at": "…",
      "payload": {
        "duration_ms": 7,
        "error_code": null,
        "method": "tools/call",
        "status": "ok",
        "tool_name": "get_public_info"
      },
      "redactions": [],
      "request_id": "…",
      "requester_id": "ada",
      "schema_version": "v0.1.0",
      "service": "mcp-auth-broker",
      "trace_id": "…"
    }
    "#);
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let (_folder, path) = log();
    chained_log(&path, 40).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files = segments(&path).unwrap();
    assert!(files.len() > 2);
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[tokio::test]
async fn a_second_writer_is_refused() {
    let (_folder, path) = log();
    let _first = open_file(FileSettings::at(&path));
    let second = open(settings(SinkSettings::File(FileSettings::at(&path))));
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
}
