//! Remembers that the store does not answer, so that not every call finds it out for itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For so long nobody asks again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether the store is away: monotonic milliseconds before which it is not asked; 0: it answers.
#[derive(Debug, Default)]
pub(super) struct Away(AtomicU64);

impl Away {
    /// Whether it is known not to answer. Whoever is told so waits for nobody.
    pub(super) fn is_known(&self, now: Duration) -> bool {
        millis(now) < self.0.load(Ordering::Relaxed)
    }

    /// Whether the store may be asked. While it is away one call finds out whether it is back, within `limit`, and the others
    /// do not wait for that.
    pub(super) fn may_ask(&self, now: Duration, limit: Duration) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let next = millis(now.saturating_add(limit).saturating_add(AGAIN));
        millis(now) >= until
            && self.0.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn answered(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: Duration) {
        self.0.store(millis(now.saturating_add(AGAIN)), Ordering::Relaxed);
    }
}

/// Never 0.
fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    #[test]
    fn while_it_is_away_one_call_a_second_asks() {
        let (away, at) = (Away::default(), Duration::from_millis);
        assert!(away.may_ask(at(0), LIMIT) && away.may_ask(at(0), LIMIT) && !away.is_known(at(0)));
        away.failed(at(0));
        assert!(away.is_known(at(999)) && !away.may_ask(at(999), LIMIT));
        assert!(!away.is_known(at(1_000)) && away.may_ask(at(1_000), LIMIT));
        assert!(away.is_known(at(1_000)) && !away.may_ask(at(1_400), LIMIT), "somebody asks");
        away.answered();
        assert!(!away.is_known(at(1_400)) && away.may_ask(at(1_400), LIMIT));
    }

    /// The one that was to find out went away itself.
    #[test]
    fn a_try_that_never_ends_is_followed_by_another() {
        let (away, at) = (Away::default(), Duration::from_millis);
        away.failed(at(0));
        assert!(away.may_ask(at(1_000), LIMIT));
        assert!(away.may_ask(at(2_500), LIMIT));
    }
}
