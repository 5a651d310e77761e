//! How often somebody may try the secret of one client, or one API key, from one network; and all of them together.
//!
//! What can be found by trying is not looked at beyond that. What has 256 random bits is, so that the right secret passes
//! beside a stale one that somebody's machine sends again and again; only what is wrong is told to wait.
//!
//! Only failures count, and only against the same client from the same network: nobody can lock a client out from
//! elsewhere, and all people of a hosted client, who share a few addresses, are not in each other's way. Codes and
//! refresh tokens have 256 random bits; nobody guesses those. Who names another client or key each time is told to wait as
//! well, after so many that a hosted client whose users all have to register anew hardly notices.

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
/// Of one network, whomever they name.
const OF_A_NETWORK: Rate =
    Rate { count: NonZeroU32::new(300).unwrap(), period: Duration::from_mins(1) };
const MAX_WAITING: usize = 65_536;

/// One try, by what is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Who is named, and from where.
    named: u64,
    /// From where.
    network: u64,
}

/// Failures, counted.
#[derive(Debug)]
pub(super) struct Guesses {
    failures: Meter,
    of_networks: Meter,
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
            of_networks: Meter::new(OF_A_NETWORK, Arc::clone(clock)),
            waiting: RwLock::default(),
            clock: Arc::clone(clock),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn key(&self, named: &impl Hash) -> u64 {
        self.hasher.hash_one(named)
    }

    /// Who tries what: `claimed` is a client id or the start of a key, whoever it comes from.
    pub(super) fn attempt(&self, claimed: &[u8], address: Option<IpAddr>) -> Attempt {
        let network = address.map(network);
        Attempt { named: self.key(&(claimed, &network)), network: self.key(&network) }
    }

    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`] after too many failures at the one who is named. Asking counts nothing.
    pub(super) fn check(&self, attempt: Attempt) -> Result<(), OAuthError> {
        self.waits(attempt.named)
    }

    fn waits(&self, key: u64) -> Result<(), OAuthError> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = waiting.get(&key) else { return Ok(()) };
        match until.checked_sub(self.clock.monotonic()) {
            Some(retry_after) if !retry_after.is_zero() => {
                Err(OAuthError::TooManyRequests { retry_after })
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    ///
    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`] after too many of its network, in place of what the failure is. It counts for who is named all the same.
    pub(super) fn failed(&self, attempt: Attempt) -> Result<(), OAuthError> {
        let Attempt { named, network } = attempt;
        // First: who has used up what a network has must not have tries for nothing at somebody's secret.
        if let Err(wait) = self.failures.count(named) {
            self.put_off(named, wait);
        }
        self.waits(network)?;
        if let Err(wait) = self.of_networks.count(network) {
            self.put_off(network, wait);
        }
        Ok(())
    }

    fn put_off(&self, key: u64, wait: Duration) {
        let now = self.clock.monotonic();
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            waiting.retain(|_, until| *until > now);
        }
        if waiting.len() < MAX_WAITING {
            waiting.insert(key, now.saturating_add(wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    // N77
    #[test]
    fn who_has_used_up_the_failures_of_a_network_has_no_more_tries_at_one_secret() {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
        let (guesses, address) = (Guesses::new(&clock), Some([192, 0, 2, 1].into()));
        let of = |name: &str| guesses.attempt(name.as_bytes(), address);
        let mut counted = 0;
        while guesses.failed(of(&counted.to_string())).is_ok() {
            counted += 1;
        }
        assert_eq!(counted, 301, "the last one finds that it was");
        let mut tries = 0;
        while tries < 100 && guesses.check(of("nightly")).is_ok() {
            let _too_many = guesses.failed(of("nightly"));
            tries += 1;
        }
        assert!(tries <= 21, "{tries}");
    }
}
