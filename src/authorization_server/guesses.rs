//! How often somebody may try the secret of one client, or one API key, from one network.
//!
//! What can be found by trying is not looked at beyond that. What has 256 random bits is, so that the right secret passes
//! beside a stale one that somebody's machine sends again and again; only what is wrong is told to wait.
//!
//! Only failures count, and only against the same client from the same network: nobody can lock a client out from
//! elsewhere, and all people of a hosted client, who share a few addresses, are not in each other's way. Codes and
//! refresh tokens have 256 random bits; nobody guesses those.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::limits::{Meter, Rate, network};
use crate::time::Clock;

use super::error::OAuthError;

/// So many failures at once, then one each three seconds.
const FAILURES: Rate = Rate { count: NonZeroU32::new(20).unwrap(), period: Duration::from_mins(1) };
const MAX_WAITING: usize = 65_536;

/// Failures, counted.
#[derive(Debug)]
pub(super) struct Guesses {
    failures: Meter,
    /// Who waits until when, on the monotonic clock.
    waiting: RwLock<HashMap<u64, Duration>>,
    clock: Arc<dyn Clock>,
    /// Keyed at random, so that nobody can choose names that fall together.
    hasher: RandomState,
}

impl Guesses {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            failures: Meter::new(FAILURES, Arc::clone(clock)),
            waiting: RwLock::default(),
            clock: Arc::clone(clock),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn key(&self, named: &impl Hash) -> u64 {
        self.hasher.hash_one(named)
    }

    /// Who tries what: `claimed` is a client id or the start of a key, whoever it comes from.
    pub(super) fn attempt(&self, claimed: &[u8], address: Option<IpAddr>) -> u64 {
        self.key(&(claimed, address.map(network)))
    }

    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`] after too many failures. Asking counts nothing.
    pub(super) fn check(&self, attempt: u64) -> Result<(), OAuthError> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = waiting.get(&attempt) else { return Ok(()) };
        match until.checked_sub(self.clock.monotonic()) {
            Some(retry_after) if !retry_after.is_zero() => {
                Err(OAuthError::TooManyRequests { retry_after })
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub(super) fn failed(&self, attempt: u64) {
        let Err(wait) = self.failures.count(attempt) else { return };
        let now = self.clock.monotonic();
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            waiting.retain(|_, until| *until > now);
        }
        if waiting.len() < MAX_WAITING {
            waiting.insert(attempt, now.saturating_add(wait));
        }
    }
}
