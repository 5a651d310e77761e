//! Sealing what must not lie on disk in clear: AES-256-GCM under the operator's key-encryption key.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret_text::SecretText;

/// What a key's id is derived for.
const ID: &str = "key-encryption key id v1";

/// `store.key_encryption_key`, 32 random bytes, and others that open what it does not: the one before it while a rotation
/// lasts. What is sealed is sealed with each of them; the store keeps what its own key opens. Cheap to clone.
#[derive(Clone)]
pub struct KeyEncryptionKey(Vec<Known>);

#[derive(Clone)]
struct Known {
    id: Arc<str>,
    /// Whether what it seals names it. Not the first key of a store: versions that knew of no other do not read names.
    is_named: bool,
    key: Arc<RandomizedNonceKey>,
}

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The text is not base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "store.key_encryption_key must be 32 random bytes in base64\n  hint: openssl rand -base64 32"
)]
pub struct NotAKey;

/// A sealed value: once, or once for each key that is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Sealed {
    Once(Part),
    Each(Vec<Part>),
}

/// Sealed with one key. The store reads the names, which come first; all else is base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The id of the key. `None`: the store's first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    nonce: String,
    ciphertext: String,
}

/// A sealed value, before another key is the only one that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resealing {
    /// It is sealed with that key.
    Same,
    /// The same, sealed with that key alone.
    New(String),
    /// None of the keys opens it.
    Unopened,
}

impl KeyEncryptionKey {
    /// # Errors
    ///
    /// [`NotAKey`]
    pub fn parse(text: &SecretText) -> Result<Self, NotAKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose().trim()).map_err(|_| NotAKey)?);
        Self::of_bytes(&bytes).ok_or(NotAKey)
    }

    /// `None` for others than 32.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let key = Arc::new(RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?);
        let id = derive(bytes, ID)?;
        let id = id.iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Some(Self(vec![Known { id: id.into(), is_named: false, key }]))
    }

    /// One that is good for what the presenter of `token` may read again, and for nobody who has the store alone.
    pub(super) fn from_token(token: &str, purpose: &str) -> Option<Self> {
        let bytes = derive(token.as_bytes(), purpose)?;
        let key = Arc::new(RandomizedNonceKey::new(&AES_256_GCM, &*bytes).ok()?);
        Some(Self(vec![Known { id: "".into(), is_named: false, key }]))
    }

    /// Knows those, too.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        for other in others.0 {
            if !self.knows(&other.id) {
                self.0.push(other);
            }
        }
        self
    }

    /// Values without a name are those of `first`.
    #[must_use]
    pub(super) fn with_first(mut self, first: &str) -> Self {
        for known in &mut self.0 {
            known.is_named = &*known.id != first;
        }
        self
    }

    /// By which sealed values name it: nothing can be learned from it. That of `store.key_encryption_key` comes first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|known| &*known.id)
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.ids().any(|known| known == id)
    }

    /// That one alone. `None`: it is none of them.
    pub(super) fn only(&self, id: &str) -> Option<Self> {
        Some(Self(vec![self.0.iter().find(|known| &*known.id == id)?.clone()]))
    }

    /// Seals a text for the store, as one text.
    #[must_use]
    pub fn seal_text(&self, plain: &str, context: &str) -> Option<String> {
        serde_json::to_string(&self.seal(plain.as_bytes(), context)?).ok()
    }

    /// Opens what [`KeyEncryptionKey::seal_text`] made. `None` as for a sealed value.
    #[must_use]
    pub fn open_text(&self, sealed: &str, context: &str) -> Option<String> {
        let sealed: Sealed = serde_json::from_str(sealed).ok()?;
        String::from_utf8(self.open(&sealed, context)?.to_vec()).ok()
    }

    /// The same value so that the first of the keys opens it.
    #[must_use]
    pub fn reseal(&self, sealed: &str, context: &str) -> Resealing {
        let Some(to) = self.0.first() else { return Resealing::Unopened };
        let Ok(sealed) = serde_json::from_str::<Sealed>(sealed) else {
            return Resealing::Unopened;
        };
        // One without a name is of the first key, or of one that nobody knew of any more when the store began anew.
        if let Sealed::Once(Part { key, .. }) = &sealed
            && key.as_deref().map_or(!to.is_named, |id| id == &*to.id)
            && Self(vec![to.clone()]).open(&sealed, context).is_some()
        {
            return Resealing::Same;
        }
        let new = || {
            let part = to.seal(&self.open(&sealed, context)?, context)?;
            serde_json::to_string(&Sealed::Once(part)).ok()
        };
        new().map_or(Resealing::Unopened, Resealing::New)
    }

    /// Seals `plain`; it opens only beside the same `context`, so that sealed values cannot be swapped.
    pub(super) fn seal(&self, plain: &[u8], context: &str) -> Option<Sealed> {
        match self.0.as_slice() {
            [one] => one.seal(plain, context).map(Sealed::Once),
            all => {
                let parts = all.iter().map(|known| known.seal(plain, context));
                parts.collect::<Option<_>>().map(Sealed::Each)
            }
        }
    }

    /// `None` where this is not the key it was sealed with, or something was changed.
    pub(super) fn open(&self, sealed: &Sealed, context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let parts = match sealed {
            Sealed::Once(part) => std::slice::from_ref(part),
            Sealed::Each(parts) => parts,
        };
        parts.iter().find_map(|part| self.open_part(part, context))
    }

    fn open_part(&self, part: &Part, context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let nonce: [u8; NONCE_LEN] = STANDARD.decode(&part.nonce).ok()?.try_into().ok()?;
        let sealed = Zeroizing::new(STANDARD.decode(&part.ciphertext).ok()?);
        let named = |known: &&Known| part.key.as_deref().is_none_or(|id| id == &*known.id);
        self.0.iter().filter(named).find_map(|known| {
            let mut bytes = sealed.clone();
            let nonce = Nonce::assume_unique_for_key(nonce);
            let aad = Aad::from(context.as_bytes());
            let length = known.key.open_in_place(nonce, aad, &mut bytes).ok()?.len();
            bytes.truncate(length);
            Some(bytes)
        })
    }
}

impl Known {
    fn seal(&self, plain: &[u8], context: &str) -> Option<Part> {
        let mut bytes = Zeroizing::new(plain.to_vec());
        let aad = Aad::from(context.as_bytes());
        let nonce = self.key.seal_in_place_append_tag(aad, &mut *bytes).ok()?;
        Some(Part {
            key: self.is_named.then(|| self.id.to_string()),
            nonce: STANDARD.encode(nonce.as_ref()),
            ciphertext: STANDARD.encode(&*bytes),
        })
    }
}

/// HKDF-SHA-256 (RFC 5869); the salt only separates us from other programs.
pub(super) fn derive(secret: &[u8], purpose: &str) -> Option<Zeroizing<[u8; 32]>> {
    let extracted = Salt::new(HKDF_SHA256, b"mcp-auth-broker").extract(secret);
    let info = [purpose.as_bytes()];
    let mut bytes = Zeroizing::new([0; 32]);
    extracted.expand(&info, HKDF_SHA256).ok()?.fill(&mut *bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> KeyEncryptionKey {
        KeyEncryptionKey::parse(&STANDARD.encode([byte; 32]).into()).unwrap()
    }

    #[test]
    fn only_the_same_key_and_context_open_it() {
        let sealed = key(1).seal(b"private", "kid a").unwrap();
        assert_eq!(key(1).open(&sealed, "kid a").unwrap().as_slice(), b"private");
        assert!(key(2).open(&sealed, "kid a").is_none());
        assert!(key(1).open(&sealed, "kid b").is_none());
    }

    #[test]
    fn what_is_sealed_while_two_keys_are_known_is_opened_by_each_alone() {
        let (old, new) = (key(1), key(2));
        let first = old.ids().next().unwrap().to_owned();
        let (old, new) = (old.with_first(&first), new.with_first(&first));
        let both = new.clone().or(old.clone());
        let sealed = both.seal_text("private", "a").unwrap();
        for key in [&old, &new, &both] {
            assert_eq!(key.open_text(&sealed, "a").unwrap(), "private");
            assert!(key.open_text(&sealed, "b").is_none());
        }
        assert!(key(3).open_text(&sealed, "a").is_none());
        let before = old.seal_text("private", "a").unwrap();
        assert!(
            before.starts_with("{\"nonce\""),
            "as versions wrote it that knew one key: {before}"
        );
        assert!(both.open_text(&before, "a").is_some() && new.open_text(&before, "a").is_none());
    }

    #[test]
    fn a_value_is_sealed_anew_once_and_says_with_which_key() {
        let first = key(1).ids().next().unwrap().to_owned();
        let (old, new) = (key(1).with_first(&first), key(2).with_first(&first));
        let both = new.clone().or(old.clone());
        let sealed = old.seal_text("private", "a").unwrap();
        let Resealing::New(again) = both.reseal(&sealed, "a") else { panic!() };
        let id = new.ids().next().unwrap();
        assert!(again.starts_with(&format!("{{\"key\":\"{id}\",")), "the store reads it: {again}");
        assert_eq!(id.len(), 16);
        assert!(new.open_text(&again, "a").is_some() && old.open_text(&again, "a").is_none());
        assert_eq!(both.reseal(&again, "a"), Resealing::Same);
        assert_eq!(both.reseal(&sealed, "b"), Resealing::Unopened, "of another place");
        assert_eq!(both.reseal("", "a"), Resealing::Unopened);
        assert_eq!(new.reseal(&sealed, "a"), Resealing::Unopened);
        let back = old.or(new);
        let Resealing::New(back) = back.reseal(&again, "a") else { panic!() };
        assert!(back.starts_with("{\"nonce\""), "the first key needs no name: {back}");
    }

    /// A store that began anew with another key takes values without a name for those of that key.
    #[test]
    fn a_value_without_a_name_is_sealed_anew_by_the_key_that_opens_it() {
        let sealed = key(1).seal_text("private", "a").unwrap();
        let first = key(2).ids().next().unwrap().to_owned();
        let (lost, new) = (key(1).with_first(&first), key(2).with_first(&first));
        let both = new.clone().or(lost);
        let Resealing::New(again) = both.reseal(&sealed, "a") else { panic!() };
        assert_eq!(new.open_text(&again, "a").as_deref(), Some("private"));
        assert_eq!(both.reseal(&again, "a"), Resealing::Same);
        assert_eq!(new.reseal(&sealed, "a"), Resealing::Unopened);
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for text in [STANDARD.encode([1; 16]), STANDARD.encode([1; 33]), "not base64!".to_owned()] {
            assert_eq!(KeyEncryptionKey::parse(&text.into()).unwrap_err(), NotAKey);
        }
    }
}
