//! Rates that replicas share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::store::{Digest, LeaseRate};
use mcp_auth_broker::time::Timestamp;

use super::{NOW, Store, after, on_both};

on_both! {
    a_rate_gives_its_count_and_then_flows_back;
    of_many_at_once_no_more_is_taken_than_there_is;
    keys_are_counted_apart_and_idle_ones_forgotten;
    a_clock_that_was_wrong_locks_nobody_out;
    replicas_are_counted_by_the_clock_of_the_database;
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
