//! Our own public keys, as we publish them, swappable while requests run.

use std::sync::{Arc, PoisonError, RwLock};

use super::algorithm::Algorithm;
use super::error::TokenError;
use super::jwt::{Form, parse as parse_jwt};
use super::key::{KeyOwner, KeySet, KeySetError};
use super::signed::SignedJwt;

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

    /// Checks that one of these keys signed a JWT (RFC 7515 §5.2), and nothing else: `typ`, `iss`, `aud`, dates and
    /// revocation are the caller's to check.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], `AlgorithmNotAllowed`, `UnknownKey`, `BadSignature`
    pub fn verify(&self, unverified: &str) -> Result<SignedJwt, TokenError> {
        let Form::Jwt(jwt) = parse_jwt(unverified)? else { return Err(TokenError::Malformed) };
        let owner = KeyOwner { issuer: "", tenant: None, stated: false };
        self.current().verify(&jwt, owner)?;
        Ok(SignedJwt { typ: jwt.typ, algorithm: jwt.algorithm, claims: jwt.claims })
    }

    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn parse(jwks: &[u8]) -> Result<Arc<KeySet>, KeySetError> {
    let keys = KeySet::parse(jwks, &Algorithm::ALL)?;
    if keys.dropped > 0 { Err(KeySetError::UnusableKey) } else { Ok(Arc::new(keys)) }
}
