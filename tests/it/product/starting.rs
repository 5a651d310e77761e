//! A start that waits for what its settings name.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::child::Served;
use crate::support::until::until;

/// Production, with a key and rules that somebody else is to bring.
fn settings(directory: &Path) -> String {
    let at = directory.display();
    format!(
        "environment = \"prod\"
[server]
public_url = \"https://broker.example\"
trusted_proxies = [\"10.0.0.0/8\"]
drain_pause_ms = 0
[store]
key_encryption_key = \"file:{at}/key\"
[policy]
file = \"{at}/policy.toml\"
[tools]
sample = false
"
    )
}

fn bring_key(directory: &Path) {
    let key = directory.join("key");
    std::fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn bring_rules(directory: &Path) {
    let rules = "version = \"1\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"none\"]\n";
    std::fs::write(directory.join("policy.toml"), rules).unwrap();
}

/// Status and body. `None` while nobody listens, or the listener changes hands.
async fn asked(authority: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(authority).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 10.0.0.7\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// What `/ready` says once its reason names one of them and not the other.
async fn says(served: &Served, word: &str, not: &str) -> String {
    until(word, async || {
        // It tries again at once, as a file that has come is to be seen.
        served.hang_up();
        let (status, body) = asked(&served.authority, "/ready").await?;
        assert_eq!(status, 503, "{body}");
        (body.contains(word) && !body.contains(not)).then_some(body)
    })
    .await
}

#[tokio::test]
async fn files_that_come_later_are_waited_for_and_ready_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut served = Served::start(path, &settings(path), &[]).await;
    let body = says(&served, "store.key_encryption_key", "nothing else").await;
    assert!(body.contains("policy.file") && body.contains(r#""name":"start""#), "{body}");
    assert_eq!(asked(&served.authority, "/health").await.unwrap().0, 200);
    assert_eq!(asked(&served.authority, "/mcp").await.unwrap().0, 503);
    bring_key(path);
    says(&served, "policy.file", "store.key_encryption_key").await;
    bring_rules(path);
    until("it serves", async || {
        served.hang_up();
        let (status, _) = asked(&served.authority, "/ready").await?;
        (status == 200).then_some(())
    })
    .await;
    // One line for each reason, however often it was tried.
    let waits = served.stderr().matches("broker.waits_to_start").count();
    assert_eq!(waits, 2, "{}", served.stderr());
    served.terminate();
    assert!(served.ended().await.success());
}

#[tokio::test]
async fn what_is_odd_about_the_settings_is_said_once_by_a_start_that_waited_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let odd = settings(path)
        .replace("[tools]", &format!("shadow_file = \"{}/shadow.toml\"\n[tools]", path.display()));
    let mut served = Served::start(path, &odd, &[]).await;
    says(&served, "store.key_encryption_key", "nothing else").await;
    bring_key(path);
    bring_rules(path);
    until("it serves", async || {
        served.hang_up();
        let (status, _) = asked(&served.authority, "/ready").await?;
        (status == 200).then_some(())
    })
    .await;
    served.terminate();
    assert!(served.ended().await.success());
    let said = served.stderr();
    let found = said.lines().filter(|line| line.contains("config.finding"));
    assert_eq!(found.filter(|line| line.contains("shadow_file")).count(), 1, "{said}");
}

#[tokio::test]
async fn whoever_waits_to_start_ends_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut served = Served::start(path, &settings(path), &[]).await;
    says(&served, "store.key_encryption_key", "nothing else").await;
    served.terminate();
    assert!(served.ended().await.success());
}

/// Settings that are wrong do not get right by waiting.
#[tokio::test]
async fn what_has_to_be_changed_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let wrong = settings(path).replace("sample = false", "sample = true");
    std::fs::write(path.join("broker.toml"), wrong).unwrap();
    let output = crate::support::child::command(path, &["serve"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("tools.sample") && said.contains("store.key_encryption_key"), "{said}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    bring_key(path);
    bring_rules(path);
    let nobody = "postgres://broker@127.0.0.1:1/broker";
    let mut served = Served::start_on(path, &settings(path), nobody).await;
    let body = says(&served, "database", "nothing else").await;
    assert!(body.contains("hint: "), "{body}");
    assert_eq!(asked(&served.authority, "/health").await.unwrap().0, 200);
    served.terminate();
    assert!(served.ended().await.success());
}
