use super::*;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::store::{Lease, LeaseRate, StoreError};
use crate::time::{FixedClock, Timestamp};

const ISSUER: &str = "https://broker.example";

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)))
}

fn rate(count: u32, seconds: u64) -> Limit {
    let rate = Rate { count: count.try_into().unwrap(), period: Duration::from_secs(seconds) };
    Limit { rate: Some(rate), ..Limit::default() }
}

fn at_a_time(most: u32) -> Limit {
    Limit { concurrency: Some(most.try_into().unwrap()), ..Limit::default() }
}

fn limits(settings: &Settings, clock: &Arc<FixedClock>) -> Limits {
    Limits::new(settings, &(Arc::clone(clock) as Arc<dyn Clock>))
}

/// One call, by names.
struct Call {
    issuer: Issuer,
    client: Option<ClientId>,
    user: Option<Subject>,
    tenant: Option<TenantId>,
    tool: Option<&'static str>,
}

fn call(client: &str, user: &str) -> Call {
    Call {
        issuer: ISSUER.parse().unwrap(),
        client: client.parse().ok(),
        user: user.parse().ok(),
        tenant: None,
        tool: Some("tool"),
    }
}

impl Call {
    /// Without a store there is nothing to wait for.
    fn check(&self, limits: &Limits) -> Result<Permits, RateLimited> {
        let checked = self.checked(limits).now_or_never().expect("no store is asked");
        checked.map_err(|refused| match refused {
            Refused::RateLimited(limited) => limited,
            Refused::StoreAway(_) => panic!("no store is asked"),
        })
    }

    async fn checked(&self, limits: &Limits) -> Result<Permits, Refused> {
        let facts = LimitFacts {
            issuer: &self.issuer,
            client: self.client.as_ref(),
            user: self.user.as_ref(),
            tenant: self.tenant.as_ref(),
            tool: self.tool,
        };
        limits.check(&facts).await
    }
}

fn tool(client: Limit, all: Limit) -> Settings {
    let tool = ToolLimits { name: "tool".to_owned(), client, user: Limit::default(), all };
    Settings { tools: vec![tool], ..Settings::default() }
}

#[test]
fn where_nothing_is_limited_nothing_is_kept() {
    let none = limits(&tool(Limit::default(), Limit::default()), &clock());
    assert!(none.0.is_none());
    assert!(call("a", "u").check(&none).unwrap().is_empty());
}

#[test]
fn the_whole_count_may_come_at_once_and_then_one_each_step() {
    let clock = clock();
    let limits = limits(&Settings { client: rate(5, 10), ..Settings::default() }, &clock);
    let passed = |limits: &Limits| (0..20).filter(|_| call("a", "u").check(limits).is_ok()).count();
    assert_eq!(passed(&limits), 5);
    clock.advance(Duration::from_secs(4));
    assert_eq!(passed(&limits), 2);
    clock.advance(Duration::from_hours(1));
    assert_eq!(passed(&limits), 5);
}

#[test]
fn retry_after_is_neither_too_early_nor_too_late() {
    let clock = clock();
    let limits = limits(&Settings { client: rate(3, 10), ..Settings::default() }, &clock);
    while call("a", "u").check(&limits).is_ok() {}
    let refused = call("a", "u").check(&limits).unwrap_err();
    assert_eq!(Refused::RateLimited(refused).retry_after_seconds(), 4);
    clock.advance(refused.retry_after.saturating_sub(Duration::from_nanos(1)));
    assert!(call("a", "u").check(&limits).is_err());
    clock.advance(Duration::from_nanos(1));
    assert!(call("a", "u").check(&limits).is_ok());
}

#[test]
fn a_step_of_the_wall_clock_opens_nothing() {
    let clock = clock();
    let limits = limits(&Settings { client: rate(1, 60), ..Settings::default() }, &clock);
    call("a", "u").check(&limits).unwrap();
    for wall in [900_000, 0] {
        clock.step_wall(Timestamp::from_unix_seconds(wall));
        assert!(call("a", "u").check(&limits).is_err());
    }
}

#[test]
fn one_client_cannot_use_up_what_another_has() {
    let clock = clock();
    let limits = limits(&Settings { client: rate(2, 60), ..Settings::default() }, &clock);
    while call("a", "u").check(&limits).is_ok() {}
    assert!(call("b", "u").check(&limits).is_ok());
    let elsewhere = Call { issuer: "https://other.example".parse().unwrap(), ..call("a", "u") };
    assert!(elsewhere.check(&limits).is_ok(), "the same name at another issuer is another client");
}

#[test]
fn what_a_client_is_refused_takes_nothing_from_what_is_shared() {
    let clock = clock();
    let limits = limits(&tool(rate(1, 3600), rate(3, 3600)), &clock);
    for _ in 0..50 {
        let _ = call("a", "u").check(&limits);
    }
    assert!(call("b", "u").check(&limits).is_ok());
    assert!(call("c", "u").check(&limits).is_ok());
    assert_eq!(call("d", "u").check(&limits).unwrap_err().which, Which::Tool);
}

#[test]
fn a_token_that_names_no_client_is_limited_by_its_user() {
    let clock = clock();
    let limits = limits(&Settings { client: rate(1, 60), ..Settings::default() }, &clock);
    assert!(call("", "u").check(&limits).is_ok());
    assert!(call("", "u").check(&limits).is_err());
    assert!(call("u", "u").check(&limits).is_ok(), "a client of the user's name is not the user");
}

#[test]
fn a_tool_that_is_not_shown_has_no_limits_of_its_own() {
    let clock = clock();
    let limits = limits(&tool(rate(1, 60), Limit::default()), &clock);
    let hidden = Call { tool: None, ..call("a", "u") };
    for _ in 0..5 {
        assert!(hidden.check(&limits).is_ok());
    }
}

#[test]
fn tenants_are_counted_over_their_callers() {
    let clock = clock();
    let limits = limits(&Settings { tenant: rate(2, 60), ..Settings::default() }, &clock);
    let within = |client| Call { tenant: "contoso".parse().ok(), ..call(client, "u") };
    assert!(within("a").check(&limits).is_ok());
    assert!(within("b").check(&limits).is_ok());
    assert_eq!(within("c").check(&limits).unwrap_err().which, Which::Tenant);
    assert!(call("c", "u").check(&limits).is_ok(), "a call without a tenant");
}

#[test]
fn a_place_is_free_when_the_last_clone_of_the_permits_is_gone() {
    let clock = clock();
    let limits = limits(&Settings { user: at_a_time(1), ..Settings::default() }, &clock);
    let held = call("a", "u").check(&limits).unwrap();
    let clone = held.clone();
    drop(held);
    let refused = call("b", "u").check(&limits).unwrap_err();
    assert_eq!((refused.which, refused.measure), (Which::User, Measure::Concurrency));
    assert!(call("b", "other").check(&limits).is_ok());
    drop(clone);
    assert!(call("b", "u").check(&limits).is_ok());
}

#[test]
fn a_call_that_finds_no_place_leaves_the_places_it_had_found() {
    let clock = clock();
    let settings = Settings { client: at_a_time(1), ..tool(Limit::default(), at_a_time(1)) };
    let limits = limits(&settings, &clock);
    let held = call("a", "u").check(&limits).unwrap();
    assert!(call("b", "u").check(&limits).is_err());
    drop(held);
    assert!(call("b", "u").check(&limits).is_ok());
}

#[test]
fn places_are_counted_only_for_calls_under_way() {
    let places = Places::new(2.try_into().unwrap());
    let held: Vec<_> = (0..1_000).filter_map(|key| places.take(key)).collect();
    assert_eq!((held.len(), places.len()), (1_000, 1_000));
    drop(held);
    assert_eq!(places.len(), 0);
}

#[test]
fn a_flood_of_keys_takes_bounded_memory_and_leaves_known_keys_alone() {
    let rate = rate(1, 3600).rate.unwrap();
    let meter = Meter::new(rate, clock());
    let spread = |key: u64| key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    assert!(meter.count(spread(1)).is_ok());
    let passed = (2..200_000).filter(|key| meter.count(spread(*key)).is_ok()).count();
    assert!(passed <= cells::MAX_KEYS + 16, "newcomers share a cell: {passed}");
    assert!(meter.count(spread(1)).is_err(), "a known key is not forgotten");
    assert!(meter.into_cells().len() <= cells::MAX_KEYS);
}

#[test]
fn keys_whose_time_has_passed_make_room() {
    let clock = clock();
    let meter = Meter::new(rate(1, 10).rate.unwrap(), Arc::clone(&clock) as Arc<dyn Clock>);
    let spread = |key: u64| key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for key in 0..100_000 {
        let _ = meter.count(spread(key));
    }
    clock.advance(Duration::from_secs(11));
    assert!((200_000..200_100).all(|key| meter.count(spread(key)).is_ok()));
    assert!(meter.into_cells().len() < cells::MAX_KEYS);
}

/// The store's contract in a few lines of memory.
#[derive(Debug)]
struct Memory {
    /// Its own, as a database has one.
    clock: Arc<FixedClock>,
    times: Mutex<HashMap<Digest, i64>>,
    asked: AtomicUsize,
    away: AtomicBool,
    hangs: AtomicBool,
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
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.away.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("away".into()));
        }
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
}

impl Memory {
    fn with(clock: &Arc<FixedClock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            times: Mutex::default(),
            asked: AtomicUsize::default(),
            away: AtomicBool::default(),
            hangs: AtomicBool::default(),
        }
    }
}

struct Replicas {
    clock: Arc<FixedClock>,
    store: Arc<Memory>,
    limits: Vec<Limits>,
}

fn replicas(client: Limit) -> Replicas {
    let clock = clock();
    let store = Arc::new(Memory::with(&clock));
    let settings = Settings { client, ..Settings::default() };
    let ours: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let replica = |_| Limits::shared(&settings, &ours, Arc::clone(&store) as _);
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
        Limits::shared(&settings, &(clock as Arc<dyn Clock>), Arc::clone(&store) as _)
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

#[test]
fn what_is_counted_apart_has_a_digest_of_its_own() {
    let counted = [
        ("Client ", Counted("i", true, "a")),
        ("Client ", Counted("i", false, "a")),
        ("Client ", Counted("ia", true, "")),
        ("Client ", Counted("j", true, "a")),
        ("User ", Counted("i", true, "a")),
        ("ToolClient t", Counted("i", true, "a")),
    ];
    let digests: std::collections::HashSet<_> =
        counted.iter().map(|(limit, who)| who.digest(limit)).collect();
    assert_eq!(digests.len(), counted.len());
}
