//! A start that waits for what its settings name.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use mcp_auth_broker::app::{App, AppError};
use mcp_auth_broker::config::{Sources, load};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::secret::Environment;
use mcp_auth_broker::time::SystemClock;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::secret_support::script;
use crate::support::child::{Served, command, command_beside};
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

/// A database that does not answer.
const NOBODY: &str = "postgres://broker@127.0.0.1:1/broker";

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

/// Until it serves.
async fn serves(served: &Served) {
    until("it serves", async || {
        served.hang_up();
        let (status, _) = asked(&served.authority, "/ready").await?;
        (status == 200).then_some(())
    })
    .await;
}

/// Told to, it ends as it should.
async fn ends(served: &mut Served) {
    served.terminate();
    assert!(served.ended().await.success());
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
    serves(&served).await;
    // One line for each reason, however often it was tried.
    let waits = served.stderr().matches("broker.waits_to_start").count();
    assert_eq!(waits, 2, "{}", served.stderr());
    ends(&mut served).await;
}

/// A pod that were ready without would refuse what needs the secret, and nobody would know why.
#[tokio::test]
async fn secrets_that_come_later_are_waited_for_in_staging_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let secret = path.join("nightly");
    let client = format!(
        "[[authorization_server.client]]\nclient_id = \"nightly\"\nsecret = \"file:{}\"\n\
         grants = [\"client_credentials\"]\nscopes = [\"graph:read\"]\n",
        secret.display()
    );
    let staging = settings(path).replace("\"prod\"", "\"staging\"") + &client;
    bring_key(path);
    bring_rules(path);
    let mut served = Served::start(path, &staging, &[]).await;
    says(&served, "authorization_server.client[0].secret", "policy.file").await;
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    until("it serves", async || {
        served.hang_up();
        let (status, _) = asked(&served.authority, "/ready").await?;
        (status == 200).then_some(())
    })
    .await;
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
    serves(&served).await;
    ends(&mut served).await;
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
    ends(&mut served).await;
}

/// Settings that are wrong do not get right by waiting.
#[tokio::test]
async fn what_has_to_be_changed_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let wrong = settings(path).replace("sample = false", "sample = true");
    std::fs::write(path.join("broker.toml"), wrong).unwrap();
    let output = command(path, &["serve"]);
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
    let mut served = Served::start_on(path, &settings(path), NOBODY).await;
    let body = says(&served, "database", "nothing else").await;
    assert!(body.contains("hint: "), "{body}");
    assert_eq!(asked(&served.authority, "/health").await.unwrap().0, 200);
    ends(&mut served).await;
}

/// A certificate that comes later is shown from then on, though something else is missing still: probes ask by TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_by_tls_from_when_the_certificate_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    bring_key(path);
    bring_rules(path);
    let at = path.display();
    let tls = format!("[server.tls]\ncert = \"{at}/cert.pem\"\nkey = \"file:{at}/tls-key.pem\"\n");
    let mut served = Served::start_on(path, &[settings(path), tls].concat(), NOBODY).await;
    says(&served, "server.tls.cert", "nothing else").await;
    let made = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    std::fs::write(path.join("cert.pem"), made.cert.pem()).unwrap();
    let key = path.join("tls-key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    until("it is asked by TLS", async || {
        served.hang_up();
        command_beside(path, &served.authority, &["health"]).status.success().then_some(())
    })
    .await;
    let output = command_beside(path, &served.authority, &["ready"]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && said.contains("database"), "{said}");
    ends(&mut served).await;
}

/// A backend of secrets that writes down that it was asked.
fn backend(path: &Path) -> String {
    let asked = path.join("asked").display().to_string();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let program =
        script(path, "backend", &format!("echo asked >>{asked}\necho '{{\"value\":\"{key}\"}}'"));
    format!("[secrets.exec.backend]\ncommand = [\"{}\"]\n", program.display())
}

#[tokio::test]
async fn no_backend_is_asked_while_the_database_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    bring_key(path);
    bring_rules(path);
    let cert = path.join("cert.pem");
    std::fs::write(&cert, "not looked at").unwrap();
    let tls = format!("[server.tls]\ncert = \"{}\"\nkey = \"exec:backend\"\n", cert.display());
    let all = [settings(path), backend(path), tls].concat();
    let mut served = Served::start_on(path, &all, NOBODY).await;
    for _ in 0..3 {
        says(&served, "database", "nothing else").await;
    }
    ends(&mut served).await;
    assert!(!path.join("asked").exists());
}

/// Backends count failures, too, against quotas that are small.
#[tokio::test]
async fn a_backend_that_said_no_is_not_asked_by_the_next_tries() {
    for complaint in [
        "\"f\" isn'\"'\"'t an item in the \"v\" vault",
        "(403) Forbidden: you do not have access",
        "Too many requests. Your client has been rate-limited",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        bring_rules(path);
        let asked = path.join("asked");
        let body = format!(
            "echo x >>{}; echo '[ERROR] 2026/11/21 04:00:00 {complaint}' >&2; exit 1",
            asked.display()
        );
        let op = script(path, "op", &body).display().to_string();
        let from_file = format!("file:{}/key", path.display());
        let one_password = format!(
            "[secrets]\nprovider = \"1password\"\n[secrets.onepassword]\nop_path = \"{op}\"\nop_config_dir = \"{}/op-config\"\n",
            path.display()
        );
        let all = settings(path).replace(&from_file, "op://v/i/f") + &one_password;
        // `ops_` and the base64 of `{"a":"CANARY"}`.
        let token = [("OP_SERVICE_ACCOUNT_TOKEN", "ops_eyJhIjoiQ0FOQVJZIn0")];
        let mut served = Served::start(path, &all, &token).await;
        let elsewhere = format!("{all}[documents]\ndir = \"{}/none\"\n", path.display());
        // Each reason that is new is a try.
        for _ in 0..3 {
            says(&served, "op://v/i/f", "documents.dir").await;
            rewrite(path, &elsewhere);
            says(&served, "documents.dir", "op://v/i/f").await;
            rewrite(path, &all);
        }
        says(&served, "op://v/i/f", "documents.dir").await;
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n", "{complaint}");
        // What says something else of the backend is tried at once.
        rewrite(path, &all.replace("op-config", "op-other"));
        until("it is asked anew", async || {
            served.hang_up();
            (std::fs::read_to_string(&asked).unwrap() == "x\nx\n").then_some(())
        })
        .await;
        ends(&mut served).await;
    }
}

/// No settings are those of development, which nobody asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_gone_for_a_moment_make_no_other_broker_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    bring_rules(path);
    let elsewhere = format!("{}[documents]\ndir = \"{}/none\"\n", settings(path), path.display());
    let mut served = Served::start(path, &elsewhere, &[]).await;
    says(&served, "documents.dir", "environment").await;
    rewrite(path, "");
    says(&served, "environment is dev now, and was", "documents.dir").await;
    rewrite(path, &elsewhere);
    says(&served, "documents.dir", "environment").await;
    ends(&mut served).await;
}

/// At once: a file that is half written would say something else.
fn rewrite(directory: &Path, settings: &str) {
    std::fs::write(directory.join("new.toml"), settings).unwrap();
    std::fs::rename(directory.join("new.toml"), directory.join("broker.toml")).unwrap();
}

/// What is announced to other brokers, and what it cost, of a start that went wrong after both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_says_that_it_asked_a_backend_and_counts_as_no_broker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    bring_rules(path);
    let from_file = format!("file:{}/key", path.display());
    let all = settings(path).replace(&from_file, "exec:backend") + &backend(path);
    let cert = path.join("cert.pem");
    std::fs::write(&cert, "not looked at").unwrap();
    let tls = format!(
        "[secrets.exec.broken]\ncommand = [\"/bin/false\"]\n\
         [server.tls]\ncert = \"{}\"\nkey = \"exec:broken\"\n",
        cert.display()
    );
    std::fs::write(path.join("broker.toml"), [all, tls].concat()).unwrap();
    let overrides = vec![format!("store.url=sqlite:{}/data/broker.db", path.display())];
    let loaded = load(Sources { directory: path.to_owned(), overrides, ..Sources::default() });
    let config = loaded.config.unwrap_or_else(|| panic!("{:#?}", loaded.findings));
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let built = Box::pin(App::build(config, Environment::default(), clock, random)).await;
    let Err(error) = built else { panic!("a secret is missing") };
    assert!(matches!(error, AppError::AskedBackend(_)) && error.may_pass(), "{error:?}");
    assert!(error.to_string().contains("a credential of the broker's own"), "{error}");
    let output = command(path, &["store", "status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = status["tables"].as_array().unwrap().iter();
    let announced: Vec<_> = tables.filter(|table| table["name"] == "sealing_brokers").collect();
    assert_eq!((announced.len(), &announced[0]["rows"]), (1, &Value::from(0)));
}
