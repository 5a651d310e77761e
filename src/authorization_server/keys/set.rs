//! The keys of one moment: one signs, all verify.

use jsonwebtoken::jwk::JwkSet;

use crate::authorization_server::published::Published;

use super::algorithm::SigningAlgorithm;
use super::error::KeyError;
use super::key::SigningKey;

/// Our signing keys as they were when the store was last read. Never changes; [`KeyRing`](super::KeyRing) replaces it.
pub struct SigningKeys {
    /// As published, pending and retiring ones among them.
    keys: Vec<SigningKey>,
    /// Which of them sign, each with another algorithm. The first one does where nothing else is wanted.
    signers: Vec<usize>,
    /// The key set as it is published.
    document: Published,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

impl SigningKeys {
    pub(super) fn new(keys: Vec<SigningKey>, signers: Vec<usize>) -> Self {
        let body = serde_json::to_vec(&jwks(&keys)).unwrap_or_default();
        let document = Published::new(body.into(), "application/jwk-set+json");
        Self { keys, signers, document }
    }

    /// One new key, kept nowhere: for tests and for stand-ins.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generate`]
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, KeyError> {
        let der = algorithm.generate().ok_or(KeyError::Generate)?;
        let key = SigningKey::parse(algorithm, &der).ok_or(KeyError::Generate)?;
        Ok(Self::new(vec![key], vec![0]))
    }

    /// The public keys, to publish (RFC 7517 §5). Never a private member.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        jwks(&self.keys)
    }

    /// The same as the bytes that are published.
    #[must_use]
    pub fn jwks_json(&self) -> &[u8] {
        self.document.body()
    }

    pub(in crate::authorization_server) const fn document(&self) -> &Published {
        &self.document
    }

    pub(in crate::authorization_server) fn signing(&self) -> Option<&SigningKey> {
        self.signers.first().and_then(|at| self.keys.get(*at))
    }

    /// The key that signs with this algorithm; until there is one, [`SigningKeys::signing`].
    pub(in crate::authorization_server) fn signing_with(
        &self,
        algorithm: SigningAlgorithm,
    ) -> Option<&SigningKey> {
        let mut signers = self.signers.iter().filter_map(|at| self.keys.get(*at));
        signers.find(|key| key.algorithm == algorithm).or_else(|| self.signing())
    }

    /// Whether the same keys sign.
    pub(super) fn signs_like(&self, other: &Self) -> bool {
        let kids = |keys: &Self| -> Vec<String> {
            let signers = keys.signers.iter().filter_map(|at| keys.keys.get(*at));
            signers.map(|key| key.kid.clone()).collect()
        };
        kids(self) == kids(other)
    }

    /// Whether every key of `earlier` is here, too.
    pub(super) fn keeps_all_of(&self, earlier: &Self) -> bool {
        earlier.keys.iter().all(|old| self.keys.iter().any(|key| key.kid == old.kid))
    }
}

fn jwks(keys: &[SigningKey]) -> JwkSet {
    JwkSet { keys: keys.iter().map(|key| key.public.clone()).collect() }
}
