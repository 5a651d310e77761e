//! One rate, counted for each key in this process.

use std::sync::Arc;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};

use crate::time::Clock;

use super::cells::Cells;
use super::settings::Rate;

/// governor over our clock and our bounded cells: the whole count at once, then one each `period / count`.
#[derive(Debug)]
pub struct Meter(RateLimiter<u64, Cells, Monotonic, NoOpMiddleware<Duration>>);

impl Meter {
    #[must_use]
    pub fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let step = (rate.period / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(step).unwrap_or(Quota::per_second(rate.count));
        let cells = Cells::new(step.into());
        Self(RateLimiter::new(quota.allow_burst(rate.count), cells, Monotonic(clock)))
    }

    /// Counts one call of `key`, a keyed hash of who is counted.
    ///
    /// # Errors
    ///
    /// How long from now until one would be let through; nothing was counted.
    pub fn count(&self, key: u64) -> Result<(), Duration> {
        let now = governor::clock::Clock::now(self.0.clock());
        self.0.check_key(&key).map_err(|until| until.wait_time_from(now))
    }

    #[cfg(test)]
    pub(super) fn into_cells(self) -> Cells {
        self.0.into_state_store()
    }
}

/// Time for governor: only ours can be moved by tests, and never goes back.
#[derive(Clone, Debug)]
struct Monotonic(Arc<dyn Clock>);

impl governor::clock::Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}
