//! When a child that ended may be started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// How often it ended of late, and until when it rests. Times are monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    endings: u32,
    until: Duration,
}

impl Rest {
    /// How long it rests from `now` on. `None`: it may be started.
    pub(super) fn remains(&self, now: Duration) -> Option<Duration> {
        let remains = self.until.saturating_sub(now);
        (!remains.is_zero()).then_some(remains)
    }

    /// It ended after it had been ready for `lived`: the rest is twice the last, from a second to a minute; one that lived
    /// longer than the longest rest begins anew.
    pub(super) fn after(&mut self, lived: Duration, now: Duration) {
        if lived >= LONGEST {
            self.endings = 0;
        }
        let rest = FIRST.saturating_mul(1 << self.endings.min(6)).min(LONGEST);
        self.endings = self.endings.saturating_add(1);
        self.until = now.saturating_add(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rest_is_twice_the_last_until_it_lived_for_long() {
        let (mut rest, now) = (Rest::default(), Duration::from_hours(1));
        assert_eq!(rest.remains(now), None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            rest.after(Duration::ZERO, now);
            assert_eq!(rest.remains(now), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(rest.remains(now + LONGEST), None);
        rest.after(LONGEST, now);
        assert_eq!(rest.remains(now), Some(FIRST));
    }
}
