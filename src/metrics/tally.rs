//! What a part keeps about itself: cheap to add to, read when somebody scrapes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Counts. Adding is one atomic operation.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets, in seconds: from an answer out of memory to a call that waits for Graph.
pub(super) const BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How long something took, each time. Clones are the same.
#[derive(Clone, Debug)]
pub struct Times(pub(super) Histogram);

impl Times {
    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(BUCKETS))
    }
}
