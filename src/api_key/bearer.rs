//! Secrets that are found by their digest alone, `mrf_<secret>_<crc>` and their like.

use zeroize::Zeroizing;

use super::{SECRET_DIGITS, checksum, hex, is_hex};
use crate::random::Random;

/// As all of these were before they had a prefix: 256 bits of base64url.
const BARE_CHARACTERS: usize = 43;

/// What lives long enough to be left lying about. Codes and handles, which are used once within minutes, have no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerSecret {
    RefreshToken,
    ClientSecret,
    /// RFC 7592 §3
    RegistrationAccessToken,
    /// By which a person chooses a password.
    OneTimeLink,
}

impl BearerSecret {
    const fn scheme(self) -> &'static str {
        match self {
            Self::RefreshToken => "mrf_",
            Self::ClientSecret => "mcs_",
            Self::RegistrationAccessToken => "mra_",
            Self::OneTimeLink => "mol_",
        }
    }

    /// A new one: 256 random bits.
    #[must_use]
    pub fn generate(self, random: &dyn Random) -> Zeroizing<String> {
        let (scheme, secret) = (self.scheme(), hex(random, SECRET_DIGITS / 2));
        let mut text = Zeroizing::new(String::with_capacity(scheme.len() + SECRET_DIGITS + 9));
        text.push_str(scheme);
        text.push_str(&secret);
        let checksum = checksum(&text);
        text.push('_');
        text.push_str(&checksum);
        text
    }

    /// Whether we may have made this: it has its prefix and the right checksum, or the shape that it had without a prefix,
    /// which lives on until its end. Says nothing about whether it is known.
    #[must_use]
    pub fn may_be(self, unverified: &str) -> bool {
        self.is_marked(unverified) || is_bare(unverified)
    }

    fn is_marked(self, unverified: &str) -> bool {
        let Some((body, stated)) = unverified.rsplit_once('_') else { return false };
        let secret = body.strip_prefix(self.scheme());
        // The checksum is no secret: an ordinary comparison.
        secret.is_some_and(|secret| is_hex(secret, SECRET_DIGITS)) && checksum(body) == stated
    }
}

fn is_bare(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == BARE_CHARACTERS && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SystemRandom;

    const ALL: [BearerSecret; 4] = [
        BearerSecret::RefreshToken,
        BearerSecret::ClientSecret,
        BearerSecret::RegistrationAccessToken,
        BearerSecret::OneTimeLink,
    ];

    #[test]
    fn what_was_made_is_recognised_as_what_it_is_and_as_nothing_else() {
        for kind in ALL {
            let made = kind.generate(&SystemRandom::new());
            assert_eq!(made.len(), 77);
            let recognised: Vec<_> = ALL.into_iter().filter(|kind| kind.may_be(&made)).collect();
            assert_eq!(recognised, [kind], "{}", made.as_str());
        }
    }

    /// What a version before this one gave out is good until its end.
    #[test]
    fn what_had_no_prefix_is_taken_as_before() {
        for bare in ["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", &"mrf_".repeat(11)[..43]] {
            assert!(ALL.into_iter().all(|kind| kind.may_be(bare)), "{bare}");
        }
        for garbage in ["", "mrf_", "x", &"A".repeat(42), &"A".repeat(44), &"+".repeat(43)] {
            assert!(!ALL.into_iter().any(|kind| kind.may_be(garbage)), "{garbage}");
        }
    }

    proptest! {
        /// One wrong character anywhere is found without a database.
        #[test]
        fn one_changed_character_is_refused(at in 0_usize..77, to in "[0-9a-f_A-Z]") {
            let mut text = BearerSecret::RefreshToken.generate(&SystemRandom::new()).to_string();
            prop_assume!(text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert!(!BearerSecret::RefreshToken.may_be(&text));
        }

        #[test]
        fn any_text_is_read_without_a_fault(text in "(mrf_)?.{0,80}") {
            prop_assume!(text.len() != BARE_CHARACTERS);
            prop_assert!(!BearerSecret::RefreshToken.may_be(&text));
        }
    }
}
