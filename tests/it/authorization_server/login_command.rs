//! `broker login`, which keeps a refresh token for the next time.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::product::{Product, Wire, mcp};

use super::browser::Browser;
use super::device::{CLIENT, answers};

fn command(product: &Product, home: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(["login", &product.url(""), "--scope", "public:read"]).args(more);
    command.env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

/// A person types the code that the command shows.
async fn logs_in(product: &Product, home: &Path, more: &[&str]) -> (bool, String, String) {
    let mut browser = Browser::of_the_administrator(product).await;
    asked(&mut browser, command(product, home, more)).await
}

async fn asked(browser: &mut Browser<'_>, mut command: Command) -> (bool, String, String) {
    let mut terminal = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(terminal.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("and type") {
        line.clear();
        assert!(said.read_line(&mut line).await.unwrap() > 0, "it asks for a code");
    }
    answers(browser, line.split_whitespace().last().unwrap(), "allow").await;
    let mut rest = String::new();
    said.read_to_string(&mut rest).await.unwrap();
    let output = terminal.wait_with_output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap(), rest)
}

/// The command asks nobody.
async fn alone(product: &Product, home: &Path, more: &[&str]) -> Output {
    command(product, home, more).output().await.unwrap()
}

fn kept(home: &Path) -> Vec<PathBuf> {
    let folder = home.join(".local/state/mcp-auth-broker/logins");
    let files = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect()
}

async fn works(product: &Product, said: &str) {
    let token = said.strip_prefix("Token: ").unwrap().trim();
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let called = product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
}

// RFC 6749 §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_is_kept_is_good_for_the_next_time_and_asks_nobody() {
    let product = Product::start(CLIENT).await;
    let home = tempfile::tempdir().unwrap();
    let (done, said, told) = logs_in(&product, home.path(), &[]).await;
    assert!(done && told.contains("Kept for the next time"), "{told}");
    works(&product, &said).await;
    let first = std::fs::read_to_string(&kept(home.path())[0]).unwrap();
    for _ in 0..2 {
        let again = alone(&product, home.path(), &[]).await;
        assert!(again.status.success() && again.stderr.is_empty(), "{again:?}");
        works(&product, &String::from_utf8(again.stdout).unwrap()).await;
    }
    let [file] = &kept(home.path())[..] else { panic!("one file") };
    assert_ne!(std::fs::read_to_string(file).unwrap(), first, "it is rotated");
}

// RFC 7009 §2.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_is_forgotten_is_revoked_and_the_next_one_asks_again() {
    let product = Product::start(CLIENT).await;
    let home = tempfile::tempdir().unwrap();
    let mut browser = Browser::of_the_administrator(&product).await;
    assert!(asked(&mut browser, command(&product, home.path(), &[])).await.0);
    let file = kept(home.path()).remove(0);
    let copied = std::fs::read(&file).unwrap();
    let forgot = alone(&product, home.path(), &["--forget"]).await;
    assert!(forgot.status.success() && kept(home.path()).is_empty(), "{forgot:?}");
    std::fs::write(&file, copied).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (done, said, _) = asked(&mut browser, command(&product, home.path(), &[])).await;
    assert!(done, "what was revoked is asked for again");
    works(&product, &said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_be_kept_elsewhere_or_nowhere_leaves_no_file() {
    let product = Product::start(CLIENT).await;
    let home = tempfile::tempdir().unwrap();
    let mut browser = Browser::of_the_administrator(&product).await;
    for more in ["--no-keep", "--json"] {
        let (done, said, _) = asked(&mut browser, command(&product, home.path(), &[more])).await;
        assert!(done && kept(home.path()).is_empty(), "{more}");
        assert_eq!(said.contains("refresh_token"), more == "--json");
    }
    let nothing = alone(&product, home.path(), &["--forget"]).await;
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing is kept"), "{nothing:?}");
}
