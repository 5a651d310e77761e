//! Keys of resource servers, `mak_<prefix>_<secret>_<crc>`: a secret scanner can find a leaked one, and garbage is
//! refused without a database.

use std::fmt::Write as _;

use flate2::Crc;
use zeroize::Zeroizing;

use crate::random::Random;
use crate::secret_text::SecretText;

const SCHEME: &str = "mak";
const PREFIX_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;

/// A key whose shape and checksum are right. Whether it is *known* only the store can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    prefix: String,
    text: SecretText,
}

impl ApiKey {
    /// A new key: 64 random bits to find it by, 256 to prove it with.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let prefix = hex(random, PREFIX_DIGITS / 2);
        let secret = hex(random, SECRET_DIGITS / 2);
        let mut text = format!("{SCHEME}_{}_{}", *prefix, *secret);
        let checksum = checksum(&text);
        text.reserve_exact(checksum.len() + 1);
        text.push('_');
        text.push_str(&checksum);
        Self { prefix: prefix.to_string(), text: text.into() }
    }

    /// Whether `text` is meant as one of our keys, right or wrong: it is no token of another kind.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("mak_")
    }

    /// `None` for everything that we did not make. Says nothing about whether the key is known, in date or revoked.
    #[must_use]
    pub fn parse(unverified: &str) -> Option<Self> {
        let (body, stated) = unverified.rsplit_once('_')?;
        let mut parts = body.split('_');
        let (scheme, prefix, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let shaped = scheme == SCHEME
            && parts.next().is_none()
            && is_hex(prefix, PREFIX_DIGITS)
            && is_hex(secret, SECRET_DIGITS);
        // The checksum is no secret: an ordinary comparison.
        (shaped && checksum(body) == stated)
            .then(|| Self { prefix: prefix.to_owned(), text: unverified.to_owned().into() })
    }

    /// What it is found by. Not secret.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole key, to show once.
    #[must_use]
    pub const fn text(&self) -> &SecretText {
        &self.text
    }
}

fn hex(random: &dyn Random, length: usize) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    random.fill(&mut bytes);
    let mut text = Zeroizing::new(String::with_capacity(length * 2));
    for byte in bytes.iter() {
        write!(text, "{byte:02x}").ok(); // writing to a `String` never fails
    }
    text
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// CRC-32: finds typing errors and random text, and is no defence against anybody.
fn checksum(text: &str) -> String {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    format!("{:08x}", crc.sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn what_was_made_is_recognised_and_shows_its_prefix_only() {
        let key = ApiKey::generate(&SystemRandom::new());
        assert_eq!(ApiKey::parse(key.text().expose()), Some(key.clone()));
        assert!(!format!("{key:?}").contains(key.text().expose()));
        assert!(key.text().expose().starts_with(&format!("mak_{}_", key.prefix())));
    }

    proptest! {
        /// One wrong character anywhere is found without a database.
        #[test]
        fn one_changed_character_is_refused(at in 0_usize..94, to in "[0-9a-f_A-Z]") {
            let key = ApiKey::generate(&SystemRandom::new());
            let mut text = key.text().expose().to_owned();
            prop_assume!(text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert_eq!(ApiKey::parse(&text), None);
        }

        #[test]
        fn any_text_is_read_without_a_fault(text in "(mak_)?.{0,120}") {
            prop_assert_eq!(ApiKey::parse(&text), None);
        }
    }
}
