//! Status, backup and restore.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcp_auth_broker::store::{
    ClientKind, Database, Existing, MaintainError, StoreSettings, backup, open, restore, status,
};
use mcp_auth_broker::time::FixedClock;

use super::rows::client;
use super::{NOW, Place};

fn path(place: &Place) -> PathBuf {
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    path.clone()
}

async fn add(store: &Arc<dyn Database>, id: &str) {
    assert!(store.add_client(&client(id, ClientKind::Static)).await.unwrap());
}

async fn has(place: &Place, id: &str) -> bool {
    has_in(place.settings.clone(), id).await
}

async fn has_in(settings: StoreSettings, id: &str) -> bool {
    let store = open(&settings, Arc::new(FixedClock::at(NOW))).await.unwrap();
    store.find_client(&id.parse().unwrap()).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_store_is_one_moment_of_it_and_private() {
    let place = Place::sqlite();
    let store = place.open().await;
    let to = path(&place).with_file_name("backup.db");
    let writing = async {
        for id in 0..200 {
            add(&store, &format!("c{id:03}")).await;
        }
    };
    let ((), made) = tokio::join!(writing, backup(&place.settings, &to));
    assert_eq!(made.unwrap(), to.metadata().unwrap().len());
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let copy = status(&StoreSettings::Sqlite(to)).await.unwrap();
    let rows = copy.tables.iter().find(|table| table.name == "clients").unwrap().rows;
    let last = format!("c{:03}", rows.saturating_sub(1)).parse().unwrap();
    assert!(rows == 0 || store.find_client(&last).await.unwrap().is_some());
}

#[tokio::test]
async fn a_backup_brings_back_what_was_and_keeps_what_was_there() {
    let place = Place::sqlite();
    let store = place.open().await;
    add(&store, "before").await;
    let file = path(&place).with_file_name("backup.db");
    backup(&place.settings, &file).await.unwrap();
    add(&store, "after").await;
    drop(store);
    let restored = restore_when_closed(&place, &file).await;
    assert!(has(&place, "before").await && !has(&place, "after").await);
    assert!(has_in(StoreSettings::Sqlite(restored), "after").await);
}

/// The last connection of a dropped store closes in a thread of its own.
async fn restore_when_closed(place: &Place, file: &Path) -> PathBuf {
    loop {
        match restore(&place.settings, file, (Existing::Refuse, NOW)).await {
            Ok(restored) => return restored.previous.unwrap(),
            Err(MaintainError::InUse) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_store_in_use_is_not_replaced() {
    let place = Place::sqlite();
    let store = place.open().await;
    add(&store, "a").await;
    let file = path(&place).with_file_name("backup.db");
    backup(&place.settings, &file).await.unwrap();
    let error = restore(&place.settings, &file, (Existing::Refuse, NOW)).await.unwrap_err();
    assert!(matches!(error, MaintainError::InUse), "{error}");
    add(&store, "b").await;
    assert!(store.find_client(&"b".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_no_backup_replaces_nothing() {
    let place = Place::sqlite();
    let store = place.open().await;
    add(&store, "a").await;
    let whole = path(&place).with_file_name("backup.db");
    backup(&place.settings, &whole).await.unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let cut = bytes.get(..bytes.len() / 2).unwrap().to_vec();
    let mut changed = bytes.clone();
    changed.iter_mut().skip(4096).take(4096).for_each(|byte| *byte = 0xa5);
    let before = std::fs::read(path(&place)).unwrap();
    for (name, content) in
        [("empty", Vec::new()), ("text", b"hello".to_vec()), ("cut", cut), ("changed", changed)]
    {
        let file = path(&place).with_file_name(name);
        std::fs::write(&file, content).unwrap();
        let error = restore(&place.settings, &file, (Existing::Refuse, NOW)).await.unwrap_err();
        assert!(matches!(error, MaintainError::NotABackup { .. }), "{name}: {error}");
        assert_eq!(std::fs::read(path(&place)).unwrap(), before);
    }
}

#[tokio::test]
async fn a_backup_never_overwrites() {
    let place = Place::sqlite();
    place.open().await;
    let to = path(&place).with_file_name("backup.db");
    std::fs::write(&to, "mine").unwrap();
    let error = backup(&place.settings, &to).await.unwrap_err();
    assert!(matches!(error, MaintainError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "mine");
}

#[tokio::test]
async fn without_a_store_there_is_no_status_and_none_is_made() {
    let place = Place::sqlite();
    let error = status(&place.settings).await.unwrap_err();
    assert!(matches!(error, MaintainError::NoStore), "{error}");
    assert!(!path(&place).exists());
}

#[tokio::test]
async fn the_status_counts_rows_on_both_databases() {
    for place in [Place::sqlite(), Place::postgres()] {
        let store = place.open().await;
        add(&store, "a").await;
        let status = status(&place.settings).await.unwrap();
        assert_eq!(status.schema, status.schema_known);
        let clients = status.tables.iter().find(|table| table.name == "clients").unwrap();
        assert!(clients.rows == 1 && status.bytes > 4096, "{status:?}");
    }
}
