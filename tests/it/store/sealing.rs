//! With which key the store is sealed, and that nothing is written that another one seals.

use std::time::Duration;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    Digest, Resealed, SealedPlace, SealedRow, Sealing, SealingChange, SealingRestart, StoreError,
    StoreSettings, UpstreamAccountRow,
};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use super::races::race;
use super::rows::user;
use super::{NOW, Place, Store, after, on_both};

on_both! {
    of_brokers_that_come_at_once_one_says_how_the_store_is_sealed;
    of_a_value_that_is_sealed_with_each_key_the_stores_is_kept;
    what_another_key_alone_seals_is_not_written;
    the_key_stays_while_a_broker_runs_without_the_new_one;
    a_broker_that_ends_or_is_killed_holds_nothing_up_for_long;
    of_two_who_change_the_key_one_does;
    what_was_changed_meanwhile_is_not_replaced;
    whoever_writes_while_the_key_changes_leaves_nothing_of_the_old_one;
    a_root_of_a_lost_key_is_put_aside;
    every_value_is_found_a_batch_at_a_time;
}

const OLD: &str = "1111111111111111";
const NEW: &str = "2222222222222222";

fn sealing(key_id: &str) -> Sealing {
    Sealing {
        key_id: key_id.to_owned(),
        first_key_id: OLD.to_owned(),
        root: format!("root with {key_id}"),
    }
}

/// A value that names the key, or none as those of the first key.
fn part(key: Option<&str>, plain: &str) -> serde_json::Value {
    let mut part = json!({ "nonce": "bm9uY2U=", "ciphertext": plain });
    if let Some(key) = key {
        part["key"] = key.into();
    }
    part
}

fn with_both(plain: &str) -> String {
    json!([part(None, plain), part(Some(NEW), plain)]).to_string()
}

/// As the store writes it: the name first.
fn kept(key: &str, plain: &str) -> String {
    format!(r#"{{"key":"{key}","nonce":"bm9uY2U=","ciphertext":"{plain}"}}"#)
}

async fn somebody(store: &Store) -> UserId {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    ada.id
}

async fn put(
    store: &Store,
    user_id: UserId,
    server: &str,
    sealed: &str,
) -> Result<bool, StoreError> {
    let (server, sealed) = (server.to_owned(), sealed.to_owned());
    let row = UpstreamAccountRow { user_id, server, sealed, version: 0, connected_at: NOW };
    store.put_upstream_account(&row).await
}

async fn sealed(store: &Store, user_id: UserId, server: &str) -> String {
    store.find_upstream_account(user_id, server).await.unwrap().unwrap().sealed
}

async fn changed(store: &Store, from: &str, to: &str) -> SealingChange {
    store.change_sealing(from, &sealing(to), Some(NOW)).await.unwrap()
}

async fn announced(store: &Store, broker: &str, keys: &[&str], seconds: i64) {
    let keys = keys.iter().map(|&key| key.to_owned()).collect();
    store.announce_keys(Digest::of(broker), keys, Some(after(seconds))).await.unwrap();
}

async fn of_brokers_that_come_at_once_one_says_how_the_store_is_sealed(store: Store) {
    assert_eq!(store.sealing().await.unwrap(), None);
    let adopted = race(10, |number| {
        let store = Store::clone(&store);
        async move {
            store.adopt_sealing(&sealing(&format!("key {number}"))).await.unwrap();
            store.sealing().await.unwrap().unwrap()
        }
    });
    let adopted = adopted.await;
    assert!(adopted.iter().all(|found| *found == adopted[0]), "{adopted:?}");
}

async fn of_a_value_that_is_sealed_with_each_key_the_stores_is_kept(store: Store) {
    let ada = somebody(&store).await;
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    put(&store, ada, "a", &with_both("x")).await.unwrap();
    assert_eq!(sealed(&store, ada, "a").await, r#"{"nonce":"bm9uY2U=","ciphertext":"x"}"#);
    assert_eq!(changed(&store, OLD, NEW).await, SealingChange::Done);
    put(&store, ada, "b", &with_both("y")).await.unwrap();
    assert_eq!(sealed(&store, ada, "b").await, kept(NEW, "y"));
    let row = store.find_upstream_account(ada, "a").await.unwrap().unwrap();
    assert!(store.renew_upstream_account(&row, &with_both("z")).await.unwrap());
    store.put_upstream_client("a", &with_both("c"), NOW).await.unwrap();
    assert_eq!(sealed(&store, ada, "a").await, kept(NEW, "z"));
    assert_eq!(store.find_upstream_client("a").await.unwrap().unwrap(), kept(NEW, "c"));
    let counts = store.count_sealed().await.unwrap();
    let count = |table| {
        let found = counts.iter().filter(|count| count.table == table);
        found.map(|count| (count.key_id.as_str(), count.rows)).collect::<Vec<_>>()
    };
    assert_eq!(
        (count("upstream_accounts"), count("upstream_clients")),
        (vec![(NEW, 2)], vec![(NEW, 1)])
    );
}

async fn what_another_key_alone_seals_is_not_written(store: Store) {
    let ada = somebody(&store).await;
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    let (old, new) = (part(None, "x").to_string(), part(Some(NEW), "x").to_string());
    let refused = put(&store, ada, "a", &new).await;
    assert!(matches!(refused, Err(StoreError::OtherKey)), "{refused:?}");
    assert!(put(&store, ada, "a", &old).await.unwrap());
    changed(&store, OLD, NEW).await;
    let refused = put(&store, ada, "b", &old).await;
    assert!(matches!(refused, Err(StoreError::OtherKey)), "{refused:?}");
    assert!(store.find_upstream_account(ada, "b").await.unwrap().is_none());
    let row = store.find_upstream_account(ada, "a").await.unwrap().unwrap();
    let refused = store.renew_upstream_account(&row, &old).await;
    assert!(matches!(refused, Err(StoreError::OtherKey)), "{refused:?}");
    assert!(put(&store, ada, "b", &new).await.unwrap());
}

async fn the_key_stays_while_a_broker_runs_without_the_new_one(store: Store) {
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    announced(&store, "one", &[NEW, OLD], 0).await;
    announced(&store, "two", &[OLD], 0).await;
    assert_eq!(changed(&store, OLD, NEW).await, SealingChange::Waits { brokers: 1 });
    assert_eq!(store.sealing().await.unwrap(), Some(sealing(OLD)));
    announced(&store, "two", &[NEW, OLD], 1).await;
    assert_eq!(changed(&store, OLD, NEW).await, SealingChange::Done);
    assert_eq!(store.sealing().await.unwrap(), Some(sealing(NEW)));
    let told = store.announce_keys(Digest::of("three"), vec![OLD.into()], Some(NOW)).await.unwrap();
    assert_eq!(told.as_deref(), Some(NEW), "who comes later is told");
}

async fn a_broker_that_ends_or_is_killed_holds_nothing_up_for_long(store: Store) {
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    announced(&store, "ends", &[OLD], 0).await;
    store.withdraw_keys(Digest::of("ends")).await.unwrap();
    announced(&store, "is killed", &[OLD], -29).await;
    assert_eq!(changed(&store, OLD, NEW).await, SealingChange::Waits { brokers: 1 });
    let later = Some(NOW.plus(Duration::from_secs(2)));
    let done = store.change_sealing(OLD, &sealing(NEW), later).await.unwrap();
    assert_eq!(done, SealingChange::Done);
}

async fn of_two_who_change_the_key_one_does(store: Store) {
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    let changes = race(8, |number| {
        let store = Store::clone(&store);
        async move { changed(&store, OLD, &format!("key {number}")).await }
    });
    let changes = changes.await;
    let done = changes.iter().filter(|change| **change == SealingChange::Done);
    assert_eq!(done.count(), 1, "{changes:?}");
    assert!(!changes.contains(&SealingChange::Waits { brokers: 0 }));
}

async fn what_was_changed_meanwhile_is_not_replaced(store: Store) {
    let ada = somebody(&store).await;
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    for server in ["a", "b"] {
        put(&store, ada, server, &part(None, "old").to_string()).await.unwrap();
    }
    let rows = store.sealed_rows(SealedPlace::UpstreamAccounts, None).await.unwrap();
    changed(&store, OLD, NEW).await;
    put(&store, ada, "a", &with_both("newer")).await.unwrap();
    let anew = |row: SealedRow| Resealed { row, sealed: kept(NEW, "old") };
    let rows = rows.into_iter().map(anew).collect();
    assert_eq!(store.reseal(SealedPlace::UpstreamAccounts, rows).await.unwrap(), 1);
    assert_eq!(sealed(&store, ada, "a").await, kept(NEW, "newer"));
    assert_eq!(sealed(&store, ada, "b").await, kept(NEW, "old"));
    let row = store.find_upstream_account(ada, "b").await.unwrap().unwrap();
    assert!(store.renew_upstream_account(&row, &with_both("x")).await.unwrap(), "the same version");
}

/// Those who write seal with both keys: whichever is the store's when they do, what is kept is of that one.
async fn whoever_writes_while_the_key_changes_leaves_nothing_of_the_old_one(store: Store) {
    let ada = somebody(&store).await;
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    let walks = race(9, |number| {
        let store = Store::clone(&store);
        async move {
            if number == 0 {
                assert_eq!(changed(&store, OLD, NEW).await, SealingChange::Done);
                let rows = store.sealed_rows(SealedPlace::UpstreamAccounts, None).await.unwrap();
                let anew = |row: SealedRow| Resealed { row, sealed: kept(NEW, "walked") };
                let rows = rows.into_iter().map(anew).collect();
                store.reseal(SealedPlace::UpstreamAccounts, rows).await.unwrap();
            }
            for write in 0..20 {
                let server = format!("{number}-{write}");
                put(&store, ada, &server, &with_both("written")).await.unwrap();
            }
        }
    });
    walks.await;
    let counts = store.count_sealed().await.unwrap();
    let found: Vec<_> = counts.iter().map(|count| (count.key_id.as_str(), count.rows)).collect();
    assert_eq!(found, [(NEW, 180)]);
}

async fn a_root_of_a_lost_key_is_put_aside(store: Store) {
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    let restart = async |from, to| store.restart_sealing(from, &sealing(to)).await.unwrap();
    assert_eq!(restart("another", NEW).await, SealingRestart::Other);
    let brokers = [Digest::of("with both"), Digest::of("with another")];
    for (broker, keys) in brokers.iter().zip([&["third", OLD][..], &[NEW]]) {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        store.announce_keys(*broker, keys, None).await.unwrap();
    }
    assert_eq!(restart(OLD, NEW).await, SealingRestart::Held { brokers: 1 }, "it is not lost");
    assert_eq!(store.sealing().await.unwrap(), Some(sealing(OLD)));
    store.withdraw_keys(brokers[0]).await.unwrap();
    assert_eq!(restart(OLD, NEW).await, SealingRestart::Done);
    assert_eq!(store.sealing().await.unwrap(), Some(sealing(NEW)));
    assert_eq!(restart(OLD, "third").await, SealingRestart::Other, "it is not the store's");
}

/// Two that were away each forget the other, and change their own row before: neither waits for the other.
#[tokio::test]
async fn a_row_that_somebody_changes_is_forgotten_by_nobody_who_would_wait_for_it() {
    const HELD: &str = "SELECT broker FROM sealing_brokers FOR UPDATE";
    let place = Place::postgres();
    let store = place.open().await;
    announced(&store, "was away", &[OLD], -100).await;
    let StoreSettings::Postgres(url) = &place.settings else { unreachable!() };
    let mut other = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let mut changing = other.begin().await.unwrap();
    changing.execute(HELD).await.unwrap();
    // A wait for the lock would end in an error after four seconds.
    announced(&store, "is here", &[OLD], 0).await;
    changing.rollback().await.unwrap();
    announced(&store, "is here", &[OLD], 1).await;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sealing_brokers")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(left, 1, "the next time it is forgotten");
}

/// A column that is sealed and in no list would be lost with the old key.
#[tokio::test]
async fn every_sealed_column_of_the_schema_is_in_the_list() {
    const COLUMNS: &str = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c \
        WHERE m.type = 'table' AND (c.name LIKE '%sealed%' OR c.name = 'private') ORDER BY 1";
    let place = Place::sqlite();
    drop(place.open().await);
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let file = rusqlite::Connection::open(path).unwrap();
    let mut asked = file.prepare(COLUMNS).unwrap();
    let found = asked.query_map([], |row| row.get::<_, String>(0)).unwrap();
    // The answer to a refresh token is sealed with the token before it.
    let found: Vec<_> = found.map(Result::unwrap).filter(|name| name != "refresh_tokens").collect();
    let mut listed = SealedPlace::ALL.map(SealedPlace::table);
    listed.sort_unstable();
    assert_eq!(found, listed);
}

async fn every_value_is_found_a_batch_at_a_time(store: Store) {
    let ada = somebody(&store).await;
    for number in 0..450 {
        put(&store, ada, &format!("{number:03}"), "{}").await.unwrap();
    }
    let (mut found, mut after): (Vec<SealedRow>, _) = (Vec::new(), None);
    loop {
        let rows = store.sealed_rows(SealedPlace::UpstreamAccounts, after.as_ref()).await.unwrap();
        let Some(last) = rows.last().cloned() else { break };
        assert!(rows.len() <= 200);
        found.extend(rows);
        after = Some(last);
    }
    let servers: Vec<_> = found.iter().map(|row| row.of[1].clone()).collect();
    let wanted: Vec<_> = (0..450).map(|number| format!("{number:03}")).collect();
    assert_eq!(servers, wanted);
}
