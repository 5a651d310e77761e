//! Where governor keeps one number for each key: bounded, whatever keys arrive.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// More keys than this share cells, shard by shard.
pub(super) const MAX_KEYS: usize = 65_536;
const SHARDS: usize = 16;
/// A shard that is full of live keys is not searched again for stale ones before this.
const REAP_EVERY: Nanos = Nanos::new(1_000_000_000);

/// The theoretical arrival time of each key (a term of GCRA, the algorithm).
///
/// A key whose time has passed is the same as one that never came, so a full shard drops those. Where none
/// has passed, newcomers of the shard share one cell: a flood of keys slows newcomers down, takes no more
/// memory, and leaves the keys that are known alone.
#[derive(Debug)]
pub(super) struct Cells {
    shards: [Mutex<Shard>; SHARDS],
    /// What one call moves a key's time by.
    step: Nanos,
}

#[derive(Debug, Default)]
struct Shard {
    times: HashMap<u64, Nanos>,
    shared: Option<Nanos>,
    reaped: Option<Nanos>,
}

impl Cells {
    pub(super) fn new(step: Nanos) -> Self {
        Self { shards: Default::default(), step }
    }

    fn shard(&self, key: u64) -> Option<&Mutex<Shard>> {
        let index = usize::try_from(key >> 60).ok()?;
        self.shards.get(index)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().times.len()).sum()
    }
}

impl StateStore for Cells {
    /// A keyed hash of who is counted.
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some(shard) = self.shard(*key) else { return measure(None).map(|(value, _)| value) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(time) = shard.times.get_mut(key) {
            let (value, next) = measure(Some(*time))?;
            *time = next;
            return Ok(value);
        }
        let (value, next) = measure(None)?;
        if shard.has_room(next.saturating_sub(self.step)) {
            shard.times.insert(*key, next);
            return Ok(value);
        }
        let (value, next) = measure(shard.shared)?;
        shard.shared = Some(next);
        Ok(value)
    }
}

impl Shard {
    /// Whether one more key fits, after the stale ones are gone.
    fn has_room(&mut self, now: Nanos) -> bool {
        if self.times.len() < MAX_KEYS / SHARDS {
            return true;
        }
        if self.reaped.is_none_or(|reaped| now.saturating_sub(reaped) >= REAP_EVERY) {
            self.times.retain(|_, time| *time > now);
            self.reaped = Some(now);
        }
        self.times.len() < MAX_KEYS / SHARDS
    }
}
