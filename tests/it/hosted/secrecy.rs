//! What a child gets of the broker, of its callers and of the settings; and who may name a program.

use std::path::Path;

use serde_json::json;

use super::{READ, call, said, start, start_in, table};
use crate::support::child::{Served, command};
use crate::support::product::{Product, Wire, mcp, post};
use crate::upstream::{PATH, token};

#[tokio::test]
async fn a_child_inherits_neither_environment_nor_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "s3cret-of-ours\n").unwrap();
    let reference = format!("file:{}", file.display());
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let product = start_in(directory, &[("KEY", &reference), ("MODE", "plain")], "").await;
    assert_eq!(
        said(&product, "get_environment").await,
        "HOME=/nonexistent;KEY=s3cret-of-ours;LANG=C.UTF-8;MODE=plain;PATH=/usr/local/bin:/usr/bin:/bin;"
    );
    let files = said(&product, "get_files").await;
    assert!(files.contains("server.sh"), "{files}");
    let ours = product.directory.path().display().to_string();
    assert!(!files.contains(&ours) && !files.contains("socket:"), "{files}");
}

/// The real thing, with a secret in its own environment.
#[tokio::test]
async fn the_brokers_own_environment_stays_with_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let key = [("KEY", "env:CANARY_OF_CHILD")];
    let settings = format!("[telemetry]\nlog_level = \"debug\"\n{}", table(&key, ""));
    let variables = [("CANARY", "of-the-broker"), ("CANARY_OF_CHILD", "of-the-child")];
    let served = Served::start(directory.path(), &settings, &variables).await;
    let resource = format!("http://{}{PATH}", served.authority);
    let token = served.mint_at(&resource, "weather:read");
    let send = async |tool: &str| {
        let params = json!({ "name": tool, "arguments": {} });
        served.send(mcp(Wire::Legacy, Some(&token), "tools/call", params).path(PATH)).await
    };
    let environment = send("get_environment").await.body;
    assert!(environment.contains("KEY=of-the-child"), "{environment}");
    assert!(!environment.contains("of-the-broker"), "{environment}");
    send("get_flood").await;
    let log = served.stderr();
    let said = log.lines().filter(|line| line.contains("upstream.child_said")).count();
    assert!((1..100).contains(&said), "5000 lines, of which {said} are in the log");
    assert!(log.contains("[redacted] says no") && !log.contains("of-the-child"));
    assert!(!log.contains("\u{1b}[31m[redacted]"), "control characters are escaped");
}

// MCP 2026-07-28 §Access Token Privilege Restriction
#[tokio::test]
async fn nothing_of_a_callers_token_reaches_a_child() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("lines");
    let path = log.display().to_string();
    let product = start_in(directory, &[("LOG", &path)], "").await;
    let token = token(&product, &READ);
    let params = json!({ "name": "get_pid", "arguments": {} });
    let call = mcp(Wire::Legacy, Some(&token), "tools/call", params).path(PATH);
    assert_eq!(product.send(call.header("cookie", "session=c00kie")).await.status, 200);
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.contains("tools/call"));
    for secret in [token.as_str(), &token[..40], "Bearer", "c00kie", "ada"] {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
}

async fn registered(product: &Product, extra: serde_json::Value) -> u16 {
    let token = product.token(&["broker:admin"]);
    let mut body = json!({ "id": "evil", "uri": "https://evil.example/mcp" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    product.send(post(Some(&token), body.to_string()).path("/api/servers")).await.status
}

// N117
#[tokio::test]
async fn a_program_is_named_by_the_settings_file_alone() {
    let settings = "[authorization_server]\nadministrators = { subjects = [\"ada\"] }\n";
    let product = Product::start(settings).await;
    for extra in [
        json!({ "command": "/bin/sh" }),
        json!({ "args": ["-c", "id"] }),
        json!({ "env": { "A": "b" } }),
        json!({ "url": "file:///bin/sh" }),
        json!({ "url": "stdio:/bin/sh" }),
        json!({ "transport": "stdio" }),
    ] {
        assert_eq!(registered(&product, extra.clone()).await, 422, "{extra}");
    }
    assert_eq!(product.send(call(&product, "get_pid").path("/servers/evil/mcp")).await.status, 404);
    let directory = tempfile::tempdir().unwrap();
    for flags in [["--command", "/bin/sh"], ["--args", "x"], ["--env", "A=b"]] {
        let add = ["server", "add", "evil", "https://evil.example/mcp", flags[0], flags[1]];
        let output = command(directory.path(), &add);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
    assert!(!Path::new(directory.path()).join("data/broker.db").exists());
}

#[tokio::test]
async fn a_child_is_shown_no_credential_and_settings_that_say_so_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for line in [
        "credential = { bearer = \"x\" }",
        "identity_header = true",
        "url = \"http://127.0.0.1:1/mcp\"",
    ] {
        std::fs::write(directory.path().join("broker.toml"), table(&[], line)).unwrap();
        let output = command(directory.path(), &["check"]);
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
    std::fs::write(directory.path().join("broker.toml"), table(&[], "")).unwrap();
    assert_eq!(command(directory.path(), &["check"]).status.code(), Some(0));
    drop(start(&[], "").await);
}
