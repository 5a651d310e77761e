//! A process that dies between the write and the answer, and a disk that is full: the real binary.

use std::path::Path;

use crate::support::child::Served;
use crate::support::raw_http::Request;
use crate::support::until::until;

use super::browser::Browser;
use super::faults::is_asked_to_come_back;
use super::flow::{Held, text};

const SETTINGS: &str = "[audit]\non_failure = \"block\"\n[server]\nrequest_timeout_ms = 60000\n";

/// A broker process whose first administrator has a password, and a client that was allowed something.
async fn served(directory: &Path) -> (Served, Held) {
    let served = Served::start_on_a_small_disk(directory, SETTINGS).await;
    let link = first_link(&served).await;
    let authority = served.authority.clone();
    let mut browser = Browser::at(&authority);
    browser.chooses_a_password(&link).await;
    let held = Held::through(&mut browser, &served, "public:read").await;
    (served, held)
}

/// The banner may come a moment after the socket.
async fn first_link(served: &Served) -> String {
    until("the banner", async || {
        let stderr = served.stderr();
        let (_, rest) = stderr.split_once("/login/link/")?;
        let (link, _) = rest.split_once('\n')?;
        Some(format!("/login/link/{}", link.trim()))
    })
    .await
}

/// From now on every request waits for its audit line: what is at the log's place is no file.
fn audit_blocks(directory: &Path) {
    let log = directory.join("audit.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
}

fn audit_works(directory: &Path) {
    std::fs::remove_dir(directory.join("audit.jsonl")).unwrap();
}

/// Waits until `count` rows of `table` are used: what the request wrote is there, and its answer waits for the log.
async fn used(directory: &Path, table: &str, count: i64) {
    let path = directory.join("data/broker.db");
    let store = rusqlite::Connection::open(path).unwrap();
    let sql = format!("SELECT count(*) FROM {table} WHERE used_at IS NOT NULL");
    let counted = || store.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    until("they are used", async || (counted() >= count).then_some(())).await;
}

async fn killed(mut served: Served) {
    served.kill();
    served.ended().await;
}

/// The same broker again, at the address its clients know.
async fn again(directory: &Path, before: &str) -> Served {
    let settings =
        format!("[server]\npublic_url = \"http://{before}\"\nallowed_hosts = [\"127.0.0.1\"]\n");
    Served::start(directory, &settings, &[]).await
}

// OAuth 2.1 §4.3.1 — N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_9_between_the_rotation_and_its_answer_costs_nobody_the_grant() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (served, held) = served(directory).await;
    let tokens = held.exchange(&served).await.json();
    let token = text(&tokens, "refresh_token");
    audit_blocks(directory);
    let before = served.authority.clone();
    let unanswered = tokio::select! {
        answer = held.refresh(&served, token) => Some(answer),
        () = used(directory, "refresh_tokens", 1) => None,
    };
    assert!(unanswered.is_none(), "{unanswered:?}");
    killed(served).await;
    audit_works(directory);
    let served = again(directory, &before).await;
    let refreshed = held.refresh(&served, token).await;
    assert_eq!(refreshed.status, 200, "the same answer: {refreshed:?}");
    let next = held.refresh(&served, text(&refreshed.json(), "refresh_token")).await;
    assert_eq!(next.status, 200, "and its successor works: {next:?}");
}

// RFC 6749 §4.1.2 — N29, N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_9_between_the_redemption_and_its_answer_gives_no_second_set_of_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (served, held) = served(directory).await;
    audit_blocks(directory);
    let before = served.authority.clone();
    tokio::select! {
        answer = held.exchange(&served) => panic!("{answer:?}"),
        () = used(directory, "codes", 1) => {}
    }
    killed(served).await;
    audit_works(directory);
    let served = again(directory, &before).await;
    let answer = held.exchange(&served).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_grant".into()));
}

/// Bytes in a file; the log of the database may begin anew at any time, and one page with its header is more.
const LESS_THAN_A_COMMIT: &str = "4096";

// RFC 6749 §5.2 — N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_nobody_a_code_or_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (served, held) = served(directory).await;
    served.limit_files(LESS_THAN_A_COMMIT);
    is_asked_to_come_back(&held.exchange(&served).await);
    let health = served.send(Request::new("GET", "/health")).await;
    assert_eq!(health.status, 200, "{health:?}");
    served.limit_files("unlimited");
    let answer = held.exchange(&served).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json();
    served.limit_files(LESS_THAN_A_COMMIT);
    is_asked_to_come_back(&held.refresh(&served, text(&token, "refresh_token")).await);
    served.limit_files("unlimited");
    let refreshed = held.refresh(&served, text(&token, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
}
