//! `broker support-bundle`: useful, and with nothing in it that is anybody's.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::child::{Served, command};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Wire, mcp};

/// Every place of the settings that takes a secret or names somebody, each with a canary.
fn settings(login: &FakeHttp) -> String {
    format!(
        r#"
        [server]
        public_url = "http://127.0.0.1:1"
        [store]
        key_encryption_key = "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0E="
        [telemetry]
        service_name = "broker"
        [authorization_server.administrators]
        subjects = ["CANARY-subject"]
        groups = ["CANARY-group"]
        [[authorization_server.client]]
        client_id = "CANARY-client"
        secret = "CANARY-client-secret"
        grants = ["client_credentials"]
        scopes = ["graph:read"]
        [[authorization_server.identity_provider]]
        id = "entra"
        issuer = "{login}CANARY-tenant/v2.0"
        client_id = "CANARY-login"
        client_secret = "CANARY-login-secret"
        [[resource_server.issuer]]
        issuer = "legacy"
        secret = "CANARY-CANARY-CANARY-CANARY-CANARY-CANARY"
        algorithms = ["HS256"]
        [graph]
        mode = "live"
        cloud = "custom"
        custom_cloud = {{ login_url = "{login}", graph_url = "{login}" }}
        [[graph.profile]]
        name = "reader"
        tenant_id = "CANARY.example"
        client_id = "CANARY-app"
        credential = {{ client_secret = "CANARY-graph-secret" }}
        [outbound]
        allow_private = ["127.0.0.1"]
        [[upstream.server]]
        id = "weather"
        url = "http://127.0.0.1:1/mcp"
        credential = {{ bearer = "CANARY-bearer" }}
        "#,
        login = login.url(),
    )
}

async fn refusing() -> FakeHttp {
    let body = r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"CANARY"}"#;
    let json = vec![("content-type", "application/json".to_owned())];
    FakeHttp::start(Reply::Answer(401, json, body.into())).await
}

// OWASP ASVS 5 §16.2 — N115
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_name_is_in_it_wherever_it_was_written() {
    let (directory, login) = (tempfile::tempdir().unwrap(), refusing().await);
    std::fs::write(directory.path().join("broker.toml"), settings(&login)).unwrap();
    let output = command(directory.path(), &["support-bundle", "--out", "-"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bundle: Value = serde_json::from_str(&text).unwrap();
    for part in ["version", "settings", "findings", "policy", "store", "audit", "doctor"] {
        assert!(!bundle[part].is_null(), "{part}: {text}");
    }
    let lower = text.to_lowercase();
    assert!(!lower.contains("canary"), "{text}");
    assert!(!text.contains("Q0FOQVJZ"), "the key-encryption key: {text}");
}

#[tokio::test]
async fn it_counts_what_happened_and_names_nobody_it_happened_to() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), "", &[]).await;
    let token = served.mint_for("ada@contoso.example", "public:read");
    served.send(mcp(Wire::Modern, Some(&token), "tools/list", serde_json::json!({}))).await;
    served.send(mcp(Wire::Modern, Some("CANARY"), "tools/list", serde_json::json!({}))).await;
    let out = directory.path().join("bundle.json");
    let arguments = ["support-bundle", "--offline", "--out", out.to_str().unwrap()];
    let made = command(directory.path(), &arguments);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = std::fs::read_to_string(&out).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bundle["audit"]["events"]["tools.listed"], 1);
    assert_eq!(bundle["audit"]["events"]["auth.token.rejected"], 1);
    assert!(!text.contains("contoso") && !text.contains(&token), "{text}");
    let again = command(directory.path(), &arguments);
    assert_eq!(again.status.code(), Some(1), "a file that is there is not overwritten");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn hosts_are_taken_out_whatever_they_end_in() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[server]\npublic_url = \"https://broker.contoso.fr\"\nallowed_hosts = [\"intern.contoso.ch\"]\n";
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let output = command(directory.path(), &["support-bundle", "--offline", "--out", "-"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("host-1"), "{text}");
    assert!(!text.to_lowercase().contains("contoso"), "{text}");
}

#[test]
fn settings_with_errors_are_no_reason_to_make_none() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("broker.toml"), "nonsense = 1\n").unwrap();
    let output = command(directory.path(), &["support-bundle", "--offline", "--out", "-"]);
    let bundle: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(bundle["findings"]["findings"][0]["key"], "nonsense");
}
