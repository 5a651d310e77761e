//! Sealing what must not lie on disk in clear: AES-256-GCM under the operator's key-encryption key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret_text::SecretText;

/// `store.key_encryption_key`: 32 random bytes.
pub struct KeyEncryptionKey(RandomizedNonceKey);

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

/// A sealed value. Both parts are base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    nonce: String,
    ciphertext: String,
}

impl KeyEncryptionKey {
    /// # Errors
    ///
    /// [`NotAKey`]
    pub fn parse(text: &SecretText) -> Result<Self, NotAKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose().trim()).map_err(|_| NotAKey)?);
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(Self).map_err(|_| NotAKey)
    }

    /// One that is good for what the presenter of `token` may read again, and for nobody who has the store alone.
    pub(super) fn from_token(token: &str, purpose: &str) -> Option<Self> {
        let bytes = derive(token.as_bytes(), purpose)?;
        RandomizedNonceKey::new(&AES_256_GCM, &*bytes).map(Self).ok()
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

    /// Seals `plain`; it opens only beside the same `context`, so that sealed values cannot be swapped.
    pub(super) fn seal(&self, plain: &[u8], context: &str) -> Option<Sealed> {
        let mut bytes = Zeroizing::new(plain.to_vec());
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut *bytes).ok()?;
        Some(Sealed {
            nonce: STANDARD.encode(nonce.as_ref()),
            ciphertext: STANDARD.encode(&*bytes),
        })
    }

    /// `None` where this is not the key it was sealed with, or something was changed.
    pub(super) fn open(&self, sealed: &Sealed, context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let nonce: [u8; NONCE_LEN] = STANDARD.decode(&sealed.nonce).ok()?.try_into().ok()?;
        let mut bytes = Zeroizing::new(STANDARD.decode(&sealed.ciphertext).ok()?);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length =
            self.0.open_in_place(nonce, Aad::from(context.as_bytes()), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

/// Random bytes that outlive a restart: what must be recognised again without being stored is keyed from them.
pub struct ServerSecret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl ServerSecret {
    /// From `store.key_encryption_key` (base64 of 32 bytes), or in development from a file beside the store.
    ///
    /// # Errors
    ///
    /// [`NotAKey`]
    pub fn parse(text: &SecretText) -> Result<Self, NotAKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose().trim()).map_err(|_| NotAKey)?);
        if bytes.len() == 32 { Ok(Self(bytes)) } else { Err(NotAKey) }
    }

    /// The operator's key itself: for what is sealed in the store.
    ///
    /// # Panics
    ///
    /// Never: an AES-256 key is 32 bytes, as these are.
    #[must_use]
    pub(super) fn key_encryption_key(&self) -> KeyEncryptionKey {
        #[expect(clippy::expect_used, reason = "an AES-256 key is 32 bytes, as these are")]
        KeyEncryptionKey(
            RandomizedNonceKey::new(&AES_256_GCM, &self.0).expect("32 bytes are an AES-256 key"),
        )
    }

    /// A key of its own for each `purpose`, such as `client ids v1`. The same for the life of the secret.
    ///
    /// # Panics
    ///
    /// Never: 32 bytes are within what HKDF-SHA-256 gives.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        #[expect(clippy::expect_used, reason = "32 bytes are within what HKDF-SHA-256 gives")]
        derive(&self.0, purpose).expect("HKDF gives 32 bytes")
    }
}

/// HKDF-SHA-256 (RFC 5869); the salt only separates us from other programs.
fn derive(secret: &[u8], purpose: &str) -> Option<Zeroizing<[u8; 32]>> {
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
    fn a_key_of_another_length_is_refused() {
        for text in [STANDARD.encode([1; 16]), STANDARD.encode([1; 33]), "not base64!".to_owned()] {
            assert_eq!(KeyEncryptionKey::parse(&text.into()).unwrap_err(), NotAKey);
        }
    }
}
