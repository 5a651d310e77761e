//! One broker serves from a SQLite file, and commands work beside it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::child::{Served, command};
use crate::support::free_port::free_port;
use crate::support::raw_http::Request;
use crate::support::until::until;

/// Another broker on the same store, with a log of its own.
fn another(directory: &Path, file: &str) -> Output {
    let store = format!("store.url=sqlite:{}/data/{file}", directory.display());
    let listen = format!("server.listen={}", free_port());
    let sink = "audit.sink=[{ kind = \"stdout\" }]";
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_broker"), "serve"]).current_dir(directory);
    command.args(["--set", &store, "--set", &listen, "--set", sink]).env_clear().output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_broker_does_not_start_on_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(directory.path(), "", &[]).await;
    let output = another(directory.path(), "broker.db");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: another broker serves from the store"), "{said}");
    assert!(said.contains("\nhint: stop that one first"), "{said}");
    for beside in [&["user", "list"][..], &["store", "status"], &["key", "list"], &["check"]] {
        let output = command(directory.path(), beside);
        assert!(output.status.success(), "{beside:?}: {output:?}");
    }
    served.kill();
    served.ended().await;
    Served::start(directory.path(), "", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_the_file_is_no_other_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(directory.path(), "", &[]).await;
    std::os::unix::fs::symlink("broker.db", directory.path().join("data/link.db")).unwrap();
    let output = another(directory.path(), "link.db");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: another broker serves from the store"), "{said}");
    served.terminate();
    assert!(served.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_cannot_be_opened_is_told() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("data/broker.db.lock")).unwrap();
    let mut served = Served::start(directory.path(), "", &[]).await;
    assert!(served.stderr().contains("store.no_locks_here"), "{}", served.stderr());
    served.terminate();
    assert!(served.ended().await.success());
}

/// Production, where a start waits for what may pass.
fn production(directory: &Path) -> String {
    let key = directory.join("key");
    std::fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let rules = "version = \"1\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"none\"]\n";
    std::fs::write(directory.join("policy.toml"), rules).unwrap();
    format!(
        "environment = \"prod\"\n[server]\npublic_url = \"https://broker.example\"\n\
         trusted_proxies = [\"10.0.0.0/8\"]\ndrain_pause_ms = 0\n[store]\n\
         key_encryption_key = \"file:{}\"\n[policy]\nfile = \"policy.toml\"\n[tools]\nsample = false\n",
        key.display(),
    )
}

async fn ready(served: &Served) -> (u16, String) {
    let answer = served.send(Request::new("GET", "/ready").header("connection", "close")).await;
    (answer.status, answer.body)
}

/// Between waiting and serving nobody has its address.
async fn serves(served: &Served) -> Option<()> {
    let mut stream = TcpStream::connect(&served.authority).await.ok()?;
    let asked =
        format!("GET /ready HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", served.authority);
    stream.write_all(asked.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(())
}

/// As where a broker is replaced whose predecessor drains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_production_a_second_broker_waits_until_the_first_has_ended() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = format!("sqlite:{}/data/broker.db", first.path().display());
    let mut before = Served::start(first.path(), &production(first.path()), &[]).await;
    let after = Served::start_on(second.path(), &production(second.path()), &store).await;
    let (status, said) = ready(&after).await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("another broker serves from the store"), "{said}");
    before.terminate();
    assert!(before.ended().await.success());
    until("the second serves", async || {
        after.hang_up();
        serves(&after).await
    })
    .await;
}

/// On one machine the predecessor has the address, too, and answers there itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_the_first_is_waited_for_with_its_store() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = format!("sqlite:{}/data/broker.db", first.path().display());
    let mut before = Served::start(first.path(), &production(first.path()), &[]).await;
    let place = (&*before.authority, &*store);
    let mut after = Served::start_at(second.path(), &production(second.path()), place);
    until("it waits", async || {
        after.stderr().contains("another broker serves from the store").then_some(())
    })
    .await;
    assert_eq!(ready(&before).await.0, 200);
    before.terminate();
    assert!(before.ended().await.success());
    until("the second serves", async || {
        after.hang_up();
        serves(&after).await
    })
    .await;
    after.terminate();
    assert!(after.ended().await.success());
}
