//! What replicas count together, over a store in memory.

use super::*;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;

use crate::random::SystemRandom;
use crate::store::{Digest, Lease, LeaseRate, PLACES_LAST, PlaceLease, StoreError};

/// The store's contract in a few lines of memory.
#[derive(Debug)]
pub(super) struct Memory {
    /// Its own, as a database has one.
    clock: Arc<FixedClock>,
    times: Mutex<HashMap<Digest, i64>>,
    /// By key and owner: how many, and until when in milliseconds.
    pub(super) places: Mutex<HashMap<(Digest, Digest), (u32, i64)>>,
    pub(super) asked: AtomicUsize,
    pub(super) away: AtomicBool,
    pub(super) hangs: AtomicBool,
}

#[async_trait]
impl LeaseStore for Memory {
    async fn take_calls(
        &self,
        key: &Digest,
        rate: LeaseRate,
        wanted: std::num::NonZeroU32,
        at: Option<Timestamp>,
    ) -> Result<Lease, StoreError> {
        self.asked().await?;
        let mut times = self.times.lock().unwrap();
        let now = at.unwrap_or_else(|| self.clock.now());
        let (now, period) =
            (now.unix_millis() * 1_000, i64::try_from(rate.period.as_micros()).unwrap());
        let step = period / i64::from(rate.count.get());
        let tat = times.entry(*key).or_insert(now);
        *tat = (*tat).clamp(now, now + period);
        let taken = ((now + period - *tat) / step).min(i64::from(wanted.get()));
        *tat += taken * step;
        let wait = (*tat + step - period - now).max(0).div_euclid(1_000) + 1;
        let taken = u32::try_from(taken).unwrap();
        Ok(Lease { taken, wait: Duration::from_millis(wait.unsigned_abs()) })
    }

    async fn forget_idle_rates(&self, _at: Option<Timestamp>) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn take_place(
        &self,
        lease: PlaceLease,
        most: std::num::NonZeroU32,
        _at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.asked().await?;
        let (now, until) = self.now_and_end();
        let mut places = self.places.lock().unwrap();
        let others = places.iter().filter(|((key, owner), (_, ends_at))| {
            *key == lease.key && *owner != lease.owner && *ends_at > now
        });
        let others: u32 = others.map(|(_, (held, _))| held).sum();
        let fits = others + lease.held <= most.get();
        if fits {
            places.insert((lease.key, lease.owner), (lease.held, until));
        }
        Ok(fits)
    }

    async fn hold_places(
        &self,
        owner: Digest,
        held: Vec<(Digest, u32)>,
        _at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.asked().await?;
        let (_, until) = self.now_and_end();
        let mut places = self.places.lock().unwrap();
        for (key, held) in held {
            match held {
                0 => places.remove(&(key, owner)),
                _ => places.insert((key, owner), (held, until)),
            };
        }
        Ok(())
    }

    async fn forget_ended_places(&self, _at: Option<Timestamp>) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl Memory {
    fn with(clock: &Arc<FixedClock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            times: Mutex::default(),
            places: Mutex::default(),
            asked: AtomicUsize::default(),
            away: AtomicBool::default(),
            hangs: AtomicBool::default(),
        }
    }

    async fn asked(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.away.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(())
    }

    fn now_and_end(&self) -> (i64, i64) {
        let now = self.clock.now();
        (now.unix_millis(), now.plus(PLACES_LAST).unix_millis())
    }
}

pub(super) struct Replicas {
    pub(super) clock: Arc<FixedClock>,
    pub(super) store: Arc<Memory>,
    pub(super) limits: Vec<Limits>,
}

pub(super) fn replicas(client: Limit) -> Replicas {
    let clock = clock();
    let store = Arc::new(Memory::with(&clock));
    let settings = Settings { client, ..Settings::default() };
    let ours: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let around = (&ours, &SystemRandom::new() as _);
    let replica = |_| Limits::shared(&settings, around, Arc::clone(&store) as _);
    Replicas { limits: (0..3).map(replica).collect(), clock, store }
}

impl Replicas {
    /// How many of so many calls pass, one replica after the other.
    async fn passed(&self, calls: usize) -> usize {
        let mut passed = 0;
        for (_, limits) in (0..calls).zip(self.limits.iter().cycle()) {
            passed += usize::from(call("a", "u").checked(limits).await.is_ok());
        }
        passed
    }
}

#[tokio::test]
async fn replicas_together_let_through_what_the_limit_says() {
    let replicas = replicas(rate(600, 60));
    assert_eq!(replicas.passed(1_000).await, 600);
    replicas.clock.advance(Duration::from_secs(6));
    assert_eq!(replicas.passed(1_000).await, 60);
    let asked = replicas.store.asked.load(Ordering::Relaxed);
    assert!(asked < 100, "calls come in batches: {asked}");
}

/// What a replica's clock says is of no account: by its own each one that is ahead would find the whole rate again.
#[tokio::test]
async fn replicas_whose_clocks_differ_let_through_what_the_limit_says() {
    let store = Arc::new(Memory::with(&clock()));
    let settings = Settings { client: rate(600, 60), ..Settings::default() };
    let replica = |seconds| {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(seconds)));
        let clock: Arc<dyn Clock> = clock;
        Limits::shared(&settings, (&clock, &SystemRandom::new()), Arc::clone(&store) as _)
    };
    let limits: Vec<_> = [0, 30, 10_000, 2_000_000_000].map(replica).into();
    let replicas = Replicas { clock: clock(), store, limits };
    assert_eq!(replicas.passed(2_000).await, 600);
}

/// One call waits for a database that hangs; the others of the same key do not stand in line behind it.
#[tokio::test]
async fn a_store_that_hangs_is_not_waited_for_by_each_call() {
    let replicas = replicas(rate(5_000, 60));
    let limits = &replicas.limits[0];
    replicas.store.hangs.store(true, Ordering::Relaxed);
    for _ in 0..100 {
        assert!(call("a", "u").checked(limits).await.is_ok());
    }
    assert_eq!(replicas.store.asked.load(Ordering::Relaxed), 1, "the failure is remembered");
    replicas.clock.advance(Duration::from_secs(1));
    let agent = call("a", "u");
    let calls = (0..50).map(|_| agent.checked(limits));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(replicas.store.asked.load(Ordering::Relaxed), 2, "one finds out for all");
}

// The store's clock counts, so a step of it forward gives the rate once more, and one back takes a period at most.
#[tokio::test]
async fn a_step_of_the_wall_clock_gives_replicas_one_rate_more_at_most() {
    let replicas = replicas(rate(60, 60));
    assert_eq!(replicas.passed(200).await, 60);
    replicas.clock.step_wall(Timestamp::from_unix_seconds(900_000));
    replicas.clock.advance(Duration::from_secs(1));
    assert!(replicas.passed(200).await <= 61);
    replicas.clock.step_wall(Timestamp::from_unix_seconds(0));
    replicas.clock.advance(Duration::from_secs(1));
    assert_eq!(replicas.passed(200).await, 0, "the step back gives nothing");
    replicas.clock.advance(Duration::from_mins(2));
    assert_eq!(replicas.passed(200).await, 60, "and locks nobody out");
}

#[tokio::test]
async fn of_many_calls_at_once_one_asks_the_store() {
    let replicas = replicas(rate(5_000, 60));
    let agent = call("a", "u");
    let calls = (0..80).map(|_| agent.checked(&replicas.limits[0]));
    let passed = futures_util::future::join_all(calls).await;
    assert!(passed.iter().all(Result::is_ok));
    assert_eq!(replicas.store.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn calls_that_were_taken_and_not_used_are_lost_and_never_saved_up() {
    let replicas = replicas(rate(100, 100));
    assert_eq!(replicas.passed(1).await, 1);
    replicas.clock.advance(Duration::from_secs(1));
    // One of the batch of two was not used; one came back in the second that passed.
    assert_eq!(replicas.passed(500).await, 99);
}

#[tokio::test]
async fn a_refused_key_does_not_ask_the_store_again_before_its_time() {
    let replicas = replicas(rate(1, 60));
    let limits = &replicas.limits[0];
    assert!(call("a", "u").checked(limits).await.is_ok());
    let refused = call("a", "u").checked(limits).await.unwrap_err();
    let asked = replicas.store.asked.load(Ordering::Relaxed);
    for _ in 0..50 {
        assert!(call("a", "u").checked(limits).await.is_err());
    }
    assert_eq!(replicas.store.asked.load(Ordering::Relaxed), asked);
    replicas.clock.advance(refused.retry_after());
    assert!(call("a", "u").checked(limits).await.is_ok());
}

#[tokio::test]
async fn while_the_store_is_away_each_limit_does_what_was_chosen_for_it() {
    let open = replicas(rate(2, 60));
    open.store.away.store(true, Ordering::Relaxed);
    assert_eq!(open.passed(30).await, 6, "each of three replicas counts for itself");
    let closed = replicas(Limit { on_store_failure: OnStoreFailure::Closed, ..rate(2, 60) });
    closed.store.away.store(true, Ordering::Relaxed);
    let refused = call("a", "u").checked(&closed.limits[0]).await.unwrap_err();
    assert_eq!(refused, Refused::StoreAway(Which::Client));
    assert_eq!(refused.code(), Code::BrokerUnavailable);
    closed.store.away.store(false, Ordering::Relaxed);
    closed.clock.advance(Duration::from_secs(1));
    assert!(call("a", "u").checked(&closed.limits[0]).await.is_ok());
}
