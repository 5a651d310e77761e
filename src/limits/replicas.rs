//! Calls at a time, counted over all replicas: each of them leases the places that its calls hold from the store.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::random::Random;
use crate::store::{Digest, LeaseStore, PLACES_LAST, PlaceLease};
use crate::time::Clock;

use super::Counted;
use super::away::Away;
use super::cells::MAX_KEYS;
use super::settings::OnStoreFailure;
use super::shared::STORE_TIMEOUT;

/// How often what is held is written anew: twice before it ends.
const RENEW: Duration = Duration::from_secs(10);
/// Where all places were taken, nobody asks about them again for so long.
const FULL: Duration = Duration::from_millis(100);
/// How long what is free again waits to be given back: who calls again within that takes it without the store.
const GATHER: Duration = Duration::from_millis(250);
/// Where somebody has the lock of a key and went silent, nobody waits for it again for so long.
const STUCK: Duration = Duration::from_secs(1);
/// So many keys are written at once; calls that need another place of one of them wait as long.
const BATCH: usize = 50;

/// One limit of calls at a time.
#[derive(Debug)]
pub(super) struct SharedPlaces {
    name: String,
    most: u32,
    on_failure: OnStoreFailure,
    book: Arc<Book>,
}

/// What this process holds, of all limits.
#[derive(Debug)]
pub(super) struct Book {
    /// This process, as long as it runs.
    owner: Digest,
    store: Arc<dyn LeaseStore>,
    away: Away,
    clock: Arc<dyn Clock>,
    keys: Mutex<HashMap<Digest, Arc<Key>>>,
    /// Those of which the store has other than we need.
    told: Mutex<Vec<Arc<Key>>>,
    tell: Notify,
    /// Whether the last write failed: said once.
    failing: AtomicBool,
}

#[derive(Debug)]
struct Key {
    digest: Digest,
    /// One at a time speaks with the store about this key.
    turn: tokio::sync::Mutex<()>,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    under_way: u32,
    /// What the store has at least. Fewer may be under way for a moment, and more where the store was away.
    leased: u32,
    /// Monotonic: until when others count them. A process that stood still must not use them afterwards.
    leased_until: Duration,
    /// Whether the store may have more than that: it was asked, and nobody heard the answer.
    unsure: bool,
    told: bool,
    /// Monotonic.
    full_until: Duration,
    /// Monotonic.
    stuck_until: Duration,
}

/// One call under way. Dropping it gives the place back, however the call ends.
#[derive(Debug)]
pub(super) struct SharedPlace {
    key: Arc<Key>,
    book: Arc<Book>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    Full,
    StoreAway,
}

impl SharedPlaces {
    pub(super) fn new(
        name: String,
        (most, on_failure): (NonZeroU32, OnStoreFailure),
        book: Arc<Book>,
    ) -> Self {
        Self { name, most: most.get(), on_failure, book }
    }

    pub(super) async fn take(&self, who: &Counted<'_>) -> Result<SharedPlace, NoPlace> {
        let key = self.book.key(who.digest(&self.name));
        if let Some(settled) = self.without_asking(&key) {
            return settled;
        }
        let _turn = key.turn.lock().await;
        // While others had their turn.
        if let Some(settled) = self.without_asking(&key) {
            return settled;
        }
        self.ask(&key).await
    }

    /// What is known without the store.
    fn without_asking(&self, key: &Arc<Key>) -> Option<Result<SharedPlace, NoPlace>> {
        let mut count = key.count();
        let now = self.book.clock.monotonic();
        if count.under_way < count.leased && now < count.leased_until {
            return Some(Ok(self.place(key, &mut count)));
        }
        if count.under_way >= self.most || now < count.full_until {
            return Some(Err(NoPlace::Full));
        }
        let unknown = now < count.stuck_until || self.book.away.is_known(now);
        unknown.then(|| self.without_the_store(key, &mut count))
    }

    async fn ask(&self, key: &Arc<Key>) -> Result<SharedPlace, NoPlace> {
        let Book { store, away, clock, owner, .. } = &*self.book;
        let began = clock.monotonic();
        let lease = {
            let mut count = key.count();
            if !away.may_ask(began, STORE_TIMEOUT) {
                return self.without_the_store(key, &mut count);
            }
            count.unsure = true;
            if began >= count.leased_until {
                count.leased = count.under_way;
            }
            let held = count.leased.max(count.under_way).saturating_add(1);
            PlaceLease { key: key.digest, owner: *owner, held }
        };
        // Also where the caller goes away before the answer.
        let _asked = Asked { key, book: &self.book };
        let most = NonZeroU32::new(self.most).unwrap_or(NonZeroU32::MIN);
        let answer = tokio::time::timeout(STORE_TIMEOUT, store.take_place(lease, most, None)).await;
        let now = clock.monotonic();
        let mut count = key.count();
        let Ok(Ok(taken)) = answer else {
            // Of this key alone: the others are as they were.
            if matches!(&answer, Ok(Err(error)) if error.is_of_a_lock()) {
                away.answered();
                count.stuck_until = now.saturating_add(STUCK);
            } else {
                away.failed(now);
            }
            let settled = self.without_the_store(key, &mut count);
            drop(count);
            return settled;
        };
        away.answered();
        count.unsure = false;
        if !taken {
            count.full_until = now.saturating_add(FULL);
            return Err(NoPlace::Full);
        }
        count.leased = lease.held;
        count.leased_until = began.saturating_add(PLACES_LAST);
        Ok(self.place(key, &mut count))
    }

    fn place(&self, key: &Arc<Key>, count: &mut Count) -> SharedPlace {
        count.under_way = count.under_way.saturating_add(1);
        SharedPlace { key: Arc::clone(key), book: Arc::clone(&self.book) }
    }

    fn without_the_store(&self, key: &Arc<Key>, count: &mut Count) -> Result<SharedPlace, NoPlace> {
        match self.on_failure {
            OnStoreFailure::Closed => Err(NoPlace::StoreAway),
            OnStoreFailure::Open if count.under_way >= self.most => Err(NoPlace::Full),
            OnStoreFailure::Open => Ok(self.place(key, count)),
        }
    }
}

/// The store was asked for a place.
struct Asked<'a> {
    key: &'a Arc<Key>,
    book: &'a Arc<Book>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut count = self.key.count();
        if count.unsure {
            self.book.tell(self.key, &mut count);
        }
    }
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        let mut count = self.key.count();
        count.under_way = count.under_way.saturating_sub(1);
        if count.under_way < count.leased {
            self.book.tell(&self.key, &mut count);
        }
    }
}

impl Key {
    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// Nothing is under way, and the store has nothing.
    const fn is_idle(&self) -> bool {
        self.under_way == 0 && self.leased == 0 && !self.unsure && !self.told
    }
}

impl Book {
    pub(super) fn new(
        store: Arc<dyn LeaseStore>,
        (clock, random): (&Arc<dyn Clock>, &dyn Random),
    ) -> Self {
        let mut owner = [0; 32];
        random.fill(&mut owner);
        Self {
            owner: Digest::from_bytes(owner),
            store,
            away: Away::default(),
            clock: Arc::clone(clock),
            keys: Mutex::default(),
            told: Mutex::default(),
            tell: Notify::new(),
            failing: AtomicBool::new(false),
        }
    }

    fn key(&self, digest: Digest) -> Arc<Key> {
        let mut keys = self.keys();
        if keys.len() >= MAX_KEYS && !keys.contains_key(&digest) {
            // What is left has calls under way: no more than the server has open.
            keys.retain(|_, key| Arc::strong_count(key) > 1 || !key.count().is_idle());
        }
        let new = || {
            let (turn, count) = (tokio::sync::Mutex::default(), Mutex::default());
            Arc::new(Key { digest, turn, count })
        };
        Arc::clone(keys.entry(digest).or_insert_with(new))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Key>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, key: &Arc<Key>, count: &mut Count) {
        if !count.told {
            count.told = true;
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(key));
            self.tell.notify_one();
        }
    }

    /// Gives places back as their calls end, and renews those whose calls go on, until `stop`; then gives back what is left.
    pub(super) async fn keep(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut renew = tokio::time::interval(RENEW);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = self.told_a_while_ago() => self.write(self.told()).await,
                _ = renew.tick() => self.renew().await,
            }
        }
        self.renew().await;
    }

    async fn told_a_while_ago(&self) {
        self.tell.notified().await;
        tokio::time::sleep(GATHER).await;
    }

    /// Writes all that is held, and gives back all that is not.
    pub(super) async fn renew(&self) {
        self.write(self.all()).await;
    }

    fn told(&self) -> Vec<Arc<Key>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = std::mem::take(&mut *told);
        drop(told);
        for key in &keys {
            key.count().told = false;
        }
        keys
    }

    fn all(&self) -> Vec<Arc<Key>> {
        drop(self.told());
        self.keys().values().cloned().collect()
    }

    /// A store that does not answer has the rest at the next renewal. What is not renewed ends by itself.
    async fn write(&self, keys: Vec<Arc<Key>>) {
        let mut failed = false;
        for keys in keys.chunks(BATCH) {
            failed = !self.write_batch(keys).await;
            if failed {
                break;
            }
        }
        if failed && !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!("limits.places_not_written");
        } else if !failed {
            self.failing.store(false, Ordering::Relaxed);
        }
        let digests: Vec<_> = keys.iter().map(|key| key.digest).collect();
        drop(keys);
        let mut known = self.keys();
        for digest in digests {
            let idle = |key: &Arc<Key>| Arc::strong_count(key) == 1 && key.count().is_idle();
            if known.get(&digest).is_some_and(idle) {
                known.remove(&digest);
            }
        }
    }

    /// Whether the store has them.
    async fn write_batch(&self, keys: &[Arc<Key>]) -> bool {
        // Nobody else ever waits for a turn while they have one.
        let mut turns = Vec::with_capacity(keys.len());
        let mut held = Vec::with_capacity(keys.len());
        for key in keys {
            turns.push(key.turn.lock().await);
            let mut count = key.count();
            if !count.is_idle() {
                // From here on nobody takes what is given back.
                count.leased = count.under_way;
                count.unsure = true;
                held.push((key.digest, count.under_way));
            }
        }
        if held.is_empty() {
            return true;
        }
        let until = self.clock.monotonic().saturating_add(PLACES_LAST);
        let writing = self.store.hold_places(self.owner, held, None);
        let written = matches!(tokio::time::timeout(STORE_TIMEOUT, writing).await, Ok(Ok(())));
        if written {
            for key in keys {
                let mut count = key.count();
                (count.unsure, count.leased_until) = (false, until);
            }
        }
        written
    }

    #[cfg(test)]
    pub(super) const fn owner(&self) -> Digest {
        self.owner
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys().len()
    }
}
