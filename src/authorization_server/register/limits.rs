//! How many registrations are taken in all (N90). A network has had its share before: see `shares`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const REGISTRATIONS: u32 = 300;
const REGISTRATIONS_IN: Duration = Duration::from_mins(1);
/// Of them, those that name the same redirect URIs.
const OF_ONE_KIND: u32 = 120;
/// Rows written. Beyond, a client gets its id and is shown without a name: a flood costs no disk.
const ROWS: u32 = 240;
const ROWS_IN: Duration = Duration::from_hours(1);

/// Counts in fixed windows.
#[derive(Debug, Default)]
pub(in crate::authorization_server) struct RegistrationLimits(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: Window,
    by_kind: HashMap<[u8; 32], u32>,
    rows: Window,
}

#[derive(Debug, Default)]
struct Window {
    begun: Duration,
    count: u32,
}

impl Window {
    /// Whether a new window began.
    fn turn(&mut self, length: Duration, now: Duration) -> bool {
        let over = now.saturating_sub(self.begun) >= length;
        if over {
            *self = Self { begun: now, count: 0 };
        }
        over
    }
}

impl RegistrationLimits {
    /// Counts one registration. `Err`: how long to wait. `kind` stands for the redirect URIs; `now` is monotonic.
    pub(super) fn admit(&self, kind: &[u8; 32], now: Duration) -> Result<(), Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = &mut *counts;
        if counts.all.turn(REGISTRATIONS_IN, now) {
            counts.by_kind.clear();
        }
        let alike = counts.by_kind.get(kind).copied().unwrap_or_default();
        if counts.all.count >= REGISTRATIONS || alike >= OF_ONE_KIND {
            let end = counts.all.begun.saturating_add(REGISTRATIONS_IN);
            return Err(end.saturating_sub(now).max(Duration::from_secs(1)));
        }
        counts.all.count = counts.all.count.saturating_add(1);
        counts.by_kind.insert(*kind, alike.saturating_add(1));
        Ok(())
    }

    /// Whether one more row may be written.
    pub(super) fn may_store(&self, now: Duration) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.rows.turn(ROWS_IN, now);
        let fits = counts.rows.count < ROWS;
        if fits {
            counts.rows.count = counts.rows.count.saturating_add(1);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7591 §5 — N90
    #[test]
    fn a_flood_is_told_to_wait_and_writes_few_rows() {
        let (limits, now) = (RegistrationLimits::default(), Duration::from_secs(7));
        let kind = |n: u32| *crate::store::Digest::of(&n.to_string()).as_bytes();
        assert_eq!((0..1000).filter(|_| limits.admit(&kind(0), now).is_ok()).count(), 120);
        assert_eq!((1..1000).filter(|n| limits.admit(&kind(*n), now).is_ok()).count(), 180);
        assert!(limits.admit(&kind(5), now).unwrap_err() <= REGISTRATIONS_IN);
        assert!(limits.admit(&kind(0), now + REGISTRATIONS_IN).is_ok());
        assert_eq!((0..1000).filter(|_| limits.may_store(now)).count(), 240);
    }
}
