//! One trip to the identity provider: the proof, the request, one retry, the secret read once more.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::outbound::{Answer, Call, Limits, Outbound};
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

use super::answer::{self, Granted};
use super::assertion::{self, Assertion};
use super::credential::{Credential, CredentialSource, Freshness};
use super::error::{Detail, Diagnostics, TokenError};
use super::managed_identity;
use super::profile::ProfileSettings;

const RETRY_PAUSE: Duration = Duration::from_millis(200);
const MAX_ANSWER: usize = 256 * 1024;
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a token is for.
#[derive(Clone, Copy)]
pub(super) enum Asking<'a> {
    /// The app itself, at this resource (RFC 6749 §4.4.2).
    App { resource: &'a str },
    /// A person, whose token for the app is exchanged: Entra's on-behalf-of flow.
    OnBehalfOf { assertion: &'a SecretText, scope: &'a str },
}

/// Everything one mint needs.
pub(super) struct Mint<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) platform: &'a Outbound,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
    pub(super) timeout: Duration,
    pub(super) profile: &'a ProfileSettings,
    pub(super) asking: Asking<'a>,
    pub(super) secrets: &'a dyn CredentialSource,
    pub(super) budget: &'a Budget,
}

/// A token, the secret that proved us, and the monotonic time *before* the request that got it.
pub(super) struct Minted {
    pub(super) granted: Granted,
    pub(super) proof: Option<Arc<SecretText>>,
    pub(super) asked_at: Duration,
}

impl Mint<'_> {
    /// Mints a token. A refused secret is read anew, once; only a different value is tried, once.
    pub(super) async fn run(&self) -> Result<Minted, TokenError> {
        let proof = self.proof(Freshness::Cached).await?;
        let first = self.request(proof.clone()).await;
        let Some(old) = proof else { return first };
        match first {
            Err(error) if error.blames_the_secret() => {
                let Ok(Some(new)) = self.proof(Freshness::Reread).await else { return Err(error) };
                if new == old { Err(error) } else { self.request(Some(new)).await }
            }
            other => other,
        }
    }

    async fn proof(&self, freshness: Freshness) -> Result<Option<Arc<SecretText>>, TokenError> {
        if !self.profile.credential().has_secret() {
            return Ok(None);
        }
        let secret = self.secrets.secret(freshness).await?;
        Ok(Some(Arc::new(secret.text().clone())))
    }

    /// One request, and one more after 200 ms where the first broke or met a 5xx. A timeout is not retried.
    async fn request(&self, proof: Option<Arc<SecretText>>) -> Result<Minted, TokenError> {
        let asked_at = self.clock.monotonic();
        let granted = match self.attempt(proof.as_deref()).await {
            Err(error) if error.may_pass() && self.budget.remaining() > RETRY_PAUSE => {
                tokio::time::sleep(RETRY_PAUSE).await;
                self.attempt(proof.as_deref()).await?
            }
            first => first?,
        };
        Ok(Minted { granted, proof, asked_at })
    }

    async fn attempt(&self, proof: Option<&SecretText>) -> Result<Granted, TokenError> {
        let timeout = self.budget.cap(self.timeout);
        if timeout.is_zero() {
            return Err(TokenError::Timeout { diagnostics: Diagnostics::default() });
        }
        let limits = Limits { timeout, max_bytes: MAX_ANSWER };
        if let Credential::ManagedIdentity(identity) = self.profile.credential() {
            let Asking::App { resource } = self.asking else { return Err(no_app()) };
            let call = managed_identity::call(identity, resource)?;
            let answer = send(self.platform, call, limits).await?;
            return managed_identity::read(&answer, self.clock.now());
        }
        let call = self.token_request(proof).await?;
        let answer = send(self.outbound, call, limits).await?;
        answer::read(&answer, self.clock.now())
    }

    /// The request, with one of three proofs of the app.
    async fn token_request(&self, proof: Option<&SecretText>) -> Result<Call, TokenError> {
        let endpoint = self.profile.token_endpoint();
        let default;
        let mut fields = vec![("client_id", self.profile.client_id())];
        match self.asking {
            Asking::App { resource } => {
                default = format!("{resource}/.default");
                fields.extend([("scope", default.as_str()), ("grant_type", "client_credentials")]);
            }
            Asking::OnBehalfOf { assertion, scope } => fields.extend([
                ("scope", scope),
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("requested_token_use", "on_behalf_of"),
                ("assertion", assertion.expose()),
            ]),
        }
        let proven = self.assertion(endpoint.as_str(), proof).await?;
        match (&proven, proof) {
            (Some(jwt), _) => {
                fields.push(("client_assertion_type", JWT_BEARER));
                fields.push(("client_assertion", jwt.expose()));
            }
            (None, Some(secret)) => fields.push(("client_secret", secret.expose())),
            (None, None) => {}
        }
        let id = self.random.uuid_v7(self.clock.now()).to_string();
        let call = Call::post_form(endpoint, &fields)
            .header(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(match HeaderValue::try_from(id) {
            Ok(id) => call.header(HeaderName::from_static("client-request-id"), id),
            Err(_) => call,
        })
    }

    async fn assertion(
        &self,
        audience: &str,
        proof: Option<&SecretText>,
    ) -> Result<Option<SecretText>, TokenError> {
        match (self.profile.credential(), proof) {
            (Credential::Certificate { chain, send_chain }, Some(key)) => {
                let client_id = self.profile.client_id();
                let claims = Assertion { client_id, audience, now: self.clock.now() };
                let jwt = claims.sign(chain, *send_chain, key, self.random);
                jwt.map(Some).map_err(TokenError::Assertion)
            }
            (Credential::FederatedTokenFile(path), _) => {
                assertion::federated(path).await.map(Some).map_err(TokenError::Assertion)
            }
            _ => Ok(None),
        }
    }
}

/// A managed identity has no secret to exchange a token with.
fn no_app() -> TokenError {
    let detail = Some(Detail::OboNotAllowed);
    TokenError::Refused { detail, diagnostics: Diagnostics::default() }
}

async fn send(outbound: &Outbound, call: Call, limits: Limits) -> Result<Answer, TokenError> {
    outbound.send(call, limits).await.map_err(answer::unanswered)
}
