//! The keys of one moment: one signs, all verify.

use axum::body::Bytes;
use axum::http::HeaderValue;
use jsonwebtoken::jwk::JwkSet;

use super::algorithm::SigningAlgorithm;
use super::error::KeyError;
use super::key::SigningKey;

/// Our signing keys as they were when the store was last read. Never changes; [`KeyRing`](super::KeyRing) replaces it.
pub struct SigningKeys {
    /// As published, pending and retiring ones among them.
    keys: Vec<SigningKey>,
    /// Which of them signs.
    active: Option<usize>,
    document: Document,
}

/// The key set as it is published: made once, answered from memory.
#[derive(Clone, Debug)]
pub(in crate::authorization_server) struct Document {
    pub(in crate::authorization_server) body: Bytes,
    pub(in crate::authorization_server) etag: HeaderValue,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

impl SigningKeys {
    pub(super) fn new(keys: Vec<SigningKey>, active: Option<usize>) -> Self {
        let document = Document::of(&jwks(&keys));
        Self { keys, active, document }
    }

    /// One new key, kept nowhere: for tests and for stand-ins.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generate`]
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, KeyError> {
        let der = algorithm.generate().ok_or(KeyError::Generate)?;
        let key = SigningKey::parse(algorithm, &der).ok_or(KeyError::Generate)?;
        Ok(Self::new(vec![key], Some(0)))
    }

    /// The public keys, to publish (RFC 7517 §5). Never a private member.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        jwks(&self.keys)
    }

    /// The same as the bytes that are published.
    #[must_use]
    pub fn jwks_json(&self) -> &[u8] {
        &self.document.body
    }

    pub(in crate::authorization_server) const fn document(&self) -> &Document {
        &self.document
    }

    pub(in crate::authorization_server) fn signing(&self) -> Option<&SigningKey> {
        self.active.and_then(|at| self.keys.get(at))
    }

    /// Whether every key of `earlier` is here, too.
    pub(super) fn keeps_all_of(&self, earlier: &Self) -> bool {
        earlier.keys.iter().all(|old| self.keys.iter().any(|key| key.kid == old.kid))
    }
}

fn jwks(keys: &[SigningKey]) -> JwkSet {
    JwkSet { keys: keys.iter().map(|key| key.public.clone()).collect() }
}

impl Document {
    fn of(jwks: &JwkSet) -> Self {
        let body = serde_json::to_vec(jwks).unwrap_or_default();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        let bytes = digest.as_ref().iter().take(8);
        let tag = bytes.fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}"));
        let etag = HeaderValue::try_from(tag + "\"").unwrap_or(HeaderValue::from_static("\"-\""));
        Self { body: body.into(), etag }
    }
}
