//! Calls that replicas take out of a rate they share, and the places for calls at a time that each of them holds.

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
    /// Where nothing was taken: how long until there will be one. Else not read.
    pub wait: Duration,
}

/// A replica has its places for so long after it last wrote that it has them. Who holds calls writes it anew in less.
pub const PLACES_LAST: Duration = Duration::from_secs(30);

/// How many places of one limit a replica has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLease {
    /// The limit, and who is counted in it.
    pub key: Digest,
    /// The replica, as long as it runs.
    pub owner: Digest,
    /// All that it has of the key, not one more.
    pub held: u32,
}

#[async_trait]
pub trait LeaseStore: Send + Sync + std::fmt::Debug {
    /// Takes at most `wanted` calls of `key` out of its rate, as many as there are, in one guarded statement:
    /// whatever runs at the same time, no more are taken than the rate gives.
    ///
    /// `at` is `None` for replicas: then the database's own clock says when it is, for theirs differ, and each that is ahead would
    /// find calls that are not there. A test says what time it is.
    ///
    /// GCRA: the row holds one time, `tat`; step = period / count, in microseconds. A missing row is `tat = now`.
    /// `tat` counts as no less than `now`. Where it is more than five seconds beyond `now + period`, a clock was wrong or the rate was
    /// another: it counts as `now + period`, so that it does not lock the key; less is left as it is, for lowering it would give
    /// calls away. There are `(now + period - tat) / step` calls, rounded down; taking n moves `tat` by n steps.
    /// `wait = tat + step - period - now`.
    async fn take_calls(
        &self,
        key: &Digest,
        rate: LeaseRate,
        wanted: NonZeroU32,
        at: Option<Timestamp>,
    ) -> Result<Lease, StoreError>;

    /// Deletes rows whose time has passed: they are the same as none. How many. `at` as above.
    async fn forget_idle_rates(&self, at: Option<Timestamp>) -> Result<u64, StoreError>;

    /// Makes `lease.held` what the replica has of the key, if all replicas together then have `most` at most, and says
    /// whether it did: whatever runs at the same time, no more are given. Others count for [`PLACES_LAST`] after they were
    /// last written. `at` as above.
    async fn take_place(
        &self,
        lease: PlaceLease,
        most: NonZeroU32,
        at: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Writes what the calls of `owner` hold, whether there is room or not, for another [`PLACES_LAST`]. A key of which it
    /// holds none has no row afterwards.
    async fn hold_places(
        &self,
        owner: Digest,
        held: Vec<(Digest, u32)>,
        at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Deletes places that ended, a thousand at most, and says how many. What a clock that was wrong put further away than
    /// [`PLACES_LAST`] ends after that time from now.
    async fn forget_ended_places(&self, at: Option<Timestamp>) -> Result<u64, StoreError>;
}
