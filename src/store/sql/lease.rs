//! [`LeaseStore`] on SQL.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::lease::{Lease, LeaseRate, LeaseStore, PlaceLease};
use crate::time::Timestamp;

use super::database::SqlDatabase;
use super::place;

#[async_trait]
impl LeaseStore for SqlDatabase {
    async fn take_calls(
        &self,
        key: &Digest,
        rate: LeaseRate,
        wanted: NonZeroU32,
        at: Option<Timestamp>,
    ) -> Result<Lease, StoreError> {
        let asked = (*key, rate, wanted, at);
        self.named("take rates").write(asked, |c, asked| Box::pin(take(c, asked))).await
    }

    async fn forget_idle_rates(&self, at: Option<Timestamp>) -> Result<u64, StoreError> {
        self.named("forget rates").write(at, |c, at| Box::pin(forget(c, *at))).await
    }

    async fn take_place(
        &self,
        lease: PlaceLease,
        most: NonZeroU32,
        at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let asked = (lease, most, at);
        self.named("take places").write(asked, |c, asked| Box::pin(place::take(c, asked))).await
    }

    async fn hold_places(
        &self,
        owner: Digest,
        held: Vec<(Digest, u32)>,
        at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let asked = (owner, held, at);
        self.named("hold places").write(asked, |c, asked| Box::pin(place::hold(c, asked))).await
    }

    async fn forget_ended_places(&self, at: Option<Timestamp>) -> Result<u64, StoreError> {
        self.named("forget places").write(at, |c, at| Box::pin(place::forget(c, *at))).await
    }
}

/// The first statement locks the row until the commit and says what it holds: whoever comes at the same time waits.
async fn take(
    c: &mut Connection,
    (key, rate, wanted, at): &(Digest, LeaseRate, NonZeroU32, Option<Timestamp>),
) -> Result<Lease, StoreError> {
    const TAKE: &str = "UPDATE rates SET taken_until = $2 WHERE rate_key = $1";
    let (kept, now) = lock(c, *key, *at).await?;
    let (taken, until, next) = gcra(*rate, *wanted, (kept, now));
    // Also where nothing is taken: what a wrong clock wrote must not hold the key for longer than a period.
    if until != kept {
        c.execute(TAKE, values![*key, until]).await?;
    }
    let wait = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
    Ok(Lease { taken, wait: Duration::from_micros(wait) })
}

/// Locks the row until the commit. What it holds, and the time: read once it is locked, so that nobody who waited is in the past.
async fn lock(
    c: &mut Connection,
    key: Digest,
    at: Option<Timestamp>,
) -> Result<(i64, i64), StoreError> {
    const LOCK: &str = "INSERT INTO rates (rate_key, taken_until) VALUES ($1, $2) ON CONFLICT (rate_key) \
        DO UPDATE SET taken_until = rates.taken_until RETURNING taken_until, $2 AS asked_at";
    const ON_POSTGRES: &str = "INSERT INTO rates (rate_key, taken_until) \
        VALUES ($1, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)) ON CONFLICT (rate_key) \
        DO UPDATE SET taken_until = rates.taken_until \
        RETURNING taken_until, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS asked_at";
    const ON_SQLITE: &str = "INSERT INTO rates (rate_key, taken_until) \
        VALUES ($1, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) ON CONFLICT (rate_key) \
        DO UPDATE SET taken_until = rates.taken_until \
        RETURNING taken_until, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS asked_at";
    let row = match at {
        Some(at) => c.row(LOCK, values![key, micros(at)]).await?,
        None if c.is_postgres() => c.row(ON_POSTGRES, values![key]).await?,
        None => c.row(ON_SQLITE, values![key]).await?,
    };
    let row = row.ok_or(StoreError::Corrupt("taken_until"))?;
    Ok((row.int("taken_until")?, row.int("asked_at")?))
}

/// What lies this far beyond a full period was written by a clock that was wrong, or for another rate; in microseconds.
const TOLERANCE: i64 = 5_000_000;

/// What is taken, the new `tat`, and when there is one more; in microseconds.
fn gcra(rate: LeaseRate, wanted: NonZeroU32, (until, now): (i64, i64)) -> (u32, i64, i64) {
    let period = i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX / 4).max(1);
    let step = (period / i64::from(rate.count.get())).max(1);
    let full = now.saturating_add(period);
    let until = if until > full.saturating_add(TOLERANCE) { full } else { until.max(now) };
    let free = full.saturating_sub(until).max(0) / step;
    // A period that is no whole number of steps has room for no more calls than the rate says.
    let free = free.min(i64::from(rate.count.get()));
    let taken = free.min(i64::from(wanted.get()));
    let until = until.saturating_add(taken.saturating_mul(step));
    let next = until.saturating_add(step).saturating_sub(period);
    (u32::try_from(taken).unwrap_or(0), until, next)
}

pub(super) async fn forget(c: &mut Connection, at: Option<Timestamp>) -> Result<u64, StoreError> {
    const ON_POSTGRES: &str = "DELETE FROM rates \
        WHERE taken_until <= CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)";
    const ON_SQLITE: &str =
        "DELETE FROM rates WHERE taken_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
    match at {
        Some(at) => {
            c.execute("DELETE FROM rates WHERE taken_until <= $1", values![micros(at)]).await
        }
        None if c.is_postgres() => c.execute(ON_POSTGRES, values![]).await,
        None => c.execute(ON_SQLITE, values![]).await,
    }
}

pub(super) const fn micros(at: Timestamp) -> i64 {
    at.unix_millis().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the store held, and however the clock jumps, one period never gives more than the rate and a step.
        #[test]
        fn no_more_than_the_rate_in_a_period(
            count in 1_u32..40, period in 1_u64..5_000, first in -9_000_000_i64..9_000_000,
            steps in prop::collection::vec((1_u32..50, 0_i64..400_000), 1..60),
        ) {
            let rate = LeaseRate { count: count.try_into().unwrap(), period: Duration::from_millis(period) };
            let window = i64::try_from(period).unwrap() * 1000;
            let (mut until, mut now, mut taken) = (first, 0, Vec::new());
            for (wanted, passes) in steps {
                now += passes;
                let (got, new, _) = gcra(rate, wanted.try_into().unwrap(), (until, now));
                prop_assert!(got <= wanted && new <= now + window + TOLERANCE);
                until = new;
                taken.push((now, got));
                // A burst of the whole rate, and what flows in while the period passes.
                let recent = taken.iter().filter(|(at, _)| now - at < window).map(|(_, got)| got);
                prop_assert!(recent.sum::<u32>() <= 2 * count + 1);
            }
        }
    }

    /// One of two clocks is ahead: what the other one finds beyond its own period is not its to give back.
    #[test]
    fn two_clocks_give_no_more_than_the_one_that_is_ahead() {
        let rate = LeaseRate { count: 100.try_into().unwrap(), period: Duration::from_secs(1) };
        let (mut until, mut taken) = (0, 0);
        for millisecond in 0..120_000_i64 {
            for ahead in [20_000, 0] {
                let now = millisecond * 1000 + ahead;
                let (got, new, _) = gcra(rate, 2.try_into().unwrap(), (until, now));
                until = new;
                taken += got;
            }
        }
        assert!(taken <= 12_100 + 3, "{taken}");
    }
}
