//! Secrets with a name: keys of resource servers, `mak_<prefix>_<secret>_<crc>`, and initial access tokens of clients that are
//! to register, `mrt_…` alike. A secret scanner can find a leaked one, and garbage is refused without a database.
//! [`BearerSecret`] is the same for those without a name.

mod bearer;

use flate2::Crc;
use zeroize::Zeroizing;

use crate::random::Random;
use crate::secret_text::SecretText;

pub use bearer::BearerSecret;

const API_KEY: &str = "mak";
const INITIAL_ACCESS_TOKEN: &str = "mrt";
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
        let (prefix, text) = generate(API_KEY, random);
        Self { prefix, text }
    }

    /// Whether `text` is meant as one of our keys, right or wrong: it is no token of another kind.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("mak_")
    }

    /// `None` for everything that we did not make. Says nothing about whether the key is known, in date or revoked.
    #[must_use]
    pub fn parse(unverified: &str) -> Option<Self> {
        let (prefix, text) = parse(API_KEY, unverified)?;
        Some(Self { prefix, text })
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

/// With which a client may register itself (RFC 7591 §1.2, §3); of the shape of an [`ApiKey`], and never one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialAccessToken {
    prefix: String,
    text: SecretText,
}

impl InitialAccessToken {
    /// A new one: 64 random bits to find it by, 256 to prove it with.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let (prefix, text) = generate(INITIAL_ACCESS_TOKEN, random);
        Self { prefix, text }
    }

    /// `None` for everything that we did not make. Says nothing about whether it is known, in date or used up.
    #[must_use]
    pub fn parse(unverified: &str) -> Option<Self> {
        let (prefix, text) = parse(INITIAL_ACCESS_TOKEN, unverified)?;
        Some(Self { prefix, text })
    }

    /// Whether a text can be the prefix of one, or of a key.
    #[must_use]
    pub fn is_prefix(text: &str) -> bool {
        is_hex(text, PREFIX_DIGITS)
    }

    /// What it is found by. Not secret.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole token, to show once.
    #[must_use]
    pub const fn text(&self) -> &SecretText {
        &self.text
    }
}

fn generate(scheme: &str, random: &dyn Random) -> (String, SecretText) {
    let prefix = hex(random, PREFIX_DIGITS / 2);
    let secret = hex(random, SECRET_DIGITS / 2);
    let mut text = format!("{scheme}_{}_{}", *prefix, *secret);
    let checksum = checksum(&text);
    text.reserve_exact(checksum.len() + 1);
    text.push('_');
    text.push_str(&checksum);
    (prefix.to_string(), text.into())
}

fn parse(wanted: &str, unverified: &str) -> Option<(String, SecretText)> {
    let (body, stated) = unverified.rsplit_once('_')?;
    let mut parts = body.split('_');
    let (scheme, prefix, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let shaped = scheme == wanted
        && parts.next().is_none()
        && is_hex(prefix, PREFIX_DIGITS)
        && is_hex(secret, SECRET_DIGITS);
    // The checksum is no secret: an ordinary comparison.
    (shaped && checksum(body) == stated).then(|| (prefix.to_owned(), unverified.to_owned().into()))
}

fn hex(random: &dyn Random, length: usize) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    random.fill(&mut bytes);
    let mut text = Zeroizing::new(String::with_capacity(length * 2));
    for byte in bytes.iter() {
        let digits = [byte >> 4, byte & 15].map(u32::from);
        text.extend(digits.into_iter().filter_map(|digit| char::from_digit(digit, 16)));
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

    #[test]
    fn a_key_is_no_token_and_a_token_no_key() {
        let random = SystemRandom::new();
        let (key, token) = (ApiKey::generate(&random), InitialAccessToken::generate(&random));
        assert_eq!(InitialAccessToken::parse(token.text().expose()), Some(token.clone()));
        assert!(token.text().expose().starts_with(&format!("mrt_{}_", token.prefix())));
        assert_eq!(InitialAccessToken::parse(key.text().expose()), None);
        assert_eq!(ApiKey::parse(token.text().expose()), None);
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
