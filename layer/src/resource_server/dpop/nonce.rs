//! Nonces for proofs (RFC 9449 §8, §9): a proof that was made ahead of its time is of no use.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use crate::time::Timestamp;

/// A nonce is given for this long, and accepted for as long again.
const SLICE_SECONDS: i64 = 150;
const BYTES: usize = 16;

/// Makes and recognises nonces without keeping any: each stands for a time, under a key. Replicas share the key.
#[derive(Clone)]
pub struct DpopNonces(hmac::Key);

impl fmt::Debug for DpopNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopNonces([redacted])")
    }
}

/// How a nonce stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Current,
    /// Good, and soon not any more: the client is to be given the next one.
    Ending,
    /// Late, or none of ours.
    Unknown,
}

impl DpopNonces {
    /// Under a key that only the servers know.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The nonce that clients are to use from now on, as the `DPoP-Nonce` header has it.
    ///
    /// # Panics
    ///
    /// Never: base64url is a legal header value.
    #[must_use]
    pub fn current(&self, now: Timestamp) -> HeaderValue {
        let text = self.of(slice(now));
        #[expect(clippy::expect_used, reason = "base64url is printable ASCII")]
        HeaderValue::try_from(text).expect("base64url is a legal header value")
    }

    pub(super) fn age(&self, unverified: &str, now: Timestamp) -> Age {
        let is = |number| {
            let ours = self.of(number);
            aws_lc_rs::constant_time::verify_slices_are_equal(
                ours.as_bytes(),
                unverified.as_bytes(),
            )
            .is_ok()
        };
        let number = slice(now);
        if is(number) {
            Age::Current
        } else if is(number.saturating_sub(1)) {
            Age::Ending
        } else {
            Age::Unknown
        }
    }

    fn of(&self, number: i64) -> String {
        let tag = hmac::sign(&self.0, &number.to_be_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..BYTES).unwrap_or_default())
    }
}

fn slice(now: Timestamp) -> i64 {
    now.unix_seconds().div_euclid(SLICE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9449 §8.2 — N88
    #[test]
    fn a_nonce_lives_for_its_time_and_under_its_key() {
        let (ours, others) = (DpopNonces::new(&[1; 32]), DpopNonces::new(&[2; 32]));
        let at = |seconds: i64| Timestamp::from_unix_seconds(1_800_000_000 + seconds);
        let nonce = ours.current(at(0));
        let nonce = nonce.to_str().unwrap();
        assert_eq!(ours.age(nonce, at(149)), Age::Current);
        assert_eq!(ours.age(nonce, at(150)), Age::Ending);
        assert_eq!(ours.age(nonce, at(300)), Age::Unknown);
        assert_eq!(ours.age(nonce, at(-1)), Age::Unknown);
        assert_eq!(others.age(nonce, at(0)), Age::Unknown);
        assert_eq!(ours.age("", at(0)), Age::Unknown);
    }
}
