//! How many rows registrations write (N90). How many are taken at all: see `shares`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Beyond, a client gets its id and is shown without a name: a flood costs no disk.
const ROWS: u32 = 240;
const ROWS_IN: Duration = Duration::from_hours(1);

/// Counts in fixed windows.
#[derive(Debug, Default)]
pub(in crate::authorization_server) struct RegistrationLimits(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    begun: Duration,
    count: u32,
}

impl RegistrationLimits {
    /// Whether one more row may be written. `now` is monotonic.
    pub(super) fn may_store(&self, now: Duration) -> bool {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(rows.begun) >= ROWS_IN {
            *rows = Window { begun: now, count: 0 };
        }
        let fits = rows.count < ROWS;
        if fits {
            rows.count = rows.count.saturating_add(1);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7591 §5 — N90
    #[test]
    fn a_flood_writes_few_rows() {
        let (limits, now) = (RegistrationLimits::default(), Duration::from_secs(7));
        assert_eq!((0..1000).filter(|_| limits.may_store(now)).count(), 240);
        assert!(limits.may_store(now + ROWS_IN));
    }
}
