//! Commands that an operator runs beside a broker, as processes: exit codes, and what they print.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::child::{Served, command, command_beside, command_with};
use crate::support::raw_http::Request;
use crate::support::until::until;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_probe_ends_with_success_where_the_broker_is_well_and_only_there() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), "", &[]).await;
    let path = directory.path();
    for (probe, status) in [("health", "up"), ("ready", "ready")] {
        let well = command_beside(path, &served.authority, &[probe]);
        let said: Value = serde_json::from_slice(&well.stdout).unwrap();
        assert_eq!((well.status.code(), said["status"].as_str()), (Some(0), Some(status)));
        let nobody = command_beside(path, "127.0.0.1:9", &[probe]);
        assert_eq!(nobody.status.code(), Some(1), "{}", text(&nobody));
        assert!(text(&nobody).contains("hint: is the broker running?"));
    }
}

#[tokio::test]
async fn a_broker_that_is_not_ready_is_told_by_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), "[server]\ndrain_pause_ms = 60000", &[]).await;
    served.terminate();
    let ready = || served.send(Request::new("GET", "/ready"));
    until("unready", async || (ready().await.status == 503).then_some(())).await;
    let told = command_beside(directory.path(), &served.authority, &["ready"]);
    assert_eq!(told.status.code(), Some(1), "{}", text(&told));
    assert!(text(&told).contains("\"drain\""));
}

#[test]
fn what_generates_text_prints_it() {
    let directory = tempfile::tempdir().unwrap();
    let tools: Value = serde_json::from_str(&printed(directory.path(), &["tools"])).unwrap();
    assert!(tools.to_string().contains("auth.graph.operation.execute.v1"), "{tools}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(printed(directory.path(), &["completions", shell]).contains("broker"));
    }
    let manual = printed(directory.path(), &["man"]);
    assert!(manual.starts_with(".ie"));
    // One of each level: the options of what is two words long are found nowhere else.
    for name in ["broker serve", "broker token mint", "broker catalog import", "broker policy diff"]
    {
        assert!(manual.contains(name), "{name}");
    }
    assert!(manual.contains("exp\\-hours"), "an option of broker token mint");
}

#[test]
fn production_makes_no_token_by_hand_unless_somebody_is_sure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let key = path.join("kek");
    std::fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = format!(
        "environment = \"prod\"\n[server]\npublic_url = \"https://broker.example\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n[store]\nkey_encryption_key = \"file:{}\"\n[tools]\nsample = false\n",
        key.display()
    );
    std::fs::write(path.join("broker.toml"), settings).unwrap();
    let mint = ["token", "mint", "--sub", "ada"];
    let refused = command(path, &mint);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{}", text(&refused));
    assert!(text(&refused).contains("hint: ") && text(&refused).contains("--i-am-sure"));
    assert!(printed(path, &[&mint[..], &["--i-am-sure"]].concat()).starts_with("Token: "));
}

#[test]
fn an_audit_log_that_was_changed_is_told_with_its_first_bad_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let log = path.join("audit.jsonl").display().to_string();
    let sink = format!("audit.sink=[{{ kind = \"file\", path = {log:?}, hash_chain = true }}]");
    for subject in ["ada", "bob", "eve"] {
        printed(path, &["--set", &sink, "token", "mint", "--sub", subject]);
    }
    let kept = path.join("audit.commands.jsonl");
    let file = kept.display().to_string();
    printed(path, &["audit", "verify", "--file", &file]);
    let exported = printed(path, &["audit", "export", "--file", &file]);
    assert_eq!(exported.lines().count(), 3);
    let sheet = printed(path, &["audit", "export", "--file", &file, "--format", "csv"]);
    assert!(sheet.lines().count() == 4 && sheet.contains("\"admin.token.minted\""), "{sheet}");
    let changed = std::fs::read_to_string(&kept).unwrap().replace("bob", "bab");
    std::fs::write(&kept, changed).unwrap();
    let broken = command(path, &["audit", "verify", "--file", &file]);
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken));
    assert!(text(&broken).contains("audit.commands.jsonl:2"), "{}", text(&broken));
}

#[test]
fn what_a_command_says_to_people_it_says_to_programs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&printed(path, &[arguments, &["--json"]].concat())).unwrap()
    };
    assert!(json(&["store", "migrate"])["schema"].as_u64().unwrap() > 0);
    assert!(json(&["token", "mint", "--sub", "ada"])["token"].as_str().unwrap().contains('.'));
    assert_eq!(json(&["user", "add", "ada"])["user"]["username"], "ada");
    assert_eq!(json(&["user", "disable", "ada"])["disabled"], true);
    assert_eq!(json(&["user", "enable", "ada"])["disabled"], false);
    assert_eq!(json(&["user", "give-role", "ada"])["administrator"], true);
    let machine = ["client", "add", "Report", "--grant", "client_credentials"];
    let client = json(&machine)["client"]["client_id"].as_str().unwrap().to_owned();
    assert_eq!(json(&["client", "disable", &client])["disabled"], true);
    assert_eq!(json(&["client", "enable", &client])["disabled"], false);
    let copy = path.join("copy.db").display().to_string();
    assert!(json(&["store", "backup", &copy])["bytes"].as_u64().unwrap() > 0);
    assert_eq!(json(&["store", "restore", &copy])["file"], copy.as_str());
}

const KEK: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The two examples of the documentation, with files where they name some; the store is one that is there.
#[test]
fn the_sample_settings_and_the_sample_policy_pass_a_check() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut settings = include_str!("../../docs/examples/broker.toml").to_owned();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let names = rcgen::CertificateParams::new(["mailer.example".to_owned()]).unwrap();
    let certificate = names.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    for (path, content) in [
        ("/run/secrets/kek", KEK),
        ("/run/secrets/nightly", "one secret of a client, as good as another"),
        ("/run/secrets/mailer.key", key.as_str()),
        ("/run/secrets/connect", "x"),
        ("/run/secrets/secret-id", "x"),
        ("/etc/broker/mailer.pem", certificate.as_str()),
        ("/etc/ssl/corp.pem", certificate.as_str()),
    ] {
        let file = root.join(path.rsplit('/').next().unwrap());
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        settings = settings.replace(path, &file.display().to_string());
    }
    for name in ["public.md", "confidential.md"] {
        std::fs::write(root.join(name), "x").unwrap();
    }
    let settings = settings.replace("/etc/broker/documents", &root.display().to_string());
    std::fs::write(root.join("broker.toml"), settings).unwrap();
    let policy = include_str!("../../docs/examples/policy.toml");
    std::fs::write(root.join("policy.toml"), policy).unwrap();
    std::fs::write(root.join("policy.next.toml"), policy).unwrap();
    let variables = [
        ("INTROSPECT_SECRET", "x"),
        ("MCP_JWT_SECRET_KEY", "32-bytes-are-just-enough-for-it!"),
        ("OP_SERVICE_ACCOUNT_TOKEN", "ops_x"),
    ];
    let checked = command_with(root, "127.0.0.1:8080", &variables, &["check"]);
    assert!(checked.status.success(), "{}", text(&checked));
    // Both are looked at: with a rule that cannot be, the same check fails.
    std::fs::write(
        root.join("policy.toml"),
        policy.replace("effect = \"ask\"", "effect = \"asks\""),
    )
    .unwrap();
    let checked = command_with(root, "127.0.0.1:8080", &variables, &["check"]);
    assert!(!checked.status.success() && text(&checked).contains("policy"), "{}", text(&checked));
}

/// Colour is for terminals; `NO_COLOR` is for those as well (no-color.org).
#[test]
fn what_is_printed_into_a_pipe_has_no_colour() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("broker.toml"), "[server]\nlisten = \"nowhere\"\n")
        .unwrap();
    for variables in [&[][..], &[("NO_COLOR", "1")]] {
        let told = command_with(directory.path(), "127.0.0.1:8080", variables, &["check"]);
        assert!(!text(&told).contains('\u{1b}'), "{}", text(&told));
    }
}

#[test]
fn no_color_takes_the_colour_from_a_terminal_and_an_empty_one_does_not() {
    let coloured = |value: Option<&str>| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("broker.toml"), "[server]\nlisten = \"nowhere\"\n")
            .unwrap();
        // `script` gives the command a terminal.
        let mut command = std::process::Command::new("script");
        let broker = format!("'{}' check", env!("CARGO_BIN_EXE_broker"));
        command.args(["-qec", &broker, "/dev/null"]).current_dir(directory.path());
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm");
        if let Some(value) = value {
            command.env("NO_COLOR", value);
        }
        let output = command.output().unwrap();
        assert!(text(&output).contains("server.listen"), "{}", text(&output));
        text(&output).contains('\u{1b}')
    };
    assert_eq!([coloured(None), coloured(Some("")), coloured(Some("1"))], [true, true, false]);
}
