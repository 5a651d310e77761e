//! Replicas on one PostgreSQL: each needs the key that the others seal with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_auth_broker::app;
use mcp_auth_broker::cli::check::{self, CheckArgs};
use mcp_auth_broker::config::{Sources, load};
use mcp_auth_broker::secret::Environment as Variables;
use mcp_auth_broker::time::SystemClock;
use serde_json::Value;

use crate::store::database;

/// A key-encryption key of 32 equal bytes in a file.
pub(crate) fn key_file(directory: &Path, byte: u8) -> PathBuf {
    let path = directory.join(format!("kek-{byte}"));
    std::fs::write(&path, STANDARD.encode([byte; 32])).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    path
}

/// Makes the keys of these settings, as a start does.
async fn keys_are_made(directory: &Path, settings: &[String]) {
    let sources = Sources {
        directory: directory.to_owned(),
        overrides: settings.to_vec(),
        ..Sources::default()
    };
    let config = load(sources).config.clone().unwrap();
    let variables = Variables::default();
    app::signing_keys(&config, &variables, Arc::new(SystemClock)).await.unwrap();
}

/// What `broker check` says about `store.key_encryption_key` with these settings: severity and problem.
async fn findings(directory: &Path, settings: &[String]) -> Vec<(String, String)> {
    let sources = Sources {
        directory: directory.to_owned(),
        overrides: settings.to_vec(),
        ..Sources::default()
    };
    let mut out = Vec::new();
    check::run(&CheckArgs { live: false, json: true }, sources, &mut out, false).await;
    let told: Value = serde_json::from_slice(&out).unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let found = told["findings"].as_array().unwrap().iter();
    let found = found.filter(|finding| finding["key"] == "store.key_encryption_key");
    found.map(|finding| (text(finding, "severity"), text(finding, "problem"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_another_key_encryption_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let store = format!("store.url={}", database());
    let with = |byte| {
        let key = key_file(directory, byte);
        [store.clone(), format!("store.key_encryption_key=file:{}", key.display())]
    };
    for byte in [1, 2] {
        assert_eq!(findings(directory, &with(byte)).await, [], "nothing is there, nor made");
    }
    keys_are_made(directory, &with(1)).await;
    assert_eq!(findings(directory, &with(1)).await, [], "a second one reads them");
    let refused = findings(directory, &with(2)).await;
    let [(severity, problem)] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!(severity, "error");
    assert!(problem.contains("another store.key_encryption_key"), "{problem}");
}
