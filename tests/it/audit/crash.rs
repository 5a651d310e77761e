//! Processes that die, and disks that fill.

use super::*;
use crate::support::until::until;

/// This test binary again, running the ignored test `name` after `shell`.
fn child(name: &str, path: &Path, shell: &str) -> Child {
    let test = std::env::current_exe().unwrap();
    Command::new("bash")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(test)
        .args([
            "--exact",
            &format!("audit::crash::{name}"),
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
    until("it is written", async || auditor.record(&context(), numbered(1_000_000)).await.ok())
        .await;
    acknowledged.push("1000000".to_owned());
    auditor.close(LIMIT).await.unwrap();
    println!("closed {}", acknowledged.join(" "));
}
