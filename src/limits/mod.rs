//! How much each client, user, tenant and tool may ask: rates, and calls at a time.
//!
//! Rates follow GCRA: the whole count may come at once, then one each `period / count`. Counted in
//! this process and in memory of a fixed size. Rate limiting tool calls is a MUST of MCP
//! (2026-07-28 server/tools, Security Considerations 1).

mod cells;
mod concurrency;
mod rate;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::code::Code;
use crate::id::{ClientId, Issuer, Subject, TenantId};
use crate::time::Clock;

use concurrency::{Place, Places};
use rate::Meter;

pub use settings::{Limit, Rate, Settings, ToolLimits};

/// The limits in force. Cheap to clone; where nothing is limited, a check is one comparison.
#[derive(Clone, Debug, Default)]
pub struct Limits(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    general: Group,
    tools: HashMap<String, Group>,
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
    rate: Option<Meter>,
    places: Option<Places>,
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

/// Which limit. Prints as its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    Client,
    User,
    Tenant,
    ToolClient,
    ToolUser,
    Tool,
}

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Rate,
    Concurrency,
}

/// A call that goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many calls{}: {which} is used up", match measure { Measure::Rate => "", Measure::Concurrency => " at a time" })]
pub struct RateLimited {
    /// When the same call would pass this limit if nobody else calls. A guess of 1 s for calls at a time.
    pub retry_after: Duration,
    pub which: Which,
    pub measure: Measure,
}

/// The places that a call holds while it is under way. Clones are the same places; they are free when
/// the last one is dropped.
#[derive(Clone, Debug, Default)]
pub struct Permits(Option<Arc<Vec<Place>>>);

impl RateLimited {
    /// What a caller gets.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::PolicyRateLimited
    }

    /// `Retry-After` in whole seconds, rounded up (RFC 9110 §10.2.3): never too early, never 0.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        let part = u64::from(self.retry_after.subsec_nanos() > 0);
        (self.retry_after.as_secs() + part).max(1)
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
        let general = Group::new(
            [(Which::Client, settings.client), (Which::User, settings.user)],
            (Which::Tenant, settings.tenant),
            clock,
        );
        let tool = |tool: &ToolLimits| {
            let own = [(Which::ToolClient, tool.client), (Which::ToolUser, tool.user)];
            (tool.name.clone(), Group::new(own, (Which::Tool, tool.all), clock))
        };
        let tools: HashMap<_, _> =
            settings.tools.iter().map(tool).filter(|(_, group)| !group.is_empty()).collect();
        let nothing = general.is_empty() && tools.is_empty();
        Self((!nothing).then(|| Arc::new(Inner { general, tools, hasher: RandomState::new() })))
    }

    /// Counts one call, in every limit that concerns it.
    ///
    /// A refused call was counted by the limits before the one that refused it: the caller's own come
    /// first, then the shared ones, and places are taken last.
    ///
    /// # Errors
    ///
    /// [`RateLimited`] (429): the first limit that is used up.
    pub fn check(&self, facts: &LimitFacts<'_>) -> Result<Permits, RateLimited> {
        match &self.0 {
            None => Ok(Permits::default()),
            Some(inner) => inner.check(facts),
        }
    }
}

impl Inner {
    fn check(&self, facts: &LimitFacts<'_>) -> Result<Permits, RateLimited> {
        for counter in self.concerned(facts) {
            let (Some(meter), Some(key)) = (&counter.rate, self.key(counter.which, facts)) else {
                continue;
            };
            meter.count(key).map_err(|retry_after| RateLimited {
                retry_after,
                which: counter.which,
                measure: Measure::Rate,
            })?;
        }
        let mut places = Vec::new();
        for counter in self.concerned(facts) {
            let (Some(all), Some(key)) = (&counter.places, self.key(counter.which, facts)) else {
                continue;
            };
            places.push(all.take(key).ok_or(RateLimited {
                retry_after: Duration::from_secs(1),
                which: counter.which,
                measure: Measure::Concurrency,
            })?);
        }
        Ok(Permits((!places.is_empty()).then(|| Arc::new(places))))
    }

    fn concerned(&self, facts: &LimitFacts<'_>) -> impl Iterator<Item = &Counter> {
        let tool = facts.tool.and_then(|name| self.tools.get(name));
        let own = self.general.own.iter().chain(tool.map_or([].as_slice(), |tool| &tool.own));
        let shared = tool.map_or([].as_slice(), |tool| &tool.shared);
        let shared = self.general.shared.iter().chain(shared);
        own.chain(shared)
    }

    /// Who is counted, as one number. Two callers share one with a chance of 1 in 10⁹ among 100,000.
    fn key(&self, which: Which, facts: &LimitFacts<'_>) -> Option<u64> {
        let client = facts.client.map(ClientId::as_str);
        let user = facts.user.map(Subject::as_str);
        Some(match which {
            // A token that names no client is counted by its user, and the other way about: none goes free.
            Which::Client | Which::ToolClient => {
                self.hasher.hash_one((facts.issuer.as_str(), client.is_some(), client.or(user)))
            }
            Which::User | Which::ToolUser => {
                self.hasher.hash_one((facts.issuer.as_str(), user.is_some(), user.or(client)))
            }
            Which::Tenant => self.hasher.hash_one(facts.tenant?.as_str()),
            Which::Tool => 0,
        })
    }
}

impl Group {
    fn new(own: [(Which, Limit); 2], shared: (Which, Limit), clock: &Arc<dyn Clock>) -> Self {
        let counters = |limits: &[(Which, Limit)]| {
            let set = limits.iter().filter(|(_, limit)| !limit.is_none());
            set.map(|(which, limit)| Counter::new(*which, *limit, clock)).collect()
        };
        Self { own: counters(&own), shared: counters(&[shared]) }
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_empty()
    }
}

impl Counter {
    fn new(which: Which, limit: Limit, clock: &Arc<dyn Clock>) -> Self {
        Self {
            which,
            rate: limit.rate.map(|rate| Meter::new(rate, Arc::clone(clock))),
            places: limit.concurrency.map(Places::new),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the limit of the client",
            Self::User => "the limit of the user",
            Self::Tenant => "the limit of the tenant",
            Self::ToolClient => "the client's limit for this tool",
            Self::ToolUser => "the user's limit for this tool",
            Self::Tool => "the limit of this tool",
        })
    }
}
