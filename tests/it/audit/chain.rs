//! The hash chain and the segments: what was changed, cut off or taken away is named.

use std::sync::Arc;

use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::{FixedClock, Timestamp};

use super::*;

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

// The order of the log is the order of its lines: what the clock says is a fact in them and no more.
#[tokio::test]
async fn a_step_of_the_clock_neither_reorders_nor_breaks_the_chain() {
    let (_folder, path) = log();
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_795_172_400)));
    let settings = settings(SinkSettings::File(chained(&path)));
    let random = Arc::new(SystemRandom::new());
    let auditor = Auditor::open(settings, Arc::clone(&clock) as _, random).unwrap();
    for (number, wall) in [(1, 1_795_172_400), (2, 1_795_259_000), (3, 1_000), (4, 1_795_172_401)] {
        clock.step_wall(Timestamp::from_unix_seconds(wall));
        auditor.record(&context(), numbered(number)).await.unwrap();
    }
    auditor.close(LIMIT).await.unwrap();
    assert_eq!(numbers(&lines(&path)), [1, 2, 3, 4]);
    let report = check(&path);
    assert!(report.intact, "{report:?}");
}
