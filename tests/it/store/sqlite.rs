//! The file: private, checked, never taken over from a newer version.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use mcp_auth_broker::store::{ClientKind, OpenError, StoreSettings, open};
use mcp_auth_broker::time::FixedClock;

use super::rows::client;
use super::{NOW, Place};

async fn refused(path: &std::path::Path) -> OpenError {
    let settings = StoreSettings::Sqlite(path.to_owned());
    open(&settings, Arc::new(FixedClock::at(NOW))).await.unwrap_err()
}

#[tokio::test]
async fn file_and_folder_belong_to_their_owner_alone() {
    let place = Place::sqlite();
    let store = place.open().await;
    store.add_client(&client("a", ClientKind::Static)).await.unwrap();
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for entry in path.parent().unwrap().read_dir().unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600, "also its WAL");
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(refused(&path).await, OpenError::Mode { mode: 0o640, .. }));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    std::fs::write(&path, "not a database, but long enough to have a header ".repeat(100)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert!(error.to_string().contains("hint: restore a backup"));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::sqlite();
    drop(place.open().await);
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let store = rusqlite::Connection::open(path).unwrap();
    let newer = "INSERT INTO schema_versions (version, digest) VALUES (99, zeroblob(32))";
    store.execute(newer, []).unwrap();
    store.close().unwrap();
    let error = refused(path).await;
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
}

#[tokio::test]
async fn what_was_written_is_there_after_the_next_start() {
    let place = Place::sqlite();
    let store = place.open().await;
    store.add_client(&client("a", ClientKind::Static)).await.unwrap();
    drop(store);
    let store = place.open().await;
    assert!(store.find_client(&"a".parse().unwrap()).await.unwrap().is_some());
}
