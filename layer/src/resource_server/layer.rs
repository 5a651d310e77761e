//! The tower layer: what it is configured with.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tower::Layer;
use url::Url;

use crate::scope::Scope;

use super::bearer;
use super::challenge::Challenge;
use super::dpop::{DpopGuard, DpopSettings};
use super::error::Refusal;
use super::principal::Principal;
use super::reply;
use super::service::RequireToken;
use super::verify::Verifier;

/// Lets a request through only with a valid bearer token (RFC 6750 §2.1, RFC 9728 §5.1).
///
/// See the [module](super) for what it does to requests and answers.
#[derive(Clone, Debug)]
pub struct RequireTokenLayer {
    pub(super) guard: Arc<Guard>,
}

/// What all clones of the layer and its services share.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) verifier: Arc<Verifier>,
    pub(super) challenge: Challenge,
    /// The challenge for who sent no credentials, made once: the commonest refusal should cost the least.
    pub(super) unauthenticated: HeaderValue,
    pub(super) audiences: Option<Vec<Arc<str>>>,
    /// `None`: tokens that are bound to a key are refused.
    pub(super) dpop: Option<DpopGuard>,
}

impl RequireTokenLayer {
    /// `resource_metadata` is the URL of the document that [`ResourceMetadata`](super::ResourceMetadata) writes, usually
    /// [`well_known_url`](super::well_known_url) of the resource.
    #[must_use]
    pub fn new(verifier: impl Into<Arc<Verifier>>, resource_metadata: &Url) -> Self {
        let challenge = Challenge::new(resource_metadata);
        let unauthenticated = challenge.to_header_value();
        let verifier = verifier.into();
        let guard = Guard { verifier, challenge, unauthenticated, audiences: None, dpop: None };
        Self { guard: Arc::new(guard) }
    }

    /// Names in every 401 what a client should ask for (MCP, Scope Selection Strategy).
    #[must_use]
    pub fn scope_hint(self, scope: &Scope) -> Self {
        let mut guard = Arc::unwrap_or_clone(self.guard);
        guard.challenge = guard.challenge.scope(scope);
        guard.unauthenticated = guard.challenge.to_header_value();
        Self { guard: Arc::new(guard) }
    }

    /// Accepts only tokens for these audiences, where one verifier serves several resources (RFC 8707 §2).
    #[must_use]
    pub fn only_for(self, audiences: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let mut guard = Arc::unwrap_or_clone(self.guard);
        guard.audiences = Some(audiences.into_iter().map(Into::into).collect());
        Self { guard: Arc::new(guard) }
    }

    /// Takes tokens that are bound to a key, with the scheme `DPoP` and a proof in each request (RFC 9449 §7). Such a
    /// token as a bearer token is refused, with this and without.
    #[must_use]
    pub fn dpop(self, settings: DpopSettings) -> Self {
        let mut guard = Arc::unwrap_or_clone(self.guard);
        guard.dpop = Some(DpopGuard::new(settings));
        Self { guard: Arc::new(guard) }
    }
}

impl RequireTokenLayer {
    /// Who sends these headers, without a service around it. Does *not* remove the header: that is the caller's to do.
    /// Tokens that are bound are refused: a proof is for a method and a URL, and a certificate is the connection's, neither
    /// of which headers tell.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], which [`RequireTokenLayer::refuse`] answers.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let token = bearer::read(headers).map_err(Refusal::from)?;
        self.guard.admit(self.guard.verifier.verify(token.as_str()).await, None)
    }

    /// The answer to a refused request: `401`, `400` or `503`, with the challenge.
    #[must_use]
    pub fn refuse<B: From<Bytes>>(&self, refusal: Refusal) -> Response<B> {
        reply::refusal(&self.guard, refusal)
    }

    /// What verifies.
    #[must_use]
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.guard.verifier
    }
}

impl Guard {
    /// Whether the token is for this resource. Without a list of its own, the verifier's check was enough.
    pub(super) fn is_for_us(&self, principal: &Principal) -> bool {
        self.audiences
            .as_ref()
            .is_none_or(|ours| principal.audiences().iter().any(|aud| ours.contains(aud)))
    }
}

impl<S> Layer<S> for RequireTokenLayer {
    type Service = RequireToken<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireToken::new(inner, Arc::clone(&self.guard))
    }
}
