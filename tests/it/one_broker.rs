//! One broker serves from a SQLite file, and commands work beside it.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::child::{Served, command};
use crate::support::free_port::free_port;

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
