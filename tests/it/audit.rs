//! The audit log through its public door: nothing acknowledged is lost, nothing changed goes unseen.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mcp_auth_broker::audit::{
    AuditError, AuditSettings, Auditor, FileSettings, OnFailure, OpenError, Report, SinkSettings,
    segments, verify,
};
use mcp_auth_broker::code::Code;
use tempfile::TempDir;

use crate::support::audit::{
    LIMIT, assert_one_terminal_per_request, chained, context, lines, numbered, numbers, open,
    settings,
};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_under_load_loses_nothing() {
    let (_folder, path) = log();
    let auditor = open_file(chained(&path));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let auditor = auditor.clone();
        tasks.spawn(async move { record(&auditor, task * 1000..task * 1000 + 100).await });
    }
    tasks.join_all().await;
    auditor.close(LIMIT).await.unwrap();
    let mut found = numbers(&lines(&path));
    found.sort_unstable();
    let expected: Vec<u64> = (0..16).flat_map(|task| task * 1000..task * 1000 + 100).collect();
    assert_eq!(found, expected);
    assert!(segments(&path).unwrap().len() > 10);
    assert_eq!(bad(&path), None);
}

#[tokio::test]
async fn retention_keeps_the_newest_and_the_rest_still_verifies() {
    let (_folder, path) = log();
    let file = FileSettings { max_total_bytes: Some(30_000), ..chained(&path) };
    let auditor = open_file(file);
    record(&auditor, 0..300).await;
    auditor.close(LIMIT).await.unwrap();
    let total: u64 =
        segments(&path).unwrap().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(total < 40_000, "{total}");
    let report = check(&path);
    assert!(
        report.intact && report.first_seq > Some(1) && report.last_seq == Some(300),
        "{report:?}"
    );
}

#[tokio::test]
async fn the_chain_goes_on_across_restarts() {
    let (_folder, path) = log();
    chained_log(&path, 30).await;
    chained_log(&path, 30).await;
    let report = check(&path);
    assert!(report.intact, "{report:?}");
    assert_eq!((report.first_seq, report.last_seq), (Some(1), Some(60)));
}

#[tokio::test]
async fn a_changed_line_is_named() {
    let (_folder, path) = log();
    chained_log(&path, 5).await;
    edit(&path, |lines| lines[2] = lines[2].replace("\"ok\"", "\"no\""));
    let reason = "was changed: its hash does not match its bytes".to_owned();
    assert_eq!(bad(&path), Some(("audit.jsonl".to_owned(), 3, reason)));
}

#[tokio::test]
async fn missing_repeated_and_swapped_lines_are_named() {
    for change in [
        |lines: &mut Vec<String>| drop(lines.remove(2)),
        |lines: &mut Vec<String>| lines.insert(2, lines[1].clone()),
        |lines: &mut Vec<String>| lines.swap(2, 3),
    ] {
        let (_folder, path) = log();
        chained_log(&path, 5).await;
        edit(&path, change);
        assert_eq!(bad(&path).map(|(_, line, _)| line), Some(3));
    }
}

#[tokio::test]
async fn a_segment_cut_short_or_taken_away_is_named() {
    let (_folder, path) = log();
    chained_log(&path, 60).await;
    let files = segments(&path).unwrap();
    let whole = fs::read(&files[1]).unwrap();
    edit(&files[1], |lines| drop(lines.pop()));
    assert_eq!(bad(&path).map(|(_, line, _)| line), Some(1));
    fs::write(&files[1], &whole[..whole.len() - 10]).unwrap();
    assert_eq!(bad(&path).map(|(_, _, reason)| reason).as_deref(), Some("is torn: it has no end"));
    fs::remove_file(&files[1]).unwrap();
    assert!(bad(&path).is_some());
}

#[tokio::test]
async fn lines_cut_off_the_end_show_against_an_anchor() {
    let (_folder, path) = log();
    chained_log(&path, 5).await;
    let report = check(&path);
    let anchor = format!("5:{}", report.last_hash.unwrap()).parse().unwrap();
    assert!(verify(&path, Some(anchor), &mut |_| ()).unwrap().intact);
    edit(&path, |lines| drop(lines.pop()));
    assert!(check(&path).intact, "without an anchor this cannot be seen");
    assert!(!verify(&path, Some(anchor), &mut |_| ()).unwrap().intact);
}

#[tokio::test]
async fn a_torn_last_line_is_kept_and_told_of_in_a_new_segment() {
    let (_folder, path) = log();
    chained_log(&path, 5).await;
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"torn").unwrap();
    assert_eq!(bad(&path).map(|(_, line, _)| line), Some(6));
    chained_log(&path, 5).await;
    let report = check(&path);
    assert!(report.intact, "{report:?}");
    assert_eq!((report.repaired[0].torn_bytes, report.last_seq), (6, Some(11)));
    let first = fs::read_to_string(&path).unwrap();
    assert!(first.lines().next().unwrap().contains("\"audit.log.recovered\""), "{first}");
}

#[tokio::test]
async fn a_start_that_died_before_it_told_of_the_torn_line_is_made_good() {
    let (_folder, path) = log();
    chained_log(&path, 5).await;
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"torn").unwrap();
    fs::rename(&path, path.with_file_name("audit.000001.jsonl")).unwrap();
    fs::write(&path, b"{\"torn again").unwrap();
    chained_log(&path, 1).await;
    let report = check(&path);
    assert!(report.intact, "{report:?}");
    assert_eq!(report.repaired.len(), 2);
}

#[tokio::test]
async fn a_log_of_the_other_kind_or_with_a_changed_end_is_not_continued() {
    let (_folder, path) = log();
    chained_log(&path, 3).await;
    let plain = open(settings(SinkSettings::File(FileSettings::at(&path))));
    assert!(matches!(plain, Err(OpenError::ChainMode { wanted: false, .. })), "{plain:?}");
    edit(&path, |lines| lines[2] = lines[2].replace("\"ok\"", "\"no\""));
    let changed = open(settings(SinkSettings::File(chained(&path))));
    assert!(matches!(changed, Err(OpenError::ChainBroken { .. })), "{changed:?}");
}

#[tokio::test]
async fn a_deleted_log_is_started_anew_and_the_gap_shows() {
    let (_folder, path) = log();
    let auditor = open_file(chained(&path));
    record(&auditor, 0..3).await;
    auditor.flush().await.unwrap();
    fs::remove_file(&path).unwrap();
    record(&auditor, 3..6).await;
    auditor.close(LIMIT).await.unwrap();
    assert_eq!(numbers(&lines(&path)), [3, 4, 5]);
    assert_eq!(check(&path).first_seq, Some(4));
}

/// This test binary again, running the ignored test `name` after `shell`.
fn child(name: &str, path: &Path, shell: &str) -> Child {
    let test = std::env::current_exe().unwrap();
    Command::new("bash")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(test)
        .args([
            "--exact",
            &format!("audit::{name}"),
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("AUDIT_TEST_LOG", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "how a test hands a path to its child process")]
fn child_log() -> PathBuf {
    std::env::var_os("AUDIT_TEST_LOG").expect("run by another test").into()
}

/// Waits for a line of a child; answers it.
fn next(lines: &mut impl Iterator<Item = std::io::Result<String>>, start: &str) -> String {
    lines.map(Result::unwrap).find(|line| line.starts_with(start)).expect("the child goes on")
}

#[test]
fn every_event_acknowledged_before_a_kill_9_is_in_a_durable_log() {
    let (_folder, path) = log();
    let mut child = child("child_writes_durably", &path, "");
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    next(&mut output, "ack 200");
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let rest = output.map_while(Result::ok);
    let acknowledged = rest.filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).max();
    let acknowledged: u64 = acknowledged.unwrap_or(200);
    drop(open_file(FileSettings { durable: true, ..chained(&path) }));
    let found = numbers(&lines(&path));
    assert!((0..=acknowledged).all(|number| found.contains(&number)), "{acknowledged}");
    assert_eq!(bad(&path), None);
}

#[tokio::test]
#[ignore = "child process of every_event_acknowledged_before_a_kill_9_is_in_a_durable_log"]
#[expect(clippy::print_stdout, reason = "how the child tells what is acknowledged")]
async fn child_writes_durably() {
    let auditor = open_file(FileSettings { durable: true, ..chained(&child_log()) });
    for number in 0.. {
        auditor.record(&context(), numbered(number)).await.unwrap();
        println!("ack {number}");
    }
}

#[test]
fn a_full_disk_refuses_events_and_recovers_by_itself() {
    let (_folder, path) = log();
    // A write past 64 KiB fails with EFBIG, as one on a full disk does with ENOSPC.
    let mut child = child("child_fills_the_disk", &path, "trap '' XFSZ; ulimit -S -f 64;");
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let refused = next(&mut output, "refused");
    assert_eq!(refused, "refused broker.unavailable healthy=false");
    let raise = ["--fsize=unlimited:unlimited", "--pid", &child.id().to_string()];
    assert!(Command::new("prlimit").args(raise).status().unwrap().success());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let acknowledged = next(&mut output, "closed");
    assert!(child.wait().unwrap().success());
    let acknowledged: Vec<u64> =
        acknowledged.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
    let found = numbers(&lines(&path));
    assert!(acknowledged.iter().all(|number| found.contains(number)));
    assert_eq!(bad(&path), None);
}

#[tokio::test]
#[ignore = "child process of a_full_disk_refuses_events_and_recovers_by_itself"]
#[expect(clippy::print_stdout, reason = "how the child tells what happened")]
async fn child_fills_the_disk() {
    let file = FileSettings { durable: true, hash_chain: true, ..FileSettings::at(child_log()) };
    let deny = AuditSettings { on_failure: OnFailure::Deny, ..settings(SinkSettings::File(file)) };
    let auditor = open(deny).unwrap();
    let mut acknowledged = Vec::new();
    let mut number = 0;
    let error = loop {
        match auditor.record(&context(), numbered(number)).await {
            Ok(_) => acknowledged.push(number.to_string()),
            Err(error) => break error,
        }
        number += 1;
    };
    println!("\nrefused {} healthy={}", error.code(), auditor.status().healthy);
    std::io::stdin().read_line(&mut String::new()).unwrap();
    while auditor.record(&context(), numbered(1_000_000)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    acknowledged.push("1000000".to_owned());
    auditor.close(LIMIT).await.unwrap();
    println!("closed {}", acknowledged.join(" "));
}

/// An auditor whose sink fails for good: its directory is gone, and a file lies in its place.
async fn failing(on_failure: OnFailure, limit: Duration) -> (TempDir, PathBuf, Auditor) {
    let (folder, path) = log();
    let file = SinkSettings::File(FileSettings { durable: true, ..FileSettings::at(&path) });
    let auditor = open(AuditSettings { queue_length: 2, on_failure, limit, ..settings(file) });
    let auditor = auditor.unwrap();
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let first = auditor.record(&context(), numbered(0)).await;
    assert_eq!(first, Err(AuditError::SinkFailing));
    (folder, path, auditor)
}

#[tokio::test]
async fn a_failing_sink_denies_at_once_and_keeps_what_it_has_until_it_works_again() {
    let (_folder, path, auditor) = failing(OnFailure::Deny, LIMIT).await;
    let error = auditor.record(&context(), numbered(1)).await.unwrap_err();
    assert_eq!((error, error.code()), (AuditError::SinkFailing, Code::BrokerUnavailable));
    assert!(!auditor.status().healthy);
    fs::create_dir(path.parent().unwrap()).unwrap();
    while !auditor.status().healthy {
        tokio::task::yield_now().await;
    }
    record(&auditor, 2..3).await;
    assert_eq!(numbers(&lines(&path)), [0, 2]);
}

#[tokio::test]
async fn a_failing_sink_blocks_for_its_limit() {
    let limit = Duration::from_millis(50);
    let (_folder, path, auditor) = failing(OnFailure::Block, limit).await;
    let error = auditor.record(&context(), numbered(1)).await;
    assert_eq!(error, Err(AuditError::SinkFailing));
    let closed = auditor.close(LIMIT).await;
    assert_eq!(closed, Err(AuditError::NotWritten { lines: 1 }));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_blocked_caller_goes_on_when_the_sink_works_again() {
    let (folder, path) = log();
    let file = SinkSettings::File(FileSettings { durable: true, ..FileSettings::at(&path) });
    let auditor = open(settings(file)).unwrap();
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let caller = auditor.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { caller.record(&context(), numbered(0)).await });
    while auditor.status().healthy {
        tokio::task::yield_now().await;
    }
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    drop(folder);
}

#[tokio::test]
async fn a_dropped_guard_says_cancelled_and_a_finished_one_says_it_once() {
    let (_folder, path) = log();
    let auditor = open_file(FileSettings::at(&path));
    let tool = || "get_public_info".parse().ok();
    drop(auditor.guard(context(), "tools/call", tool()).await.unwrap());
    let guard = auditor.guard(context(), "tools/call", tool()).await.unwrap();
    guard.finish(numbered(1)).await.unwrap();
    auditor.guard(context(), "tools/call", tool()).await.unwrap().release();
    auditor.close(LIMIT).await.unwrap();
    let lines = lines(&path);
    assert_one_terminal_per_request(&lines);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(r#""status":"cancelled""#), "{lines:?}");
}

#[tokio::test]
async fn a_cancelled_finish_is_not_lost_and_not_doubled() {
    let (_folder, path) = log();
    let file = FileSettings { durable: true, ..FileSettings::at(&path) };
    let auditor = open_file(file);
    let guard = auditor.guard(context(), "tools/call", None).await.unwrap();
    let mut finish = Box::pin(guard.finish(numbered(1)));
    let first_poll = futures_util::poll!(&mut finish);
    drop((first_poll, finish));
    auditor.close(LIMIT).await.unwrap();
    assert_eq!(numbers(&lines(&path)), [1]);
}

#[tokio::test]
async fn guards_have_room_of_their_own_and_no_more_than_that() {
    let (_folder, path) = log();
    let file = SinkSettings::File(FileSettings::at(&path));
    let deny = AuditSettings { queue_length: 2, on_failure: OnFailure::Deny, ..settings(file) };
    let auditor = open(deny).unwrap();
    let tool = || "get_public_info".parse().ok();
    let guards = (
        auditor.guard(context(), "tools/call", tool()).await,
        auditor.guard(context(), "tools/call", tool()).await,
    );
    assert!(guards.0.is_ok() && guards.1.is_ok());
    let third = auditor.guard(context(), "tools/call", tool()).await;
    assert_eq!(third.unwrap_err(), AuditError::QueueFull);
    drop(guards);
    auditor.flush().await.unwrap();
    assert!(auditor.guard(context(), "tools/call", tool()).await.is_ok());
}
