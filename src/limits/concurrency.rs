//! How many calls of each key are under way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the calls under way. Holds only keys that have some, so it is as small as the work in hand.
#[derive(Clone, Debug)]
pub(super) struct Places {
    most: NonZeroU32,
    taken: Arc<Mutex<HashMap<u64, u32>>>,
}

/// One call under way. Dropping it gives the place back, however the call ends.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<HashMap<u64, u32>>>,
    key: u64,
}

impl Places {
    pub(super) fn new(most: NonZeroU32) -> Self {
        Self { most, taken: Arc::default() }
    }

    pub(super) fn take(&self, key: u64) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key).or_default();
        if *count >= self.most.get() {
            return None;
        }
        *count += 1;
        Some(Place { taken: Arc::clone(&self.taken), key })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.entry(self.key) {
            let left = entry.get().saturating_sub(1);
            if left == 0 {
                entry.remove();
            } else {
                *entry.get_mut() = left;
            }
        }
    }
}
