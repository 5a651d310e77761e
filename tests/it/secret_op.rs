//! `op://` through a fake `op`, and `exec:` helpers: real processes with every habit that hurts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::code::Code;
use mcp_auth_broker::secret::{
    Credential, Detail, ExecSettings, OnePassword, OnePasswordCliSettings, SecretError, Secrets,
    Settings,
};
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::{FixedClock, Timestamp};
use tempfile::TempDir;

use crate::secret_support::{read, script, secrets, secrets_at};

const REFERENCE: &str = "op://broker-secrets/graph client/client-secret";
/// `ops_` and the base64 of `{"a":"CANARY"}`.
const TOKEN: &str = "ops_eyJhIjoiQ0FOQVJZIn0";

fn settings(dir: &Path, token: &str, timeout: Duration) -> Settings {
    let one_password = OnePassword::Cli(OnePasswordCliSettings {
        op_path: dir.join("op"),
        token: Credential::Text(SecretText::new(token.to_owned())),
        config_dir: dir.join("config"),
        proxy: None,
        ca_file: None,
    });
    Settings { one_password, timeout, ..Settings::default() }
}

fn op(body: &str) -> (TempDir, Secrets) {
    let dir = TempDir::new().unwrap();
    script(dir.path(), "op", body);
    let secrets = secrets(settings(dir.path(), TOKEN, Duration::from_secs(30)));
    (dir, secrets)
}

async fn fails(body: &str) -> SecretError {
    let (_dir, secrets) = op(body);
    read(&secrets, REFERENCE).await.unwrap_err()
}

#[tokio::test]
async fn op_is_called_with_the_reference_as_one_argument_and_its_answer_is_not_trimmed() {
    let (dir, secrets) =
        op(r#"printf '%s|' "$@" > "${0%/*}/arguments"; printf ' value '; echo WARNING >&2"#);
    assert_eq!(read(&secrets, REFERENCE).await.unwrap().text().expose(), " value ");
    let arguments = std::fs::read_to_string(dir.path().join("arguments")).unwrap();
    assert_eq!(arguments, format!("read|--no-newline|{REFERENCE}|"));
}

#[expect(clippy::disallowed_methods, reason = "to see that there was something to clear")]
/// Cargo's own variables, at least, are in the environment of this test.
#[tokio::test]
async fn op_gets_a_cleared_environment_and_a_private_directory() {
    let (dir, secrets) = op(r#"tr '\0' '\n' < /proc/self/environ > "${0%/*}/environment"; echo x"#);
    assert!(std::env::vars_os().count() > 10);
    read(&secrets, REFERENCE).await.unwrap();
    let environment = std::fs::read_to_string(dir.path().join("environment")).unwrap();
    let mut names: Vec<_> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    names.retain(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(name)); // the shell's own
    let expected = [
        "HOME",
        "LANG",
        "OP_CACHE",
        "OP_CONFIG_DIR",
        "OP_FORMAT",
        "OP_SERVICE_ACCOUNT_TOKEN",
        "PATH",
    ];
    assert_eq!(names, expected);
    let mode = std::os::unix::fs::MetadataExt::mode(&dir.path().join("config").metadata().unwrap());
    assert_eq!(mode & 0o777, 0o700);
}

/// By default it is in the folder of the store, and there may be none.
#[tokio::test]
async fn the_folder_around_the_private_directory_need_not_be_there() {
    let dir = TempDir::new().unwrap();
    script(dir.path(), "op", "printf value");
    let mut settings = settings(dir.path(), TOKEN, Duration::from_secs(30));
    let OnePassword::Cli(cli) = &mut settings.one_password else { unreachable!() };
    cli.config_dir = dir.path().join("not/there/op");
    assert!(read(&secrets(settings), REFERENCE).await.is_ok());
    for folder in ["not", "not/there", "not/there/op"] {
        let made = dir.path().join(folder).metadata().unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&made) & 0o777, 0o700, "{folder}");
    }
}

#[tokio::test]
async fn what_op_complains_becomes_a_code_and_is_never_shown() {
    for (message, code, detail) in [
        (r#"\"CANARY\" isn't a vault in this account"#, Code::SecretNotFound, None),
        ("More than one item matches CANARY", Code::SecretNotFound, Some(Detail::Ambiguous)),
        ("failed to DecodeSACredentials CANARY", Code::SecretAccessDenied, None),
        ("Too many requests CANARY", Code::SecretUnavailable, Some(Detail::RateLimited)),
        ("cannot create directory CANARY", Code::SecretUnavailable, Some(Detail::CliEnvironment)),
        ("CANARY", Code::SecretUnavailable, Some(Detail::Unexpected)),
    ] {
        let body =
            format!(r#"echo CANARY; echo "[ERROR] 2026/11/21 04:00:00 {message}" >&2; exit 1"#);
        let error = fails(&body).await;
        assert_eq!((error.code(), error.detail()), (code, detail), "{message}");
    }
}

#[tokio::test]
async fn an_answer_that_is_empty_huge_or_not_text_is_refused() {
    for body in [
        "exit 0",
        r"printf 'CANARY\377'",
        "while :; do echo CANARYCANARYCANARYCANARYCANARYCANARY; done",
    ] {
        let error = fails(body).await;
        assert_eq!((error.code(), error.detail()), (Code::SecretNotFound, Some(Detail::Malformed)));
    }
}

#[tokio::test]
async fn endless_complaints_neither_fill_memory_nor_block_op() {
    let (_dir, secrets) = op("head -c 4000000 /dev/zero >&2; echo -n value");
    assert!(read(&secrets, REFERENCE).await.is_ok());
}

#[tokio::test]
async fn an_op_that_hangs_is_given_up() {
    let dir = TempDir::new().unwrap();
    script(dir.path(), "op", "sleep 600");
    let secrets = secrets(settings(dir.path(), TOKEN, Duration::from_millis(100)));
    assert_eq!(read(&secrets, REFERENCE).await.unwrap_err().code(), Code::SecretTimeout);
}

/// A grandchild that ignores polite signals and holds the pipes open is the worst case. It holds a
/// FIFO as well: that ends when the last of them is dead.
#[tokio::test]
async fn a_read_that_is_stopped_kills_op_and_all_it_started() {
    let (dir, secrets) = op(r#"(trap '' TERM HUP INT; exec 3> "${0%/*}/alive"; sleep 45) & wait"#);
    let alive = dir.path().join("alive");
    assert!(std::process::Command::new("mkfifo").arg(&alive).status().unwrap().success());
    let opened = tokio::task::spawn_blocking(move || std::fs::File::open(alive));
    let mut alive = tokio::select! {
        _ = read(&secrets, REFERENCE) => panic!("op does not answer"),
        opened = opened => opened.unwrap().unwrap(),
    };
    drop(secrets);
    let dead = tokio::task::spawn_blocking(move || std::io::copy(&mut alive, &mut std::io::sink()));
    tokio::time::timeout(Duration::from_secs(30), dead).await.expect("they live").unwrap().unwrap();
}

#[tokio::test]
async fn an_op_that_is_missing_or_not_a_program_says_so() {
    let dir = TempDir::new().unwrap();
    let secrets = secrets(settings(dir.path(), TOKEN, Duration::from_secs(5)));
    let error = read(&secrets, REFERENCE).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::SecretUnavailable, Some(Detail::CliEnvironment))
    );
}

#[tokio::test]
async fn a_token_of_another_kind_is_refused_without_starting_op() {
    let dir = TempDir::new().unwrap();
    script(dir.path(), "op", r#"touch "${0%/*}/started"; echo x"#);
    let secrets =
        secrets(settings(dir.path(), "eyJhbGciOiJFUzI1NiJ9.CANARY", Duration::from_secs(5)));
    let error = read(&secrets, REFERENCE).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::SecretAccessDenied, Some(Detail::Credential))
    );
    assert!(!dir.path().join("started").exists());
}

#[tokio::test]
async fn a_config_directory_of_somebody_else_is_not_used() {
    let (dir, secrets) = op("echo x");
    std::os::unix::fs::symlink("/tmp", dir.path().join("config")).unwrap();
    let error = read(&secrets, REFERENCE).await.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::CliEnvironment));
}

#[tokio::test]
async fn a_denied_read_is_not_repeated_while_it_is_remembered() {
    let dir = TempDir::new().unwrap();
    script(dir.path(), "op", r#"echo x >> "${0%/*}/calls"; echo '[ERROR] x (403)' >&2; exit 1"#);
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
    let secrets =
        secrets_at(settings(dir.path(), TOKEN, Duration::from_secs(30)), Arc::clone(&clock) as _);
    let calls = || std::fs::read_to_string(dir.path().join("calls")).unwrap().lines().count();
    for _ in 0..20 {
        assert_eq!(read(&secrets, REFERENCE).await.unwrap_err().code(), Code::SecretAccessDenied);
    }
    assert_eq!(calls(), 1);
    clock.advance(Duration::from_mins(1));
    read(&secrets, REFERENCE).await.unwrap_err();
    assert_eq!(calls(), 2);
}

fn helper(body: &str) -> (TempDir, Secrets) {
    let dir = TempDir::new().unwrap();
    let path = script(dir.path(), "helper", body).display().to_string();
    let exec = [("sops".to_owned(), ExecSettings { command: vec![path, "--json".to_owned()] })];
    let secrets = secrets(Settings {
        exec: exec.into(),
        timeout: Duration::from_secs(30),
        ..Settings::default()
    });
    (dir, secrets)
}

#[tokio::test]
async fn a_helper_gets_its_arguments_and_prints_json() {
    let (_dir, secrets) = helper(r#"printf '{"value": "%s"}' "$*""#);
    let found = read(&secrets, "exec:sops/apps/graph.yaml").await.unwrap();
    assert_eq!(found.text().expose(), "--json apps/graph.yaml");
}

#[tokio::test]
async fn a_helper_that_says_anything_else_has_failed() {
    for body in [
        "echo CANARY",
        r#"echo '{"value": 7}'"#,
        r#"echo '{"value": ""}'"#,
        r#"echo '{"value": "CANARY", "more": 1}'"#,
        r#"echo '{"value": "CANARY"} {}'"#,
        r#"echo '{"value": "CANARY"}'; exit 3"#,
    ] {
        let (_dir, secrets) = helper(body);
        read(&secrets, "exec:sops").await.unwrap_err();
    }
    let (_dir, secrets) = helper("exit 0");
    let error = read(&secrets, "exec:absent").await.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::NotConfigured));
}
