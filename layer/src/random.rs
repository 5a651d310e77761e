//! The only door to the system's random number generator.

use std::cell::RefCell;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;

use aws_lc_rs::rand::{SecureRandom, SystemRandom as AwsLcRandom};
use uuid::Uuid;

use crate::time::Timestamp;

/// Where unpredictable bytes come from. Tests pass a seeded one, so that their output is the same each time.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// The same for what is no secret: identifiers of requests, events, traces. May hand out bytes that were drawn ahead
    /// of time, so never for a key, a token or a code.
    fn fill_identifier(&self, bytes: &mut [u8]) {
        self.fill(bytes);
    }
}

impl dyn Random + '_ {
    /// A time-ordered UUID (RFC 9562 §5.7): `now` in its first 48 bits, 74 random bits.
    #[must_use]
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let mut bytes = [0; 10];
        self.fill_identifier(&mut bytes);
        let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemRandom(AwsLcRandom);

impl SystemRandom {
    /// The operating system's generator.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "without randomness no identifier or key is safe to make; stopping is the only right answer"
        )]
        self.0.fill(bytes).expect("the system random number generator answers");
    }

    fn fill_identifier(&self, bytes: &mut [u8]) {
        let taken = DRAWN.try_with(|drawn| {
            let drawn = &mut *drawn.borrow_mut();
            if drawn.bytes.len() - drawn.used < bytes.len() {
                self.fill(&mut drawn.bytes);
                drawn.used = 0;
            }
            let Some(next) = drawn.bytes.get(drawn.used..drawn.used + bytes.len()) else {
                return false; // more than there ever is
            };
            bytes.copy_from_slice(next);
            drawn.used += bytes.len();
            true
        });
        if taken != Ok(true) {
            self.fill(bytes);
        }
    }
}

/// Bytes drawn ahead of time: one call of the generator for a few dozen identifiers.
struct Drawn {
    bytes: [u8; 1024],
    used: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; 1024], used: 1024 }) };
}

/// A reproducible sequence for tests. Not random: never use it where an attacker may guess.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The same numbers for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            // SplitMix64 (Steele, Lea, Flood 2014): enough to tell values apart in a test.
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed ^ (mixed >> 31)).to_le_bytes()[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_never_handed_out_twice() {
        let random: &dyn Random = &SystemRandom::new();
        let now = Timestamp::from_unix_seconds(1_000);
        let made: std::collections::HashSet<_> = (0..5_000).map(|_| random.uuid_v7(now)).collect();
        assert_eq!(made.len(), 5_000);
        let mut long = [0; 2048];
        random.fill_identifier(&mut long);
        assert!(long.iter().any(|byte| *byte != 0), "longer than what is drawn ahead");
    }

    #[test]
    fn uuids_sort_by_the_time_they_were_made() {
        let random: &dyn Random = &SystemRandom::new();
        let early = random.uuid_v7(Timestamp::from_unix_seconds(1_000));
        let late = random.uuid_v7(Timestamp::from_unix_seconds(1_001));
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }
}
