//! Sinks that fail, and callers that go away.

use super::*;
use crate::support::until::until;

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
    until("it is healthy", async || auditor.status().healthy.then_some(())).await;
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
    until("it is not healthy", async || (!auditor.status().healthy).then_some(())).await;
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
