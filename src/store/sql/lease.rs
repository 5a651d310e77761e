//! [`LeaseStore`] on SQL.

use std::num::NonZeroU32;

use async_trait::async_trait;

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::lease::{Lease, LeaseRate, LeaseStore};
use crate::time::Timestamp;

use super::database::SqlDatabase;

#[async_trait]
impl LeaseStore for SqlDatabase {
    async fn take_calls(
        &self,
        key: &Digest,
        rate: LeaseRate,
        wanted: NonZeroU32,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let asked = (*key, rate, wanted, now);
        self.backend().write(asked, |c, asked| Box::pin(take(c, asked))).await
    }

    async fn forget_idle_rates(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.backend().write(now, |c, now| Box::pin(forget(c, *now))).await
    }
}

/// The first statement locks the row until the commit and says what it holds: whoever comes at the same time waits.
async fn take(
    c: &mut Connection,
    (key, rate, wanted, now): &(Digest, LeaseRate, NonZeroU32, Timestamp),
) -> Result<Lease, StoreError> {
    const LOCK: &str = "INSERT INTO rates (rate_key, taken_until) VALUES ($1, $2) \
        ON CONFLICT (rate_key) DO UPDATE SET taken_until = rates.taken_until RETURNING taken_until";
    const TAKE: &str = "UPDATE rates SET taken_until = $2 WHERE rate_key = $1";
    let now = micros(*now);
    let row = c.row(LOCK, values![*key, now]).await?;
    let kept = row.map(|row| row.int("taken_until")).transpose()?.unwrap_or(now);
    let (taken, until, next) = gcra(*rate, *wanted, (kept, now));
    // Also where nothing is taken: what a wrong clock wrote must not hold the key for longer than a period.
    if until != kept {
        c.execute(TAKE, values![*key, until]).await?;
    }
    Ok(Lease { taken, next_at: Timestamp::from_unix_millis(next.div_euclid(1000) + 1) })
}

/// What is taken, the new `tat`, and when there is one more; in microseconds.
fn gcra(rate: LeaseRate, wanted: NonZeroU32, (until, now): (i64, i64)) -> (u32, i64, i64) {
    let period = i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX / 4).max(1);
    let step = (period / i64::from(rate.count.get())).max(1);
    let until = until.clamp(now, now.saturating_add(period));
    let free = now.saturating_add(period).saturating_sub(until) / step;
    // A period that is no whole number of steps has room for no more calls than the rate says.
    let free = free.min(i64::from(rate.count.get()));
    let taken = free.min(i64::from(wanted.get()));
    let until = until.saturating_add(taken.saturating_mul(step));
    let next = until.saturating_add(step).saturating_sub(period);
    (u32::try_from(taken).unwrap_or(0), until, next)
}

pub(super) async fn forget(c: &mut Connection, now: Timestamp) -> Result<u64, StoreError> {
    c.execute("DELETE FROM rates WHERE taken_until <= $1", values![micros(now)]).await
}

const fn micros(at: Timestamp) -> i64 {
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
                prop_assert!(got <= wanted && new <= now + window);
                until = new;
                taken.push((now, got));
                // A burst of the whole rate, and what flows in while the period passes.
                let recent = taken.iter().filter(|(at, _)| now - at < window).map(|(_, got)| got);
                prop_assert!(recent.sum::<u32>() <= 2 * count + 1);
            }
        }
    }
}
