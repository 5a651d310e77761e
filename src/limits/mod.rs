//! How much each client, user, tenant and tool may ask: rates, and calls at a time.
//!
//! Rates follow GCRA: the whole count may come at once, then one each `period / count`. Counted in
//! this process and in memory of a fixed size, or over all replicas in a store they share. Rate limiting tool calls is a MUST of MCP
//! (2026-07-28 server/tools, Security Considerations 1).

mod away;
mod cells;
mod concurrency;
mod network;
mod rate;
mod replicas;
mod room;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod which;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::code::Code;
use crate::id::{ClientId, Issuer, Subject, TenantId};
use crate::random::Random;
use crate::store::LeaseStore;
use crate::time::Clock;

use concurrency::{Place, Places};
use replicas::{Book, NoPlace, SharedPlace, SharedPlaces};
use shared::SharedMeter;

pub use network::{NetworkShare, network, site};
pub use rate::Meter;
pub use room::{Room, RoomSize};
pub use settings::{CallerLimits, Limit, OnStoreFailure, Rate, Settings, ToolLimits};
pub use which::Which;

use which::Counted;

/// The limits in force. Cheap to clone; where nothing is limited, a check is one comparison.
#[derive(Clone, Debug, Default)]
pub struct Limits(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    general: Group,
    tools: HashMap<String, Group>,
    requests: Group,
    streams: Group,
    /// Where places are counted over all replicas.
    book: Option<Arc<Book>>,
    /// Keyed at random, so that nobody can choose names that fall together.
    hasher: RandomState,
}

/// Counted first is what a caller can only use up for itself: a call that is refused there takes
/// nothing from what callers share.
#[derive(Debug, Default)]
struct Group {
    own: Vec<Counter>,
    shared: Vec<Counter>,
}

/// One limit.
#[derive(Debug)]
struct Counter {
    which: Which,
    rate: Option<Counting>,
    places: Option<Holding>,
}

/// Where a rate is counted.
#[derive(Debug)]
enum Counting {
    Here(Meter),
    Shared(SharedMeter),
}

/// Where calls at a time are counted.
#[derive(Debug)]
enum Holding {
    Here(Places),
    Shared(SharedPlaces),
}

/// A place of either kind.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held until they are dropped")]
enum Held {
    Here(Place),
    Shared(SharedPlace),
}

/// Who makes which call.
#[derive(Clone, Copy, Debug)]
pub struct LimitFacts<'a> {
    /// Clients and users are told apart within their issuer.
    pub issuer: &'a Issuer,
    pub client: Option<&'a ClientId>,
    pub user: Option<&'a Subject>,
    /// Where the call acts.
    pub tenant: Option<&'a TenantId>,
    /// `None` for a tool that the caller does not see: its own limits would tell that it exists.
    pub tool: Option<&'a str>,
}

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Rate,
    Concurrency,
}

/// Why a call goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    RateLimited(RateLimited),
    /// 503: nobody knows whether the call would be too much.
    #[error("{0} cannot be counted: the store does not answer")]
    StoreAway(Which),
}

/// A call that is too much: 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many {}{}: {which} is used up", which.what(), match measure { Measure::Rate => "", Measure::Concurrency => " at a time" })]
pub struct RateLimited {
    /// When the same call would pass this limit if nobody else calls. A guess of 1 s for calls at a time.
    pub retry_after: Duration,
    pub which: Which,
    pub measure: Measure,
}

/// The places that a call holds while it is under way. Clones are the same places; they are free when
/// the last one is dropped.
#[derive(Clone, Debug, Default)]
pub struct Permits(Option<Arc<Vec<Held>>>);

impl Refused {
    /// What a caller gets.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::RateLimited(_) => Code::PolicyRateLimited,
            Self::StoreAway(_) => Code::BrokerUnavailable,
        }
    }

    /// When a retry makes sense.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::RateLimited(limited) => limited.retry_after,
            Self::StoreAway(_) => Duration::from_secs(5),
        }
    }

    /// `Retry-After` in whole seconds, rounded up (RFC 9110 §10.2.3): never too early, never 0.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        let wait = self.retry_after();
        (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
    }
}

impl Permits {
    /// Whether no place is held: dropping them frees nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Limits {
    #[must_use]
    pub fn new(settings: &Settings, clock: &Arc<dyn Clock>) -> Self {
        Self::build(settings, &Counters { clock: Arc::clone(clock), shared: None })
    }

    /// The same, counted over all replicas that share `store`. One who makes them [keeps](Self::keep) them.
    ///
    /// Replicas take calls out of the store in small batches, and what a replica does not use within a
    /// second is lost: together they never let through more than the limit, and may let through a little less.
    /// Places for calls at a time are leased one by one.
    #[must_use]
    pub fn shared(
        settings: &Settings,
        (clock, random): (&Arc<dyn Clock>, &dyn Random),
        store: Arc<dyn LeaseStore>,
    ) -> Self {
        let book = Arc::new(Book::new(Arc::clone(&store), (clock, random)));
        Self::build(settings, &Counters { clock: Arc::clone(clock), shared: Some((store, book)) })
    }

    /// Gives shared places back as calls end, and renews those of calls that go on, until `stop`. Without it they end by
    /// themselves, calls or not. Returns at once where no place is shared.
    pub async fn keep(self, stop: impl Future<Output = ()>) {
        let Some(book) = self.0.as_ref().and_then(|inner| inner.book.clone()) else { return };
        // Not the limits: they may be dropped meanwhile.
        drop(self);
        book.keep(stop).await;
    }

    fn build(settings: &Settings, counters: &Counters) -> Self {
        let general = Group::new(
            [(Which::Client, settings.client), (Which::User, settings.user)],
            (Which::Tenant, settings.tenant),
            "",
            counters,
        );
        let tool = |tool: &ToolLimits| {
            let own = [(Which::ToolClient, tool.client), (Which::ToolUser, tool.user)];
            (tool.name.clone(), Group::new(own, (Which::Tool, tool.all), &tool.name, counters))
        };
        let tools: HashMap<_, _> =
            settings.tools.iter().map(tool).filter(|(_, group)| !group.is_empty()).collect();
        let caller = |of: CallerLimits, [client, user]: [Which; 2], name| {
            let none = (Which::Tool, Limit::default());
            Group::new([(client, of.client), (user, of.user)], none, name, counters)
        };
        let of_requests = [Which::RequestClient, Which::RequestUser];
        let requests = caller(settings.requests, of_requests, "requests");
        let streams = caller(settings.streams, [Which::StreamClient, Which::StreamUser], "streams");
        let all = || [&general, &requests, &streams].into_iter().chain(tools.values());
        let nothing = all().all(Group::is_empty);
        let has_places = |group: &Group| group.counters().any(|counter| counter.places.is_some());
        let any = all().any(has_places);
        let book = counters.shared.as_ref().filter(|_| any).map(|(_, book)| Arc::clone(book));
        let hasher = RandomState::new();
        let inner = Inner { general, tools, requests, streams, book, hasher };
        Self((!nothing).then(|| Arc::new(inner)))
    }

    /// Counts one call, in every limit that concerns it.
    ///
    /// A refused call was counted by the limits before the one that refused it: the caller's own come
    /// first, then the shared ones, and places are taken last.
    ///
    /// # Errors
    ///
    /// [`Refused::RateLimited`] (429): the first limit that is used up. [`Refused::StoreAway`] (503).
    pub async fn check(&self, facts: &LimitFacts<'_>) -> Result<Permits, Refused> {
        match &self.0 {
            None => Ok(Permits::default()),
            Some(inner) => inner.check(facts, inner.concerned(facts)).await,
        }
    }

    /// Counts one request that is no call. Nothing is held for it.
    ///
    /// # Errors
    ///
    /// [`Refused`], as for calls.
    pub async fn check_request(&self, facts: &LimitFacts<'_>) -> Result<Permits, Refused> {
        match &self.0 {
            None => Ok(Permits::default()),
            Some(inner) => inner.check(facts, inner.requests.counters()).await,
        }
    }

    /// Takes a place for a stream that stays open.
    ///
    /// # Errors
    ///
    /// [`Refused`], as for calls.
    pub async fn check_stream(&self, facts: &LimitFacts<'_>) -> Result<Permits, Refused> {
        match &self.0 {
            None => Ok(Permits::default()),
            Some(inner) => inner.check(facts, inner.streams.counters()).await,
        }
    }
}

impl Inner {
    async fn check<'a>(
        &self,
        facts: &LimitFacts<'_>,
        concerned: impl Iterator<Item = &'a Counter> + Clone,
    ) -> Result<Permits, Refused> {
        for counter in concerned.clone() {
            let (Some(rate), Some(who)) = (&counter.rate, counter.which.who(facts)) else {
                continue;
            };
            let counted = match rate {
                Counting::Here(meter) => meter.count(self.key(&who)).map_err(Some),
                Counting::Shared(meter) => meter.count(self.key(&who), &who).await,
            };
            counted.map_err(|wait| counter.refusal(wait))?;
        }
        let mut places = Vec::new();
        for counter in concerned {
            let (Some(all), Some(who)) = (&counter.places, counter.which.who(facts)) else {
                continue;
            };
            let taken = match all {
                Holding::Here(all) => all.take(self.key(&who)).map(Held::Here).ok_or(NoPlace::Full),
                Holding::Shared(all) => all.take(&who).await.map(Held::Shared),
            };
            places.push(taken.map_err(|none| counter.no_place(none))?);
        }
        Ok(Permits((!places.is_empty()).then(|| Arc::new(places))))
    }

    fn concerned(&self, facts: &LimitFacts<'_>) -> impl Iterator<Item = &Counter> + Clone {
        let tool = facts.tool.and_then(|name| self.tools.get(name));
        let own = self.general.own.iter().chain(tool.map_or([].as_slice(), |tool| &tool.own));
        let shared = tool.map_or([].as_slice(), |tool| &tool.shared);
        let shared = self.general.shared.iter().chain(shared);
        own.chain(shared)
    }

    /// Who is counted, as one number. Two callers share one with a chance of 1 in 10⁹ among 100,000.
    fn key(&self, who: &Counted<'_>) -> u64 {
        self.hasher.hash_one(who)
    }
}

/// What counters are made with.
struct Counters {
    clock: Arc<dyn Clock>,
    /// `None`: in this process alone.
    shared: Option<(Arc<dyn LeaseStore>, Arc<Book>)>,
}

impl Group {
    fn new(own: [(Which, Limit); 2], shared: (Which, Limit), tool: &str, with: &Counters) -> Self {
        let counters = |limits: &[(Which, Limit)]| {
            let set = limits.iter().filter(|(_, limit)| !limit.is_none());
            set.map(|(which, limit)| Counter::new(*which, *limit, tool, with)).collect()
        };
        Self { own: counters(&own), shared: counters(&[shared]) }
    }

    fn counters(&self) -> impl Iterator<Item = &Counter> + Clone {
        self.own.iter().chain(&self.shared)
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_empty()
    }
}

impl Counter {
    fn new(which: Which, limit: Limit, tool: &str, with: &Counters) -> Self {
        let name = || format!("{which:?} {tool}");
        let counting = |rate| {
            let here = Meter::new(rate, Arc::clone(&with.clock));
            match &with.shared {
                None => Counting::Here(here),
                Some((store, _)) => Counting::Shared(SharedMeter::new(
                    name(),
                    (rate, limit.on_store_failure),
                    Arc::clone(store),
                    (here, Arc::clone(&with.clock)),
                )),
            }
        };
        let holding = |most| match &with.shared {
            None => Holding::Here(Places::new(most)),
            Some((_, book)) => {
                let limit = (most, limit.on_store_failure);
                Holding::Shared(SharedPlaces::new(name(), limit, Arc::clone(book)))
            }
        };
        Self { which, rate: limit.rate.map(counting), places: limit.concurrency.map(holding) }
    }

    const fn no_place(&self, none: NoPlace) -> Refused {
        match none {
            NoPlace::StoreAway => Refused::StoreAway(self.which),
            NoPlace::Full => Refused::RateLimited(RateLimited {
                retry_after: Duration::from_secs(1),
                which: self.which,
                measure: Measure::Concurrency,
            }),
        }
    }

    /// `wait` is `None` where the store does not answer.
    const fn refusal(&self, wait: Option<Duration>) -> Refused {
        match wait {
            None => Refused::StoreAway(self.which),
            Some(retry_after) => Refused::RateLimited(RateLimited {
                retry_after,
                which: self.which,
                measure: Measure::Rate,
            }),
        }
    }
}
