//! Our own public keys, as we publish them, swappable while requests run.

use std::sync::{Arc, PoisonError, RwLock};

use super::algorithm::Algorithm;
use super::key::{KeySet, KeySetError};

/// Keys that are in this process already: whoever owns them replaces them at a rotation.
#[derive(Debug)]
pub struct LocalKeys(RwLock<Arc<KeySet>>);

impl LocalKeys {
    /// Takes the key set exactly as it is published (RFC 7517 §5), so that what we verify with is what others see.
    ///
    /// # Errors
    ///
    /// [`KeySetError`]; unlike with a foreign key set, one unusable key is an error here.
    pub fn new(jwks: &[u8]) -> Result<Self, KeySetError> {
        Ok(Self(RwLock::new(parse(jwks)?)))
    }

    /// Replaces all keys. A retired key still serves tokens in the cache, for as long as that remembers;
    /// [`Verifier::forget`](super::Verifier::forget) ends that as well.
    ///
    /// # Errors
    ///
    /// As [`LocalKeys::new`]; the keys in use stay.
    pub fn replace(&self, jwks: &[u8]) -> Result<(), KeySetError> {
        let keys = parse(jwks)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn parse(jwks: &[u8]) -> Result<Arc<KeySet>, KeySetError> {
    let keys = KeySet::parse(jwks, &Algorithm::ALL)?;
    if keys.dropped > 0 { Err(KeySetError::UnusableKey) } else { Ok(Arc::new(keys)) }
}
