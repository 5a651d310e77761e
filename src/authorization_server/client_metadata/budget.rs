//! How many documents are fetched: whoever sprays URLs must not make us their amplifier (N101).

use std::collections::HashMap;
use std::time::Duration;

/// Fetches a minute from one origin, and from all together.
const PER_ORIGIN: u32 = 20;
const IN_ALL: u32 = 120;
const WINDOW: Duration = Duration::from_mins(1);

/// Counts within the minute. Holds at most `IN_ALL` origins.
#[derive(Debug, Default)]
pub(super) struct Budget {
    begun: Duration,
    spent: u32,
    by_origin: HashMap<String, u32>,
}

impl Budget {
    /// Spends one fetch, where there is one left. `now` is monotonic.
    pub(super) fn spend(&mut self, origin: &str, now: Duration) -> bool {
        if now.saturating_sub(self.begun) >= WINDOW {
            *self = Self { begun: now, ..Self::default() };
        }
        if self.spent >= IN_ALL {
            return false;
        }
        let of_origin = self.by_origin.entry(origin.to_owned()).or_default();
        if *of_origin >= PER_ORIGIN {
            return false;
        }
        *of_origin = of_origin.saturating_add(1);
        self.spent = self.spent.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CIMD §6 — N101
    #[test]
    fn fetches_are_bounded_per_origin_and_in_all() {
        let mut budget = Budget::default();
        let now = Duration::from_secs(5);
        let one = (0..100).filter(|_| budget.spend("https://a.example", now)).count();
        assert_eq!(one, 20);
        let all = (0..1000).filter(|n| budget.spend(&format!("https://{n}.example"), now)).count();
        assert_eq!(all, 100);
        assert!(budget.spend("https://a.example", now + WINDOW));
    }
}
