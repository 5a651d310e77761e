//! One rate, counted over all replicas: calls come out of the store in small batches.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::store::{LeaseRate, LeaseStore};
use crate::time::Clock;

use super::Counted;
use super::away::Away;
use super::cells::MAX_KEYS;
use super::rate::Meter;
use super::settings::{OnStoreFailure, Rate};

/// What a replica took and did not use for so long is lost.
const KEPT: Duration = Duration::from_secs(1);
/// A batch is this part of the rate: what idle replicas lose stays small.
const PART: u32 = 50;
const MOST: u32 = 100;
/// The store answers within this, or counts as away.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct SharedMeter {
    name: String,
    rate: LeaseRate,
    batch: NonZeroU32,
    on_failure: OnStoreFailure,
    store: Arc<dyn LeaseStore>,
    away: Away,
    /// Counts while the store is away.
    here: Meter,
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<Held>>>>,
}

/// What this replica has of one key. Locked while the store is asked, so that of many calls at once one asks.
#[derive(Debug, Default)]
struct Held {
    left: u32,
    /// Monotonic.
    until: Duration,
    /// The store had none; it is not asked again before this.
    refused_until: Duration,
}

impl SharedMeter {
    pub(super) fn new(
        name: String,
        (rate, on_failure): (Rate, OnStoreFailure),
        store: Arc<dyn LeaseStore>,
        (here, clock): (Meter, Arc<dyn Clock>),
    ) -> Self {
        let batch = NonZeroU32::new((rate.count.get() / PART).min(MOST)).unwrap_or(NonZeroU32::MIN);
        let rate = LeaseRate { count: rate.count, period: rate.period };
        let (away, held) = (Away::default(), Mutex::default());
        Self { name, rate, batch, on_failure, store, away, here, clock, held }
    }

    /// Counts one call, or says how long until one would be let through; `None` where nobody knows.
    pub(super) async fn count(&self, key: u64, who: &Counted<'_>) -> Result<(), Option<Duration>> {
        // Before anything is waited for.
        if self.away.is_known(self.clock.monotonic()) {
            return self.without_the_store(key);
        }
        let Some(held) = self.held(key) else {
            // Too many keys to remember what was taken for this one.
            return self.take(&mut Held::default(), NonZeroU32::MIN, (key, who)).await;
        };
        let mut held = held.lock().await;
        let now = self.clock.monotonic();
        if held.left > 0 && now < held.until {
            held.left -= 1;
            return Ok(());
        }
        if now < held.refused_until {
            return Err(Some(held.refused_until.saturating_sub(now)));
        }
        self.take(&mut held, self.batch, (key, who)).await
    }

    async fn take(
        &self,
        held: &mut Held,
        wanted: NonZeroU32,
        (key, who): (u64, &Counted<'_>),
    ) -> Result<(), Option<Duration>> {
        if !self.away.may_ask(self.clock.monotonic(), STORE_TIMEOUT) {
            return self.without_the_store(key);
        }
        let digest = who.digest(&self.name);
        // By the store's clock: replicas' clocks differ.
        let asked = self.store.take_calls(&digest, self.rate, wanted, None);
        let answer = tokio::time::timeout(STORE_TIMEOUT, asked).await;
        let now = self.clock.monotonic();
        let Ok(Ok(lease)) = answer else {
            self.away.failed(now);
            return self.without_the_store(key);
        };
        self.away.answered();
        let Some(left) = lease.taken.checked_sub(1) else {
            // At least a millisecond: else a refused caller would be told to come at once.
            let wait = lease.wait.max(Duration::from_millis(1));
            held.refused_until = now.saturating_add(wait);
            return Err(Some(wait));
        };
        held.left = left;
        held.until = now.saturating_add(KEPT);
        Ok(())
    }

    fn without_the_store(&self, key: u64) -> Result<(), Option<Duration>> {
        match self.on_failure {
            OnStoreFailure::Open => self.here.count(key).map_err(Some),
            OnStoreFailure::Closed => Err(None),
        }
    }

    /// `None` where the memory for keys is full of live ones.
    fn held(&self, key: u64) -> Option<Arc<tokio::sync::Mutex<Held>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_KEYS && !held.contains_key(&key) {
            let now = self.clock.monotonic();
            // One that is locked is in use.
            held.retain(|_, held| held.try_lock().map_or(true, |held| held.is_live(now)));
            if held.len() >= MAX_KEYS {
                return None;
            }
        }
        Some(Arc::clone(held.entry(key).or_default()))
    }
}

impl Held {
    fn is_live(&self, now: Duration) -> bool {
        (self.left > 0 && now < self.until) || now < self.refused_until
    }
}
