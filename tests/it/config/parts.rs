//! What `broker check` finds wrong with what the settings name, and that a start stops at the same.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mcp_auth_broker::cli::check;
use mcp_auth_broker::config::{Environment, Sources};
use serde_json::Value;

use crate::support::child::command;

/// `severity key` of what a check finds.
async fn checked(directory: &Path, settings: &str) -> Vec<String> {
    std::fs::write(directory.join("broker.toml"), settings).unwrap();
    let secret = [("SECRET".to_owned(), "x".to_owned())];
    let sources = Sources {
        directory: directory.to_owned(),
        environment: secret.into_iter().collect::<Environment>(),
        ..Sources::default()
    };
    let mut out = Vec::new();
    let args = check::CheckArgs { live: false, json: true };
    check::run(&args, sources, &mut out, false).await;
    let report: Value = serde_json::from_slice(&out).unwrap();
    let told = |one: &Value| format!("{} {}", one["severity"], one["key"]).replace('"', "");
    report["findings"].as_array().unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn a_cloud_that_may_not_be_called_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[graph]\nmode = \"live\"\ncloud = \"custom\"\n\
        custom_cloud = { login_url = \"http://127.0.0.1:9001\", graph_url = \"http://localhost:9002\" }\n\
        [[graph.profile]]\ntenant_id = \"contoso.example\"\nclient_id = \"app\"\n\
        credential = { client_secret = \"env:SECRET\" }\n";
    let found = checked(directory.path(), settings).await;
    assert_eq!(found, ["warning graph.cloud", "warning graph.cloud"]);
    let allowed = format!("{settings}[outbound]\nallow_private = [\"127.0.0.0/8\"]\n");
    assert_eq!(checked(directory.path(), &allowed).await, Vec::<String>::new());
}

/// A file that nobody else may read.
fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A certificate, its key, and the key of another one.
fn write_keys(directory: &Path) {
    let key = |name: &str| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        private(&directory.join(name), &key.serialize_pem());
        key
    };
    let own = key("tls.key");
    let names = rcgen::CertificateParams::new(["broker.example".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.crt"), names.self_signed(&own).unwrap().pem()).unwrap();
    key("other.key");
}

fn tls(directory: &Path, key: &str) -> String {
    let at = directory.display();
    format!("[server]\ntls = {{ cert = \"{at}/tls.crt\", key = \"file:{at}/{key}\" }}\n")
}

#[tokio::test]
async fn what_a_start_would_fail_at_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write_keys(root);
    private(&root.join("file"), "no key");
    let sink = |path: String| format!("[[audit.sink]]\nkind = \"file\"\npath = \"{path}\"\n");
    let store = |path: String| format!("[store]\nurl = \"sqlite:{path}\"\n");
    let below = format!("{}/file", root.display());
    for (settings, expected) in [
        (tls(root, "other.key"), "error server.tls"),
        (tls(root, "file"), "error server.tls"),
        (
            tls(root, "tls.key").replace(" }", &format!(", client_ca_file = \"{below}\" }}")),
            "error server.tls",
        ),
        (sink(format!("{below}/audit.jsonl")), "error audit.sink"),
        (sink("/proc/x/audit.jsonl".to_owned()), "error audit.sink"),
        (store(format!("{below}/broker.db")), "error store.url"),
        (store("/proc/x/broker.db".to_owned()), "error store.url"),
    ] {
        assert_eq!(checked(root, &settings).await, [expected], "{settings}");
    }
    for settings in [tls(root, "tls.key"), sink(format!("{}/new/audit.jsonl", root.display()))] {
        assert_eq!(checked(root, &settings).await, Vec::<String>::new(), "{settings}");
    }
    assert!(!root.join("new").exists(), "a check makes nothing");
}

#[test]
fn nobody_is_told_of_a_broker_whose_certificate_does_not_load() {
    let directory = tempfile::tempdir().unwrap();
    write_keys(directory.path());
    std::fs::write(directory.path().join("broker.toml"), tls(directory.path(), "other.key"))
        .unwrap();
    let served = command(directory.path(), &["serve"]);
    let told = String::from_utf8_lossy(&served.stderr);
    assert_eq!(served.status.code(), Some(1), "{told}");
    assert!(told.contains("hint: ") && told.contains("server.tls.key"), "{told}");
    assert!(!told.contains("MCP endpoint") && !told.contains("http.listening"), "{told}");
}
