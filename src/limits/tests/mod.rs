use super::*;

mod places;
mod shared;

use futures_util::FutureExt as _;

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
        limits.check(&self.facts()).await
    }

    fn facts(&self) -> LimitFacts<'_> {
        LimitFacts {
            issuer: &self.issuer,
            client: self.client.as_ref(),
            user: self.user.as_ref(),
            tenant: self.tenant.as_ref(),
            tool: self.tool,
        }
    }

    fn request(&self, limits: &Limits) -> Result<Permits, Refused> {
        limits.check_request(&self.facts()).now_or_never().expect("no store is asked")
    }

    fn stream(&self, limits: &Limits) -> Result<Permits, Refused> {
        limits.check_stream(&self.facts()).now_or_never().expect("no store is asked")
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
fn requests_and_streams_have_limits_of_their_own() {
    let requests = CallerLimits { user: rate(1, 60), ..CallerLimits::default() };
    let streams = CallerLimits { client: at_a_time(1), ..CallerLimits::default() };
    let limits = limits(&Settings { requests, streams, ..Settings::default() }, &clock());
    let one = call("a", "u");
    assert!(one.request(&limits).unwrap().is_empty());
    let refused = call("b", "u").request(&limits).unwrap_err().to_string();
    assert_eq!(
        refused,
        "too many requests: the user's limit for requests that are no calls is used up"
    );
    let held = one.stream(&limits).unwrap();
    let refused = call("a", "other").stream(&limits).unwrap_err().to_string();
    assert_eq!(refused, "too many streams at a time: the client's limit for streams is used up");
    assert!(one.check(&limits).is_ok(), "calls are limited by themselves");
    drop(held);
    assert!(one.stream(&limits).is_ok());
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
