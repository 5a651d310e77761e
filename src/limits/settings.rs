//! What is limited, as `app` maps it from `[limits]`.

use std::num::NonZeroU32;
use std::time::Duration;

/// Every limit there is. The default limits nothing.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub client: Limit,
    pub user: Limit,
    /// The tenant a call acts in; calls without one are not counted.
    pub tenant: Limit,
    pub tools: Vec<ToolLimits>,
    /// Requests that are no calls.
    pub requests: CallerLimits,
    /// Streams that stay open.
    pub streams: CallerLimits,
}

/// Limits of what is no call, of one client and of one user.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerLimits {
    pub client: Limit,
    pub user: Limit,
}

/// Limits of one tool, beside the general ones.
#[derive(Clone, Debug)]
pub struct ToolLimits {
    pub name: String,
    pub client: Limit,
    pub user: Limit,
    /// Over all callers.
    pub all: Limit,
}

/// How often, and how many at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    pub rate: Option<Rate>,
    /// Calls at a time.
    pub concurrency: Option<NonZeroU32>,
    /// Where they are counted in a store that replicas share.
    pub on_store_failure: OnStoreFailure,
}

/// What happens to calls while the shared store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Each process counts for itself until the store is back.
    #[default]
    Open,
    /// Calls are refused.
    Closed,
}

/// So many in each period: all of them at once if they come so, and then one each `period / count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: NonZeroU32,
    pub period: Duration,
}

impl Limit {
    pub(super) const fn is_none(self) -> bool {
        self.rate.is_none() && self.concurrency.is_none()
    }
}
