//! The database fails: the caller learns it, in bounded time, and nothing of the address or the values shows.

use mcp_auth_broker::store::{ClientKind, OpenError, StoreError, StoreSettings, open};
use std::sync::Arc;

use mcp_auth_broker::time::FixedClock;

use super::postgres::Cluster;
use super::rows::{client, rotation, with_refresh_token};
use super::{NOW, Place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_down_is_unavailable_and_comes_back() {
    let mut cluster = Cluster::start();
    let settings = StoreSettings::Postgres(cluster.database().into());
    let store = open(&settings, Arc::new(FixedClock::at(NOW))).await.unwrap();
    let grant = with_refresh_token(&store, "r1").await;
    cluster.command("stop");
    let rotation = rotation("r1", "r2", 1);
    let error = store.rotate_refresh_token(&rotation).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("pgpassw0rd") && !shown.contains("broker-postgres"), "{shown}");
    cluster.command("start");
    store.find_grant(grant.id).await.unwrap().unwrap();
    store.rotate_refresh_token(&rotation).await.unwrap();
}

#[tokio::test]
async fn an_address_without_a_database_is_refused_without_its_password() {
    for url in
        ["postgres://u:pgpassw0rd@127.0.0.1:1/x", "postgres://u:pgpassw0rd@[:/x", "pgpassw0rd"]
    {
        let settings = StoreSettings::Postgres(url.to_owned().into());
        let error = open(&settings, Arc::new(FixedClock::at(NOW))).await.unwrap_err();
        assert!(matches!(error, OpenError::Database(_) | OpenError::Url));
        let shown = format!("{error:?} {error} {settings:?}");
        assert!(!shown.contains("pgpassw0rd") && shown.contains("hint:"), "{shown}");
    }
}

#[tokio::test]
async fn a_lock_that_nobody_gives_back_is_unavailable() {
    let place = Place::sqlite();
    let store = place.open().await;
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let row = client("a", ClientKind::Static);
    let error = store.add_client(&row).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(store.find_client(&row.id).await.unwrap().is_none(), "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.add_client(&client("b", ClientKind::Static)).await.unwrap());
}

/// Commands that wait together share a transaction; one that fails must not take the others with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_undoes_no_other() {
    let place = Place::sqlite();
    let store = place.open().await;
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let other = rusqlite::Connection::open(path).unwrap();
    let trigger = "CREATE TRIGGER odd BEFORE INSERT ON clients WHEN NEW.id LIKE '%7' \
                   BEGIN SELECT RAISE(ABORT, 'x'); END";
    other.execute_batch(trigger).unwrap();
    let ids: Vec<String> = (0..60).map(|number| format!("c{number}")).collect();
    let rows: Vec<_> = ids.iter().map(|id| client(id, ClientKind::Static)).collect();
    let added = futures_util::future::join_all(rows.iter().map(|row| store.add_client(row))).await;
    for (row, added) in rows.iter().zip(added) {
        let found = store.find_client(&row.id).await.unwrap().is_some();
        let odd = row.id.as_str().ends_with('7');
        assert_eq!((added.is_err(), found), (odd, !odd), "{}", row.id);
    }
}
