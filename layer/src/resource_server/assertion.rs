//! JWTs that are not access tokens: client assertions (RFC 7523), checked with the same parser and the same keys.

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::outbound::Outbound;
use crate::time::Clock;

use super::algorithm::Algorithm;
use super::certificate::ClientCertificate;
use super::error::TokenError;
use super::jwks::{JwksTiming, Place, RemoteKeys};
use super::jwt::{self, Form, UnverifiedJwt};
use super::key::{KeyOwner, KeySet, KeySetError};

/// A signed JWT whose signature nobody has checked yet, and whose claims nobody has looked at.
pub struct SignedAssertion<'a>(Box<UnverifiedJwt<'a>>);

impl std::fmt::Debug for SignedAssertion<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedAssertion({:?})", self.0.kid)
    }
}

impl<'a> SignedAssertion<'a> {
    /// Refuses access tokens and ID-JAGs, which are for others (RFC 8725 §3.11).
    ///
    /// # Errors
    ///
    /// [`TokenError`]
    pub fn parse(unverified: &'a str) -> Result<Self, TokenError> {
        match jwt::parse(unverified)? {
            Form::Jwt(jwt)
                if matches!(jwt.typ.as_str(), "" | "jwt" | "client-authentication+jwt") =>
            {
                Ok(Self(jwt))
            }
            Form::Jwt(_) => Err(TokenError::WrongType),
            Form::Opaque => Err(TokenError::Malformed),
        }
    }

    /// The claims, which nobody has checked.
    #[must_use]
    pub const fn unverified_claims(&self) -> &Map<String, Value> {
        &self.0.claims
    }
}

/// The public keys of whoever signs assertions. Shared secrets are never among them.
#[derive(Debug)]
pub struct AssertionKeys(Source);

#[derive(Debug)]
enum Source {
    Inline(KeySet),
    Remote(Box<RemoteKeys>),
}

impl AssertionKeys {
    /// Leaves out keys that cannot be used.
    ///
    /// # Errors
    ///
    /// [`KeySetError`]
    pub fn inline(unverified_jwks: &[u8]) -> Result<Self, KeySetError> {
        KeySet::parse(unverified_jwks, &asymmetric()).map(Source::Inline).map(Self)
    }

    /// The same of a set in which each key has to be of use: who registers it is there to be told.
    ///
    /// # Errors
    ///
    /// [`KeySetError`], also for a set without any key
    pub fn whole(unverified_jwks: &[u8]) -> Result<Self, KeySetError> {
        let keys = KeySet::parse(unverified_jwks, &asymmetric())?;
        if keys.is_empty() || keys.dropped > 0 {
            return Err(KeySetError::UnusableKey);
        }
        Ok(Self(Source::Inline(keys)))
    }

    /// Fetched when first needed, then at most every 30 seconds.
    #[must_use]
    pub fn remote(url: Url, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        let timing = JwksTiming::default();
        Self(Source::Remote(Box::new(RemoteKeys::new(
            Place::Known(url),
            asymmetric(),
            outbound,
            clock,
            timing,
        ))))
    }

    /// Checks the signature, nothing else. `may_fetch` is asked before each fetch that is due: where it says no, what is
    /// known already decides.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; [`TokenError::IssuerUnavailable`] while remote keys cannot be had
    pub async fn verify(
        &self,
        assertion: &SignedAssertion<'_>,
        may_fetch: impl Fn() -> bool + Send + Sync,
    ) -> Result<(), TokenError> {
        let owner = KeyOwner { issuer: "", tenant: None, stated: false };
        match &self.0 {
            Source::Inline(keys) => keys.verify(&assertion.0, owner),
            Source::Remote(keys) => keys.verify_if(&assertion.0, owner, &may_fetch).await,
        }
    }

    /// Whether this very certificate is beside one of the keys (`x5c`): that is all that a certificate which nobody else
    /// issued can be checked by (RFC 8705 §2.2.2). `may_fetch` as for [`AssertionKeys::verify`].
    ///
    /// # Errors
    ///
    /// [`TokenError::IssuerUnavailable`] while remote keys cannot be had
    pub async fn lists_certificate(
        &self,
        certificate: &ClientCertificate,
        may_fetch: impl Fn() -> bool + Send + Sync,
    ) -> Result<bool, TokenError> {
        let thumbprint = certificate.thumbprint();
        let found = match &self.0 {
            Source::Inline(keys) => keys.find_certificate(thumbprint),
            Source::Remote(keys) => keys.find_certificate(thumbprint, &may_fetch).await,
        };
        match found {
            Ok(()) => Ok(true),
            Err(TokenError::IssuerUnavailable) => Err(TokenError::IssuerUnavailable),
            Err(_) => Ok(false),
        }
    }

    /// Whether any certificate is beside the keys, as far as is known without a fetch.
    #[must_use]
    pub const fn has_certificates(&self) -> bool {
        match &self.0 {
            Source::Inline(keys) => keys.has_certificates(),
            Source::Remote(_) => true,
        }
    }

    /// Whether there are keys to check with, from a fetch that was good.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match &self.0 {
            Source::Inline(_) => true,
            Source::Remote(keys) => keys.is_known(),
        }
    }
}

fn asymmetric() -> Vec<Algorithm> {
    Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::HS256).collect()
}
