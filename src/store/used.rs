//! When clients and API keys were last used: collected here, written now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::time::Timestamp;

/// How many distinct names wait at most; more are dropped, as the time of last use is a best effort.
const MOST: usize = 100_000;

#[derive(Default)]
pub(super) struct Used(Mutex<HashMap<String, Timestamp>>);

impl Used {
    pub(super) fn note(&self, key: &str, at: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = waiting.get_mut(key) {
            *last = at.max(*last);
        } else if waiting.len() < MOST {
            waiting.insert(key.to_owned(), at);
        }
    }

    pub(super) fn take(&self) -> Vec<(String, Timestamp)> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_iter().collect()
    }
}
