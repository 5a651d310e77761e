//! Tells good tokens from bad ones, for several issuers at one endpoint.

use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::id::Issuer;
use crate::time::{Clock, Timestamp};

use super::builder::VerifierBuilder;
use super::cache::{Keep, TokenHash, VerifiedTokens};
use super::claims::{Circumstances, admit, token_name};
use super::error::{Refusal, TokenError};
use super::introspection::Introspection;
use super::issuer::{IssuerSettings, TENANT_PLACEHOLDER, is_guid};
use super::json;
use super::jwks::{KeyHealth, RemoteKeys};
use super::jwt::{Form, UnverifiedJwt, parse};
use super::key::{KeyOwner, verify_shared};
use super::local::LocalKeys;
use super::principal::Principal;
use super::revocation::Revocations;
use super::secret_source::SecretSource;
use super::token_type::refuse_other_types;

/// Of a token whose answer is not remembered, for who asks when it ends.
const SHORTEST: std::time::Duration = std::time::Duration::from_secs(1);

/// Verifies access tokens. Share it by `Arc`: it owns the caches.
#[derive(Debug)]
pub struct Verifier {
    pub(super) issuers: Vec<AcceptedIssuer>,
    pub(super) verified: VerifiedTokens,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) revocations: Arc<dyn Revocations>,
}

/// One issuer, ready for use.
#[derive(Debug)]
pub(super) struct AcceptedIssuer {
    pub(super) settings: IssuerSettings,
    pub(super) keys: Keys,
}

#[derive(Debug)]
pub(super) enum Keys {
    Local(Arc<LocalKeys>),
    Remote(RemoteKeys),
    Shared(SecretSource),
    Ask(Box<Introspection>),
}

/// How an issuer stands, for a readiness report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerHealth {
    /// Whose they are.
    pub issuer: Issuer,
    /// How they stand.
    pub keys: KeyHealth,
    /// Its introspection endpoint is meant, not a key set.
    pub introspects: bool,
}

impl Verifier {
    /// Begins with nothing: name the issuers.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::default()
    }

    /// Who presents `unverified_token`, if it gives access to one of the configured audiences.
    ///
    /// Costs a hash where the token is in the cache, else at most one signature check (or one question to the issuer).
    /// The network is asked only for an issuer that is configured, and for keys only outside their cool-down.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with a [`TokenError`]; also for a token that is bound to a key or a certificate, which without a proof
    /// is nobody's (RFC 9449 §7.1, RFC 8705 §3): [`RequireTokenLayer`](super::RequireTokenLayer) lets those in. Claims are looked at only once the signature is good, so that a reason such
    /// as `expired` is the issuer's word.
    pub async fn verify(&self, unverified_token: &str) -> Result<Principal, Refusal> {
        let hash = TokenHash::of(unverified_token);
        let known = match self.recall(&hash) {
            Some(known) => known,
            None => self.verify_first_seen(unverified_token, hash).await,
        };
        let principal = known?;
        if principal.is_unbound() {
            return Ok(principal);
        }
        let name = Arc::clone(principal.token_name());
        Err(Refusal::new(TokenError::ClaimsInvalid, Some(name)))
    }

    /// How the remote key sets and introspection endpoints stand, as far as they were used. An issuer that is not `Good` makes its own tokens fail, never those of others.
    #[must_use]
    pub fn health(&self) -> Vec<IssuerHealth> {
        let remote = |issuer: &AcceptedIssuer| {
            let (keys, introspects) = match &issuer.keys {
                Keys::Remote(keys) => (keys.health(), false),
                Keys::Ask(introspection) => (introspection.health(), true),
                Keys::Local(_) | Keys::Shared(_) => return None,
            };
            Some(IssuerHealth { issuer: issuer.settings.issuer.clone(), keys, introspects })
        };
        self.issuers.iter().filter_map(remote).collect()
    }

    /// Forgets every verified token, so that the next use of each is checked anew: after a key was compromised.
    pub fn forget(&self) {
        self.verified.clear();
        for issuer in &self.issuers {
            if let Keys::Ask(introspection) = &issuer.keys {
                introspection.forget();
            }
        }
    }

    /// What is known of the token already; no I/O, no allocation, no signature.
    pub(super) fn recall(&self, hash: &TokenHash) -> Option<Result<Principal, Refusal>> {
        let principal = self.verified.get(hash, self.clock.as_ref())?;
        Some(self.unless_revoked(principal))
    }

    pub(super) async fn verify_first_seen(
        &self,
        unverified: &str,
        hash: TokenHash,
    ) -> Result<Principal, Refusal> {
        let generation = self.verified.generation();
        let (principal, keep) = self.check(unverified, hash).await?;
        let seen = (&principal, generation);
        self.verified.insert(hash, unverified, seen, keep, self.clock.as_ref());
        self.unless_revoked(principal)
    }

    fn unless_revoked(&self, principal: Principal) -> Result<Principal, Refusal> {
        if self.revocations.is_revoked(&principal) {
            return Err(Refusal::new(
                TokenError::Revoked,
                Some(Arc::clone(principal.token_name())),
            ));
        }
        Ok(principal)
    }

    async fn check(&self, unverified: &str, hash: TokenHash) -> Result<(Principal, Keep), Refusal> {
        let refuse = |error| Refusal::new(error, Some(hash.name().into()));
        let longest = self.issuers.iter().map(|issuer| issuer.settings.max_token_bytes).max();
        if unverified.len() > longest.unwrap_or(0) {
            return Err(refuse(TokenError::Malformed));
        }
        let (issuer, jwt) = match parse(unverified).map_err(refuse)? {
            Form::Opaque => {
                let asked = self.issuers.iter().find(|issuer| issuer.settings.opaque_tokens);
                (asked.ok_or_else(|| refuse(TokenError::Malformed))?, None)
            }
            Form::Jwt(jwt) => {
                let issuer = self.select(&jwt).ok_or_else(|| refuse(TokenError::UnknownIssuer))?;
                (issuer, Some(jwt))
            }
        };
        if unverified.len() > issuer.settings.max_token_bytes {
            return Err(refuse(TokenError::Malformed));
        }
        match (&issuer.keys, jwt) {
            (Keys::Ask(introspection), _) => {
                issuer.check_by_asking(introspection, unverified, hash, self.clock.now()).await
            }
            (_, Some(jwt)) => issuer.check_jwt(*jwt, hash, self.clock.as_ref()).await,
            (_, None) => Err(refuse(TokenError::Malformed)),
        }
    }

    /// The issuer that the token *claims*: it decides whose keys the signature is checked with, and nothing else.
    fn select(&self, jwt: &UnverifiedJwt<'_>) -> Option<&AcceptedIssuer> {
        let unverified_iss = json::text(&jwt.claims, "iss")?;
        let unverified_tid = json::text(&jwt.claims, "tid");
        self.issuers.iter().find(|issuer| issuer.is_named(unverified_iss, unverified_tid))
    }
}

impl AcceptedIssuer {
    fn is_templated(&self) -> bool {
        self.settings.issuer.as_str().contains(TENANT_PLACEHOLDER)
    }

    /// Byte for byte (RFC 7519 §4.1.1), with `{tenantid}` standing for an allowed tenant.
    fn is_named(&self, unverified_iss: &str, unverified_tid: Option<&str>) -> bool {
        let issuer = self.settings.issuer.as_str();
        let tenants = &self.settings.tenants;
        let allowed = |tid: &str| tenants.iter().any(|tenant| tenant.as_str() == tid);
        if self.is_templated() {
            unverified_tid.is_some_and(|tid| {
                is_guid(tid)
                    && allowed(tid)
                    && issuer.replace(TENANT_PLACEHOLDER, tid) == unverified_iss
            })
        } else {
            issuer == unverified_iss && (tenants.is_empty() || unverified_tid.is_some_and(allowed))
        }
    }

    async fn check_jwt(
        &self,
        jwt: UnverifiedJwt<'_>,
        hash: TokenHash,
        clock: &dyn Clock,
    ) -> Result<(Principal, Keep), Refusal> {
        self.check_signature(&jwt)
            .await
            .map_err(|error| Refusal::new(error, Some(hash.name().into())))?;
        // From here on the claims are the issuer's own words.
        let name = token_name(&jwt.claims, hash.name());
        let refuse = |error| Refusal::new(error, Some(Arc::clone(&name)));
        refuse_other_types(&self.settings, &jwt.typ, &jwt.claims).map_err(refuse)?;
        let issuer = json::text(&jwt.claims, "iss").and_then(|iss| iss.parse().ok());
        let at = Circumstances {
            issuer: issuer.ok_or_else(|| refuse(TokenError::ClaimsInvalid))?,
            token_name: Arc::clone(&name),
            now: clock.now(),
            without_exp: None,
        };
        let verified = admit(&self.settings, jwt.claims, at).map_err(refuse)?;
        Ok((Principal::fresh(verified), self.keep(None)))
    }

    /// # Errors
    ///
    /// [`TokenError::AlgorithmNotAllowed`] before any key is looked for; else as the kind of key says.
    async fn check_signature(&self, jwt: &UnverifiedJwt<'_>) -> Result<(), TokenError> {
        if !self.settings.algorithms.contains(&jwt.algorithm) {
            return Err(TokenError::AlgorithmNotAllowed);
        }
        let owner = KeyOwner {
            issuer: json::text(&jwt.claims, "iss").unwrap_or_default(),
            tenant: json::text(&jwt.claims, "tid"),
            stated: self.is_templated(),
        };
        match &self.keys {
            Keys::Local(keys) => keys.verify(jwt, owner).await,
            Keys::Remote(keys) => keys.verify(jwt, owner).await,
            Keys::Shared(secret) => {
                let secret = secret.get().await.ok_or(TokenError::IssuerUnavailable)?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                verify_shared(&key, jwt)
            }
            Keys::Ask(_) => Err(TokenError::UnknownKey),
        }
    }

    /// The issuer vouches instead of a signature; audience, dates and issuer are checked all the same (RFC 7662 §4).
    async fn check_by_asking(
        &self,
        introspection: &Introspection,
        unverified: &str,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<(Principal, Keep), Refusal> {
        let refuse = |error| Refusal::new(error, Some(hash.name().into()));
        let (claims, lasts) = introspection.ask(hash, unverified).await.map_err(refuse)?;
        if claims.get("iss").is_some_and(|iss| iss != self.settings.issuer.as_str()) {
            return Err(refuse(TokenError::UnknownIssuer));
        }
        // Of a token that says no end, something has to be said.
        let without_exp = introspection.timing.positive.max(SHORTEST);
        let name = token_name(&claims, hash.name());
        let at = Circumstances {
            issuer: self.settings.issuer.clone(),
            token_name: Arc::clone(&name),
            now,
            without_exp: Some(now.plus(without_exp)),
        };
        let verified = admit(&self.settings, (*claims).clone(), at)
            .map_err(|error| Refusal::new(error, Some(name)))?;
        Ok((Principal::fresh(verified), self.keep(Some(lasts))))
    }

    fn keep(&self, at_most: Option<std::time::Duration>) -> Keep {
        let at_most = at_most.unwrap_or(std::time::Duration::MAX);
        Keep { at_most, skew: self.settings.skew }
    }
}
