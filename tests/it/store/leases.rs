//! Rates and places that replicas share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::store::{Digest, LeaseRate, PlaceLease, StoreSettings};
use mcp_auth_broker::time::Timestamp;
use sqlx::Connection as _;

use super::{NOW, Place, Store, after, on_both};

on_both! {
    a_rate_gives_its_count_and_then_flows_back;
    of_many_at_once_no_more_is_taken_than_there_is;
    keys_are_counted_apart_and_idle_ones_forgotten;
    a_clock_that_was_wrong_locks_nobody_out;
    replicas_are_counted_by_the_clock_of_the_database;
    replicas_together_have_no_more_places_than_there_are;
    of_many_replicas_at_once_no_more_get_a_place_than_there_are;
    places_end_unless_they_are_held_anew;
    places_that_ended_are_deleted_a_thousand_at_a_time;
    places_of_a_clock_that_was_wrong_end_too;
}

/// 60 in a minute: one each second.
const RATE: LeaseRate =
    LeaseRate { count: NonZeroU32::new(60).unwrap(), period: Duration::from_mins(1) };

fn wanted(calls: u32) -> NonZeroU32 {
    calls.try_into().unwrap()
}

async fn a_rate_gives_its_count_and_then_flows_back(store: Store) {
    let key = Digest::of("a");
    let mut taken = Vec::new();
    for (calls, at) in [(40, 0), (40, 0), (1, 0), (5, 2), (90, 120)] {
        taken.push(
            store.take_calls(&key, RATE, wanted(calls), Some(after(at))).await.unwrap().taken,
        );
    }
    assert_eq!(taken, [40, 20, 0, 2, 60]);
    let none = store.take_calls(&key, RATE, wanted(1), Some(after(120))).await.unwrap();
    assert!(none.wait > Duration::ZERO && none.wait <= Duration::from_secs(1), "{none:?}");
    let then = after(120).plus(none.wait + Duration::from_millis(1));
    assert_eq!(store.take_calls(&key, RATE, wanted(1), Some(then)).await.unwrap().taken, 1);
}

async fn of_many_at_once_no_more_is_taken_than_there_is(store: Store) {
    let key = Digest::of("a");
    let taking = (0..50).map(|_| {
        let store = Arc::clone(&store);
        async move { store.take_calls(&key, RATE, wanted(3), Some(NOW)).await.unwrap().taken }
    });
    let taken = futures_util::future::join_all(taking).await;
    assert_eq!(taken.iter().sum::<u32>(), 60);
}

async fn keys_are_counted_apart_and_idle_ones_forgotten(store: Store) {
    for key in ["a", "b"] {
        let taken = store.take_calls(&Digest::of(key), RATE, wanted(60), Some(NOW)).await.unwrap();
        assert_eq!(taken.taken, 60);
    }
    assert_eq!(store.forget_idle_rates(Some(after(59))).await.unwrap(), 0);
    assert_eq!(store.forget_idle_rates(Some(after(60))).await.unwrap(), 2);
}

async fn a_clock_that_was_wrong_locks_nobody_out(store: Store) {
    let key = Digest::of("a");
    store.take_calls(&key, RATE, wanted(60), Some(after(86_400 * 365))).await.unwrap();
    assert_eq!(store.take_calls(&key, RATE, wanted(1), Some(NOW)).await.unwrap().taken, 0);
    assert_eq!(store.take_calls(&key, RATE, wanted(9), Some(after(61))).await.unwrap().taken, 9);
}

/// 60 in a day, so that nothing flows back meanwhile.
async fn replicas_are_counted_by_the_clock_of_the_database(store: Store) {
    let (key, day) = (Digest::of("a"), LeaseRate { period: Duration::from_hours(24), ..RATE });
    let taking = (0..50).map(|_| {
        let store = Arc::clone(&store);
        async move { store.take_calls(&key, day, wanted(3), None).await.unwrap() }
    });
    let taken = futures_util::future::join_all(taking).await;
    assert_eq!(taken.iter().map(|lease| lease.taken).sum::<u32>(), 60);
    let none = store.take_calls(&key, day, wanted(1), None).await.unwrap();
    assert!(none.taken == 0 && none.wait > Duration::from_mins(20), "{none:?}");
    assert!(none.wait <= Duration::from_mins(24), "{none:?}");
    assert_eq!(store.forget_idle_rates(None).await.unwrap(), 0);
    let long_ago = Some(Timestamp::from_unix_seconds(1_000));
    store.take_calls(&Digest::of("b"), RATE, wanted(1), long_ago).await.unwrap();
    assert_eq!(store.forget_idle_rates(None).await.unwrap(), 1, "long ago by its clock");
}

const MOST: NonZeroU32 = NonZeroU32::new(5).unwrap();

fn lease(owner: &str, held: u32) -> PlaceLease {
    PlaceLease { key: Digest::of("k"), owner: Digest::of(owner), held }
}

async fn replicas_together_have_no_more_places_than_there_are(store: Store) {
    let take = async |owner, held| store.take_place(lease(owner, held), MOST, Some(NOW)).await;
    assert!(take("a", 3).await.unwrap());
    assert!(!take("b", 3).await.unwrap());
    assert!(take("b", 2).await.unwrap());
    assert!(!take("a", 4).await.unwrap());
    let free = vec![(Digest::of("k"), 1)];
    store.hold_places(Digest::of("b"), free, Some(NOW)).await.unwrap();
    assert!(take("a", 4).await.unwrap());
    let other = Digest::of("other");
    let elsewhere = PlaceLease { key: other, ..lease("a", 5) };
    assert!(store.take_place(elsewhere, MOST, Some(NOW)).await.unwrap(), "another key");
    // Of several at once, some are given back.
    let both = vec![(Digest::of("k"), 0), (other, 5)];
    store.hold_places(Digest::of("a"), both, Some(NOW)).await.unwrap();
    assert!(take("c", 4).await.unwrap());
    let full = PlaceLease { key: other, ..lease("c", 1) };
    assert!(!store.take_place(full, MOST, Some(NOW)).await.unwrap());
}

async fn of_many_replicas_at_once_no_more_get_a_place_than_there_are(store: Store) {
    for round in 0..10 {
        let taking = (0..40).map(|owner| {
            let store = Arc::clone(&store);
            let key = Digest::of(&format!("k{round}"));
            let lease = PlaceLease { key, ..lease(&format!("{owner}"), 1) };
            async move { store.take_place(lease, MOST, None).await.unwrap() }
        });
        let taken = futures_util::future::join_all(taking).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 5, "round {round}");
    }
}

/// A replica that falls silent while it has the lock of a key keeps others from that key alone, and not for long.
#[tokio::test]
async fn a_lock_that_nobody_gives_back_is_told_from_a_database_that_is_away() {
    let place = Place::postgres();
    let store = place.open().await;
    let StoreSettings::Postgres(url) = &place.settings else { unreachable!() };
    let mut silent = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let mut silent = silent.begin().await.unwrap();
    let start = *Digest::of("k").as_bytes().first_chunk().unwrap();
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(i64::from_be_bytes(start));
    lock.execute(&mut *silent).await.unwrap();
    let refused = store.take_place(lease("a", 1), MOST, None).await.unwrap_err();
    assert!(refused.is_of_a_lock(), "{refused:?}");
    let elsewhere = PlaceLease { key: Digest::of("other"), ..lease("a", 1) };
    assert!(store.take_place(elsewhere, MOST, None).await.unwrap());
    silent.rollback().await.unwrap();
    assert!(store.take_place(lease("a", 1), MOST, None).await.unwrap());
}

async fn places_end_unless_they_are_held_anew(store: Store) {
    let take = async |owner, at| store.take_place(lease(owner, 5), MOST, Some(after(at))).await;
    assert!(take("a", 0).await.unwrap());
    let held = vec![(Digest::of("k"), 5)];
    store.hold_places(Digest::of("a"), held, Some(after(20))).await.unwrap();
    assert!(!take("b", 49).await.unwrap());
    assert!(take("b", 50).await.unwrap());
    assert_eq!(store.forget_ended_places(Some(after(51))).await.unwrap(), 1);
    assert!(!take("a", 51).await.unwrap(), "its own end makes no room beside others");
}

async fn places_that_ended_are_deleted_a_thousand_at_a_time(store: Store) {
    let held = |from: u32| (from..from + 600).map(|key| (Digest::of(&key.to_string()), 1));
    for from in [0, 600] {
        let held = held(from).collect();
        store.hold_places(Digest::of("a"), held, Some(NOW)).await.unwrap();
    }
    assert_eq!(store.forget_ended_places(Some(after(29))).await.unwrap(), 0);
    assert_eq!(store.forget_ended_places(Some(after(30))).await.unwrap(), 1_000);
    assert_eq!(store.forget_ended_places(Some(after(30))).await.unwrap(), 200);
}

async fn places_of_a_clock_that_was_wrong_end_too(store: Store) {
    assert!(store.take_place(lease("a", 5), MOST, Some(after(86_400))).await.unwrap());
    assert_eq!(store.forget_ended_places(Some(NOW)).await.unwrap(), 0);
    assert!(!store.take_place(lease("b", 1), MOST, Some(after(29))).await.unwrap());
    assert!(store.take_place(lease("b", 1), MOST, Some(after(31))).await.unwrap());
}
