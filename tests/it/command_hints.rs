//! A command that fails ends with a hint, its causes on lines of their own; and each can be asked for JSON.

use std::path::Path;

use serde_json::Value;

use crate::support::child::{Served, command};

/// `error: …`, then causes indented, then what to do.
fn is_told(directory: &Path, arguments: &[&str]) {
    let output = command(directory, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    let mut lines: Vec<&str> = said.lines().collect();
    let hint = lines.pop().unwrap_or_default();
    assert!(hint.starts_with("hint: "), "{arguments:?}: {said}");
    assert!(lines[0].starts_with("error: "), "{arguments:?}: {said}");
    assert!(!lines[0].contains("os error"), "{arguments:?}: {said}");
    for cause in &lines[1..] {
        assert!(cause.starts_with("  cause: "), "{arguments:?}: {said}");
    }
}

#[test]
fn each_failure_of_a_command_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("garbage"), "garbage").unwrap();
    let settings = "[policy]\nfile = \"p.toml\"\nshadow_file = \"s.toml\"\n";
    let policy = "version = \"1\"\ndefault = \"deny\"\n";
    std::fs::write(path.join("broker.toml"), settings).unwrap();
    std::fs::write(path.join("p.toml"), policy).unwrap();
    std::fs::write(path.join("s.toml"), policy).unwrap();
    for arguments in [
        &["store", "status"][..],
        &["health", "--set", "server.listen=127.0.0.1:9"],
        &["ready", "--url", "http://127.0.0.1:9"],
        &["tools", "--token", "env:NONE"],
        &["audit", "verify", "--file", "/nope"],
        &["audit", "tail", "--file", "/nope"],
        &["audit", "export", "--file", "/nope"],
        &["policy", "test", "/nope"],
        &["policy", "promote"],
        &["policy", "explain", "get_public_info", "--arguments", "@/nope"],
        &["policy", "explain", "get_public_info", "--arguments", "{"],
        &["policy", "explain", "get_public_info", "--claims", "[]"],
        &["catalog", "import", "/nope"],
        &["catalog", "import", "garbage"],
        &["client", "add", "x", "--jwks-file", "/nope"],
        &["client", "add", "x", "--jwks-file", "garbage"],
        &["user", "disable", "nobody"],
        &["user", "list", "--set", "store.url=sqlite:/proc/x/b.db"],
        &["serve", "--set", "store.url=sqlite:/proc/x/b.db"],
        &["store", "restore", "/nope"],
        &["store", "copy", "--from", "env:NONE", "--to", "sqlite:x"],
        &["store", "copy", "--from", "file:/nope", "--to", "sqlite:x"],
        &["approval", "show", "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b"],
        &["token", "mint", "--sub", "ada", "--secret", "x"],
        &["login", "http://127.0.0.1:9"],
        &["login", "http://broker.example"],
        &["login", "http://127.0.0.1:9", "--forget"],
        &["support-bundle", "--offline", "--out", "/nope/bundle"],
    ] {
        is_told(path, arguments);
    }
}

/// What a check says of what is not there is about that.
#[test]
fn a_finding_about_what_is_not_there_fits_it() {
    let directory = tempfile::tempdir().unwrap();
    for (given, says) in [
        ("documents.dir=/nope", ["a folder that can be read", "make it, or correct the path"]),
        ("policy.file=/nope", ["a file that can be read", "make it, or correct the path"]),
        ("store.key_encryption_key=env:NOPE", ["a variable that is not set", "set NOPE for the"]),
        ("store.key_encryption_key=file:/nope", ["a file that does not exist", "make it, or"]),
        ("server.listen", ["--set", "KEY=VALUE"]),
    ] {
        let output = command(directory.path(), &["check", "--set", given]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(says.iter().all(|says| said.contains(says)), "{given}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_prints_lines_for_people_prints_json_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[policy]\nfile = \"p.toml\"\nshadow_file = \"s.toml\"\n";
    let policy = |version: &str| format!("version = \"{version}\"\ndefault = \"deny\"\n");
    std::fs::write(directory.path().join("p.toml"), policy("1")).unwrap();
    std::fs::write(directory.path().join("s.toml"), policy("2")).unwrap();
    let served = Served::start(directory.path(), settings, &[]).await;
    let json = |arguments: &[&str]| -> Value {
        let output = command(directory.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {said}"))
    };
    let url = format!("http://{}", served.authority);
    assert_eq!(json(&["health", "--json", "--url", &url])["status"], "up");
    assert!(json(&["tools", "--json"])["tools"].is_array());
    let promoted = json(&["policy", "promote", "--json"]);
    assert!(promoted["policy_version"].as_str().unwrap().starts_with("2+"), "{promoted}");
    assert_eq!(promoted["promoted"], true);
    let bundle = directory.path().join("bundle.json").display().to_string();
    let told = json(&["support-bundle", "--offline", "--json", "--out", &bundle]);
    assert_eq!(told["file"], bundle.as_str());
}
