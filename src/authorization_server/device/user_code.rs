//! The code that a person types (RFC 8628 §6.1).

use aws_lc_rs::hmac;

use crate::authorization_server::server_secret::ServerSecret;
use crate::random::Random;
use crate::store::Digest;

/// No vowels, so that no words come out, and nothing that looks like something else: 20 letters, 8 of them are 34 bits.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// A code as it was made or typed.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::authorization_server) struct UserCode([u8; LENGTH]);

impl std::fmt::Debug for UserCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl UserCode {
    pub(super) fn generate(random: &dyn Random) -> Self {
        let mut letters = [0; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            let mut byte = [0];
            random.fill(&mut byte);
            // 240 is the largest multiple of 20 in a byte: every letter is as likely.
            let [byte] = byte;
            let Some(letter) = LETTERS.get(usize::from(byte % 20)).filter(|_| byte < 240) else {
                continue;
            };
            if let Some(place) = letters.get_mut(at) {
                *place = *letter;
            }
            at += 1;
        }
        Self(letters)
    }

    /// As somebody typed it: small letters, spaces and dashes make no difference.
    pub(super) fn parse(unverified: &str) -> Option<Self> {
        if unverified.len() > 4 * LENGTH {
            return None;
        }
        let letters = unverified.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'\t'));
        let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_uppercase()).collect();
        let letters: [u8; LENGTH] = letters.try_into().ok()?;
        letters.iter().all(|letter| LETTERS.contains(letter)).then_some(Self(letters))
    }

    /// In two halves, as people read it.
    pub(super) fn shown(&self) -> String {
        let text: String = self.0.iter().map(|letter| char::from(*letter)).collect();
        let (first, second) = text.split_at_checked(LENGTH / 2).unwrap_or((&text, ""));
        format!("{first}-{second}")
    }
}

/// How the store knows codes: keyed, for there are too few of them for a plain digest.
pub(in crate::authorization_server) struct UserCodes(hmac::Key);

impl std::fmt::Debug for UserCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl UserCodes {
    pub(in crate::authorization_server) fn new(secret: &ServerSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("device user codes v1")))
    }

    pub(super) fn digest(&self, code: &UserCode) -> Digest {
        let tag = hmac::sign(&self.0, &code.0);
        let mut bytes = [0; 32];
        // HMAC-SHA-256 gives 32 bytes.
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Digest::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use crate::random::SystemRandom;

    use super::*;

    // RFC 8628 §6.1 — N82
    #[test]
    fn a_code_is_read_as_people_type_it() {
        for _ in 0..200 {
            let code = UserCode::generate(&SystemRandom::new());
            let shown = code.shown();
            assert_eq!(shown.len(), 9);
            for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', " ")] {
                assert_eq!(UserCode::parse(&typed), Some(code.clone()), "{typed}");
            }
        }
        for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF-GHJ1", "ÄCDF-GHJK"] {
            assert_eq!(UserCode::parse(bad), None, "{bad}");
        }
        assert_eq!(UserCode::parse(&"-".repeat(1000)), None);
    }

    #[test]
    fn every_letter_comes_up() {
        let codes = (0..400).map(|_| UserCode::generate(&SystemRandom::new()).shown());
        let all: String = codes.collect();
        assert!(LETTERS.iter().all(|letter| all.contains(char::from(*letter))));
    }
}
