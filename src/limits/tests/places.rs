//! Calls at a time that replicas count together, over a store in memory.

use super::shared::{Replicas, replicas};
use super::*;

use std::sync::atomic::Ordering;

impl Replicas {
    /// The permits of so many calls, one replica after the other.
    async fn taken(&self, calls: usize) -> Vec<Permits> {
        let mut taken = Vec::new();
        for (_, limits) in (0..calls).zip(self.limits.iter().cycle()) {
            taken.extend(call("a", "u").checked(limits).await);
        }
        taken
    }

    /// What the task beside the calls does, once, at each replica.
    async fn renew(&self) {
        for limits in &self.limits {
            book(limits).renew().await;
        }
    }

    fn held(&self) -> u32 {
        self.store.places.lock().unwrap().values().map(|(held, _)| held).sum()
    }
}

fn book(limits: &Limits) -> &Book {
    limits.0.as_ref().unwrap().book.as_ref().unwrap()
}

fn closed(most: u32) -> Limit {
    Limit { on_store_failure: OnStoreFailure::Closed, ..at_a_time(most) }
}

#[tokio::test]
async fn replicas_together_have_no_more_places_than_the_limit_says() {
    let replicas = replicas(at_a_time(4));
    let taken = replicas.taken(9).await;
    assert_eq!((taken.len(), replicas.held()), (4, 4));
    drop(taken);
    replicas.renew().await;
    assert_eq!(replicas.held(), 0);
    replicas.clock.advance(Duration::from_secs(1));
    assert_eq!(replicas.taken(9).await.len(), 4);
}

/// Else a client that calls one after the other would be told to wait for itself.
#[tokio::test]
async fn a_place_that_is_free_here_is_taken_again_before_the_store_has_it_back() {
    let replicas = replicas(at_a_time(1));
    for _ in 0..5 {
        assert_eq!(replicas.taken(1).await.len(), 1);
    }
    assert_eq!(replicas.store.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_replica_that_was_killed_has_its_places_until_they_end() {
    let mut replicas = replicas(at_a_time(2));
    let killed = replicas.limits.remove(0);
    let permits = call("a", "u").checked(&killed).await.unwrap();
    // Neither gives a place back nor renews one.
    std::mem::forget((permits, killed));
    assert_eq!(replicas.taken(4).await.len(), 1);
    replicas.clock.advance(Duration::from_secs(29));
    assert_eq!(replicas.taken(4).await.len(), 1);
    replicas.clock.advance(Duration::from_secs(1));
    assert_eq!(replicas.taken(4).await.len(), 2);
}

#[tokio::test]
async fn a_call_that_goes_on_keeps_its_place() {
    let replicas = replicas(at_a_time(1));
    let _held = replicas.taken(1).await;
    for _ in 0..5 {
        replicas.clock.advance(Duration::from_secs(10));
        replicas.renew().await;
        assert_eq!(replicas.taken(6).await.len(), 0);
    }
}

/// The place may have been given, whoever heard of it or not.
#[tokio::test]
async fn a_caller_that_goes_away_while_the_store_is_asked_leaves_no_place_behind() {
    let replicas = replicas(at_a_time(1));
    let agent = call("a", "u");
    let mut asking = Box::pin(agent.checked(&replicas.limits[0]));
    assert!(futures_util::poll!(&mut asking).is_pending());
    drop(asking);
    replicas.store.places.lock().unwrap().insert(
        (Counted(ISSUER, true, "a").digest("Client "), book(&replicas.limits[0]).owner()),
        (1, i64::MAX),
    );
    assert!(call("a", "u").checked(&replicas.limits[1]).await.is_err());
    replicas.renew().await;
    replicas.clock.advance(Duration::from_secs(1));
    assert!(call("a", "u").checked(&replicas.limits[1]).await.is_ok());
}

#[tokio::test]
async fn while_the_store_is_away_each_limit_of_places_does_what_was_chosen_for_it() {
    let open = replicas(at_a_time(2));
    open.store.away.store(true, Ordering::Relaxed);
    let taken = open.taken(30).await;
    assert_eq!(taken.len(), 6, "each of three replicas counts for itself");
    open.store.away.store(false, Ordering::Relaxed);
    open.clock.advance(Duration::from_secs(1));
    open.renew().await;
    assert_eq!(open.held(), 6, "once it is back it has what is under way");
    let closed = replicas(closed(2));
    let held = closed.taken(1).await;
    closed.store.away.store(true, Ordering::Relaxed);
    let refused = call("a", "u").checked(&closed.limits[0]).await.unwrap_err();
    assert_eq!(refused, Refused::StoreAway(Which::Client));
    assert_eq!(held.len(), 1, "a call that is under way goes on");
}

#[tokio::test]
async fn a_flood_where_no_place_is_free_asks_the_store_ten_times_a_second_at_most() {
    let replicas = replicas(at_a_time(3));
    let _held = replicas.taken(3).await;
    let asked = replicas.store.asked.load(Ordering::Relaxed);
    let agent = call("a", "u");
    let flood = (0..500).map(|_| agent.checked(&replicas.limits[0]));
    assert!(futures_util::future::join_all(flood).await.iter().all(Result::is_err));
    assert_eq!(replicas.store.asked.load(Ordering::Relaxed), asked + 1);
}

#[tokio::test]
async fn callers_without_calls_are_forgotten() {
    let replicas = replicas(at_a_time(1));
    let limits = &replicas.limits[0];
    for client in 0..200 {
        call(&format!("c{client}"), "u").checked(limits).await.unwrap();
    }
    let held = call("a", "u").checked(limits).await.unwrap();
    assert_eq!((book(limits).len(), replicas.held()), (201, 201));
    book(limits).renew().await;
    assert_eq!((book(limits).len(), replicas.held()), (1, 1));
    drop(held);
}

#[tokio::test]
async fn who_stops_gives_all_places_back() {
    let replicas = replicas(at_a_time(2));
    drop(replicas.taken(2).await);
    for limits in &replicas.limits {
        limits.clone().keep(std::future::ready(())).await;
    }
    assert_eq!(replicas.held(), 0);
}

/// 3 replicas, of which each takes and gives back in any order, and is renewed or not.
#[tokio::test]
async fn whatever_the_order_no_more_are_under_way_than_the_limit_says() {
    let replicas = replicas(at_a_time(3));
    let agent = call("a", "u");
    let (mut held, mut seed) = (Vec::<Permits>::new(), 7_u64);
    for step in 0..3_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = usize::try_from(seed >> 40).unwrap();
        match dice % 5 {
            0 | 1 => {
                let all = replicas.limits.iter().map(|limits| agent.checked(limits));
                held.extend(futures_util::future::join_all(all).await.into_iter().flatten());
            }
            2 if !held.is_empty() => drop(held.swap_remove(dice / 5 % held.len())),
            3 => replicas.renew().await,
            _ => replicas.clock.advance(Duration::from_millis(101)),
        }
        assert!(held.len() <= 3, "step {step}");
    }
}
