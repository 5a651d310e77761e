//! What the layer asks of tokens that are bound to a key (RFC 9449 §7).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri};
use url::Url;

use crate::resource_server::error::{Refusal, TokenError};
use crate::resource_server::principal::Principal;
use crate::time::Clock;

use super::checker::{ProofChecker, ProofError, ProofRequest};

/// How a resource takes tokens that are bound to a key.
#[derive(Clone, Debug)]
pub struct DpopSettings {
    /// What clients write before the paths that are seen here, such as `https://api.example`: the host that a request
    /// names is not believed.
    pub base: Url,
    /// Whether tokens that anybody can use who has them are refused.
    pub required: bool,
    /// Checks the proofs.
    pub checker: ProofChecker,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The same within the layer.
#[derive(Clone, Debug)]
pub(in crate::resource_server) struct DpopGuard(pub(super) DpopSettings);

impl DpopGuard {
    pub(in crate::resource_server) const fn new(settings: DpopSettings) -> Self {
        Self(settings)
    }

    pub(in crate::resource_server) const fn is_required(&self) -> bool {
        self.0.required
    }

    /// The nonce that the next proof is to have, where proofs need one.
    pub(in crate::resource_server) fn nonce(&self) -> Option<HeaderValue> {
        self.0.checker.nonce(self.0.clock.now())
    }

    /// Whether this request proves that its sender holds the key that the token is bound to. Gives the next nonce, where
    /// it is time for one.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with [`TokenError::ClaimsInvalid`] for a token that is bound to no key or another one, else with
    /// that of the proof.
    pub(in crate::resource_server) async fn check(
        &self,
        principal: &Principal,
        token: &str,
        (method, uri, headers): (&str, &Uri, &HeaderMap),
    ) -> Result<Option<HeaderValue>, Refusal> {
        let refuse = |error| Refusal::new(error, Some(Arc::clone(principal.token_name())));
        let bound_to = principal.key_thumbprint().ok_or(TokenError::ClaimsInvalid);
        let bound_to = bound_to.map_err(refuse)?;
        let urls = urls(&self.0.base, uri);
        let now = self.0.clock.now();
        let request = ProofRequest {
            method,
            urls: &urls,
            access_token: Some(token),
            key: Some(bound_to),
            now,
        };
        let proven = self.0.checker.check(headers, request).await;
        let proven = proven.map_err(|error| refuse(error.into()))?;
        Ok(proven.next_nonce)
    }
}

impl From<ProofError> for TokenError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Missing | ProofError::Invalid => Self::InvalidProof,
            ProofError::NonceNeeded => Self::ProofNeedsNonce,
            ProofError::Unavailable => Self::IssuerUnavailable,
        }
    }
}

/// By what the client may know this request: the path that we see comes after `base`, or has its path in front already.
fn urls(base: &Url, uri: &Uri) -> Vec<Url> {
    let (front, path) = (base.path().trim_end_matches('/'), uri.path());
    let at = |path: &str| {
        let mut url = base.clone();
        url.set_path(path);
        url
    };
    let mut urls = vec![at(&format!("{front}{path}"))];
    let within =
        path.strip_prefix(front).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    urls.extend((!front.is_empty() && within).then(|| at(path)));
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9449 §4.3 — N88
    #[test]
    fn a_request_is_known_by_our_own_host_and_its_path() {
        let known = |base: &str, path: &str| {
            let urls = urls(&base.parse().unwrap(), &path.parse().unwrap());
            urls.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(known("https://b.example", "/mcp?x=1"), ["https://b.example/mcp"]);
        assert_eq!(known("https://b.example/", "https://evil.example/x"), ["https://b.example/x"]);
        let base = "https://b.example/base";
        assert_eq!(known(base, "/mcp"), ["https://b.example/base/mcp"]);
        assert_eq!(
            known(base, "/base/mcp"),
            ["https://b.example/base/base/mcp", "https://b.example/base/mcp"]
        );
        assert_eq!(known(base, "/baser"), ["https://b.example/base/baser"]);
    }
}
