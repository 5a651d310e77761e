//! JWTs of another party that are no access tokens: ID tokens of an identity provider, assertions of a client.

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::id::Issuer;
use crate::outbound::Outbound;
use crate::time::Clock;

use super::algorithm::Algorithm;
use super::discovery::Discovery;
use super::error::TokenError;
use super::json;
use super::jwks::{JwksTiming, KeyHealth, Place, RemoteKeys};
use super::jwt::{Form, parse};
use super::key::KeyOwner;

/// Longer ones are refused before anything is decoded.
const MAX_BYTES: usize = 32 * 1024;

/// Checks signatures with the key set of one party: fetched when needed, kept, and asked for again at most once in a
/// cool-down, also when a JWT names a key that nobody knows.
#[derive(Debug)]
pub struct SignedJwts {
    issuer: String,
    keys: RemoteKeys,
}

/// A JWT whose signature is good. That is all that was checked.
#[derive(Clone, Debug)]
pub struct SignedJwt {
    /// Lower case, without `application/`; empty where the header names none.
    pub typ: String,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Every claim, as signed.
    pub claims: Map<String, Value>,
}

/// Of which type a JWT says that it is, and of whom. Nothing of it was checked: only to find who can check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtHint {
    /// As [`SignedJwt::typ`].
    pub typ: String,
    /// `iss`
    pub issuer: String,
}

impl JwtHint {
    /// `None` for what is no JWT, too long, or says no `iss`.
    #[must_use]
    pub fn read(unverified: &str) -> Option<Self> {
        if unverified.len() > MAX_BYTES {
            return None;
        }
        let Form::Jwt(jwt) = parse(unverified).ok()? else { return None };
        let issuer = json::text(&jwt.claims, "iss")?.to_owned();
        Some(Self { typ: jwt.typ, issuer })
    }
}

impl SignedJwts {
    /// `algorithms` are the only ones a key may be used with; `HS256` is never one of them.
    #[must_use]
    pub fn new(
        issuer: &str,
        jwks_uri: Url,
        algorithms: &[Algorithm],
        outbound: Outbound,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::at(Place::Known(jwks_uri), issuer, algorithms, outbound, clock)
    }

    /// The same with the key set that the issuer's metadata names (RFC 8414, OIDC Discovery 1.0), which is asked for
    /// before each fetch.
    ///
    /// `None` where the issuer is no `https` URL (`http` on loopback) without query, fragment and user information.
    #[must_use]
    pub fn discovered(
        issuer: &Issuer,
        algorithms: &[Algorithm],
        outbound: Outbound,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let place = Place::Discovered(Box::new(Discovery::new(issuer)?));
        Some(Self::at(place, issuer.as_str(), algorithms, outbound, clock))
    }

    fn at(
        place: Place,
        issuer: &str,
        algorithms: &[Algorithm],
        outbound: Outbound,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let public = algorithms.iter().filter(|algorithm| **algorithm != Algorithm::HS256);
        let keys = RemoteKeys::new(
            place,
            public.copied().collect(),
            outbound,
            clock,
            JwksTiming::default(),
        );
        Self { issuer: issuer.to_owned(), keys }
    }

    /// Checks the signature (RFC 7515 §5.2) and nothing else: `typ`, `iss`, `aud`, `exp`, `nonce` and all other claims
    /// are the caller's to check.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], `AlgorithmNotAllowed`, `UnknownKey`, `BadSignature`; `IssuerUnavailable` where there
    /// are no keys to check with.
    pub async fn verify(&self, unverified: &str) -> Result<SignedJwt, TokenError> {
        if unverified.len() > MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let Form::Jwt(jwt) = parse(unverified)? else { return Err(TokenError::Malformed) };
        let tenant = json::text(&jwt.claims, "tid");
        let owner = KeyOwner { issuer: &self.issuer, tenant, stated: false };
        self.keys.verify(&jwt, owner).await?;
        Ok(SignedJwt { typ: jwt.typ, algorithm: jwt.algorithm, claims: jwt.claims })
    }

    /// How the key set stands.
    #[must_use]
    pub fn health(&self) -> KeyHealth {
        self.keys.health()
    }
}
