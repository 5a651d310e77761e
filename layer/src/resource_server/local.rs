//! Our own public keys, as we publish them, swappable while requests run.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::algorithm::Algorithm;
use super::error::TokenError;
use super::jwt::{Form, UnverifiedJwt, parse as parse_jwt};
use super::key::{KeyOwner, KeySet, KeySetError};
use super::signed::SignedJwt;

/// How long a token with an unknown key waits for its owner to look for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keys that are in this process already: whoever owns them replaces them at a rotation.
#[derive(Debug)]
pub struct LocalKeys {
    keys: RwLock<Arc<KeySet>>,
    /// Changes when a token names a key that is not here.
    asked: watch::Sender<()>,
    /// Changes when the owner has looked.
    looked: watch::Sender<()>,
}

impl LocalKeys {
    /// Takes the key set exactly as it is published (RFC 7517 §5), so that what we verify with is what others see.
    ///
    /// # Errors
    ///
    /// [`KeySetError`]; unlike with a foreign key set, one unusable key is an error here.
    pub fn new(jwks: &[u8]) -> Result<Self, KeySetError> {
        let (asked, looked) = (watch::Sender::new(()), watch::Sender::new(()));
        Ok(Self { keys: RwLock::new(parse(jwks)?), asked, looked })
    }

    /// Replaces all keys. A retired key still serves tokens in the cache, for as long as that remembers;
    /// [`Verifier::forget`](super::Verifier::forget) ends that as well.
    ///
    /// # Errors
    ///
    /// As [`LocalKeys::new`]; the keys in use stay.
    pub fn replace(&self, jwks: &[u8]) -> Result<(), KeySetError> {
        let keys = parse(jwks)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Checks that one of these keys signed a JWT (RFC 7515 §5.2), and nothing else: `typ`, `iss`, `aud`, dates and
    /// revocation are the caller's to check.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], `AlgorithmNotAllowed`, `UnknownKey`, `BadSignature`
    pub fn verify_signature(&self, unverified: &str) -> Result<SignedJwt, TokenError> {
        let Form::Jwt(jwt) = parse_jwt(unverified)? else { return Err(TokenError::Malformed) };
        let owner = KeyOwner { issuer: "", tenant: None, stated: false };
        self.current().verify(&jwt, owner)?;
        Ok(SignedJwt { typ: jwt.typ, algorithm: jwt.algorithm, claims: jwt.claims })
    }

    /// Changes each time that a token names a key that is not here. Who takes this must call
    /// [`LocalKeys::answer`] after each change, be it that it has not looked: tokens wait for it.
    #[must_use]
    pub fn questions(&self) -> watch::Receiver<()> {
        self.asked.subscribe()
    }

    /// Lets the tokens that wait be checked again.
    pub fn answer(&self) {
        self.looked.send_replace(());
    }

    /// Checks the signature; where the key is unknown, once more after the owner has looked for it.
    pub(super) async fn verify(
        &self,
        jwt: &UnverifiedJwt<'_>,
        owner: KeyOwner<'_>,
    ) -> Result<(), TokenError> {
        match self.current().verify(jwt, owner) {
            Err(TokenError::UnknownKey) if !self.asked.is_closed() => {
                let mut looked = self.looked.subscribe();
                self.asked.send_replace(());
                tokio::time::timeout(PATIENCE, looked.changed()).await.ok();
                self.current().verify(jwt, owner)
            }
            verdict => verdict,
        }
    }

    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn parse(jwks: &[u8]) -> Result<Arc<KeySet>, KeySetError> {
    let keys = KeySet::parse(jwks, &Algorithm::ALL)?;
    if keys.dropped > 0 { Err(KeySetError::UnusableKey) } else { Ok(Arc::new(keys)) }
}
