//! Calls that replicas take out of a rate they share.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;

/// So many in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRate {
    pub count: NonZeroU32,
    pub period: Duration,
}

/// What a replica got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// From 0 to what was wanted.
    pub taken: u32,
    /// Where nothing was taken: when there will be one. Else not read.
    pub next_at: Timestamp,
}

#[async_trait]
pub trait LeaseStore: Send + Sync + std::fmt::Debug {
    /// Takes at most `wanted` calls of `key` out of its rate, as many as there are, in one guarded statement:
    /// whatever runs at the same time, no more are taken than the rate gives.
    ///
    /// GCRA: the row holds one time, `tat`; step = period / count, in microseconds. A missing row is `tat = now`.
    /// `tat` counts as no less than `now`, and as no more than `now + period` (a clock was wrong: it must not
    /// lock the key). There are `(now + period - tat) / step` calls, rounded down; taking n moves `tat` by n steps.
    /// `next_at = tat + step - period`.
    async fn take_calls(
        &self,
        key: &Digest,
        rate: LeaseRate,
        wanted: NonZeroU32,
        now: Timestamp,
    ) -> Result<Lease, StoreError>;

    /// Deletes rows whose time has passed: they are the same as none. How many.
    async fn forget_idle_rates(&self, now: Timestamp) -> Result<u64, StoreError>;
}
