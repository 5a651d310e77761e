//! Rates that replicas share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::store::{Digest, LeaseRate};

use super::{NOW, Store, after, on_both};

on_both! {
    a_rate_gives_its_count_and_then_flows_back;
    of_many_at_once_no_more_is_taken_than_there_is;
    keys_are_counted_apart_and_idle_ones_forgotten;
    a_clock_that_was_wrong_locks_nobody_out;
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
        taken.push(store.take_calls(&key, RATE, wanted(calls), after(at)).await.unwrap().taken);
    }
    assert_eq!(taken, [40, 20, 0, 2, 60]);
    let none = store.take_calls(&key, RATE, wanted(1), after(120)).await.unwrap();
    assert!(none.next_at > after(120) && none.next_at < after(122), "{none:?}");
    assert_eq!(store.take_calls(&key, RATE, wanted(1), none.next_at).await.unwrap().taken, 1);
}

async fn of_many_at_once_no_more_is_taken_than_there_is(store: Store) {
    let key = Digest::of("a");
    let taking = (0..50).map(|_| {
        let store = Arc::clone(&store);
        async move { store.take_calls(&key, RATE, wanted(3), NOW).await.unwrap().taken }
    });
    let taken = futures_util::future::join_all(taking).await;
    assert_eq!(taken.iter().sum::<u32>(), 60);
}

async fn keys_are_counted_apart_and_idle_ones_forgotten(store: Store) {
    for key in ["a", "b"] {
        let taken = store.take_calls(&Digest::of(key), RATE, wanted(60), NOW).await.unwrap();
        assert_eq!(taken.taken, 60);
    }
    assert_eq!(store.forget_idle_rates(after(59)).await.unwrap(), 0);
    assert_eq!(store.forget_idle_rates(after(60)).await.unwrap(), 2);
}

async fn a_clock_that_was_wrong_locks_nobody_out(store: Store) {
    let key = Digest::of("a");
    store.take_calls(&key, RATE, wanted(60), after(86_400 * 365)).await.unwrap();
    assert_eq!(store.take_calls(&key, RATE, wanted(1), NOW).await.unwrap().taken, 0);
    assert_eq!(store.take_calls(&key, RATE, wanted(9), after(61)).await.unwrap().taken, 9);
}
