//! Values of ours that are known before the store is asked for them, so that what somebody made up costs none of its reads.
//!
//! A mark says nothing about who may do what: that is for the store to say, by the whole value.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::random::Random;
use crate::time::Timestamp;

use super::server_secret::ServerSecret;

/// As many as RFC 6749 §10.10 wants of what nobody can guess.
const RANDOM: usize = 20;
const MARK: usize = 8;
/// With four bytes for the time.
const ALL: usize = RANDOM + 4 + MARK;

/// What a value is for. None is taken for another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Marked {
    Session,
    PushedRequest,
}

/// Makes such values, and knows them again, on every replica.
pub(super) struct Marks(hmac::Key);

impl std::fmt::Debug for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Marks {
    pub(super) fn new(secret: &ServerSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("marks v1")))
    }

    /// A new one: 160 random bits, the end of its time, and the mark, as 43 characters of base64url.
    pub(super) fn generate(
        &self,
        what: Marked,
        random: &dyn Random,
        until: Timestamp,
    ) -> Zeroizing<String> {
        let mut value = Zeroizing::new([0; RANDOM]);
        random.fill(&mut *value);
        let until = seconds(until).to_be_bytes();
        let mut bytes = Zeroizing::new([value.as_slice(), &until].concat());
        let mark = self.mark(what, &bytes);
        bytes.extend_from_slice(&mark);
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes))
    }

    /// Whether this is one of ours, and its time not over.
    pub(super) fn is_live(&self, what: Marked, unverified: &str, now: Timestamp) -> bool {
        self.read(what, unverified).is_some_and(|until| seconds(now) < until)
    }

    /// The end of its time.
    fn read(&self, what: Marked, unverified: &str) -> Option<u32> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(unverified).ok()?);
        let bytes: &[u8; ALL] = bytes.as_slice().try_into().ok()?;
        let (value, mark) = bytes.split_at_checked(RANDOM + 4)?;
        verify_slices_are_equal(mark, &self.mark(what, value)).ok()?;
        let until = value.last_chunk()?;
        Some(u32::from_be_bytes(*until))
    }

    fn mark(&self, what: Marked, value: &[u8]) -> [u8; MARK] {
        let what: &[u8] = match what {
            Marked::Session => b"session ",
            Marked::PushedRequest => b"pushed request ",
        };
        let tag = hmac::sign(&self.0, &Zeroizing::new([what, value].concat()));
        let mut mark = [0; MARK];
        mark.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        mark
    }
}

fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.unix_seconds()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use crate::random::SystemRandom;

    use super::*;

    fn marks(byte: u8) -> Marks {
        Marks::new(&ServerSecret::parse(&STANDARD.encode([byte; 32]).into()).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    // RFC 6749 §10.10
    #[test]
    fn a_value_is_known_for_what_it_is_for_until_its_time_is_over() {
        let marks = marks(7);
        let value = marks.generate(Marked::Session, &SystemRandom::new(), at(100));
        assert_eq!(value.len(), 43);
        assert!(marks.is_live(Marked::Session, &value, at(99)));
        assert!(!marks.is_live(Marked::Session, &value, at(100)));
        assert!(!marks.is_live(Marked::PushedRequest, &value, at(99)));
        let next = marks.generate(Marked::Session, &SystemRandom::new(), at(100));
        assert_ne!(value[..26], next[..26]);
    }

    // N108
    #[test]
    fn what_somebody_made_up_or_altered_is_not_known() {
        let ours = marks(7);
        let value = ours.generate(Marked::Session, &SystemRandom::new(), at(100));
        for at_byte in 0..ALL {
            let mut bytes = URL_SAFE_NO_PAD.decode(&*value).unwrap();
            bytes[at_byte] ^= 1;
            let altered = URL_SAFE_NO_PAD.encode(bytes);
            assert!(!ours.is_live(Marked::Session, &altered, at(0)), "{at_byte}");
        }
        let of_another = marks(8).generate(Marked::Session, &SystemRandom::new(), at(100));
        for bad in ["", "guess", &"A".repeat(43), &of_another, &value[1..]] {
            assert!(!ours.is_live(Marked::Session, bad, at(0)), "{bad}");
        }
    }
}
