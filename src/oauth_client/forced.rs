//! How often a token is given up before its end because a server refused it.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use moka::sync::Cache;

/// Once in this time: a server that refuses whatever it is shown is no reason to ask an authorization server again and
/// again.
pub const FORCED_PAUSE: Duration = Duration::from_secs(30);

/// When the tokens of each were last given up.
pub struct Forced<K>(Cache<K, Duration>);

impl<K: Hash + Eq + Send + Sync + 'static> Forced<K> {
    #[must_use]
    pub fn new() -> Self {
        let all = Cache::builder().max_capacity(10_000).time_to_live(FORCED_PAUSE * 2);
        Self(all.build())
    }

    /// Whether a token may be given up `now` (monotonic). If so, the next may not be for a while.
    #[must_use]
    pub fn may_be(&self, whose: K, now: Duration) -> bool {
        let lately = |last: Duration| now.saturating_sub(last) < FORCED_PAUSE;
        if self.0.get(&whose).is_some_and(lately) {
            return false;
        }
        self.0.insert(whose, now);
        true
    }
}

impl<K: Hash + Eq + Send + Sync + 'static> Default for Forced<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Forced<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forced")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_once_in_a_while() {
        let (forced, second) = (Forced::new(), Duration::from_secs(1));
        assert!(forced.may_be("a", second));
        assert!(!forced.may_be("a", FORCED_PAUSE) && forced.may_be("b", FORCED_PAUSE));
        assert!(forced.may_be("a", FORCED_PAUSE + second));
    }
}
