//! Keys that clients prove to hold (RFC 9449): whoever has a token that is bound to one, and not the key, has nothing.

use axum::http::HeaderMap;
use url::Url;

use crate::resource_server::{ProofChecker, ProofError, ProofRequest, ProvenKey};

use super::error::OAuthError;
use super::server::AuthorizationServer;

/// To a proof of a client whose tokens are bound to its certificate.
pub(super) const BESIDE_A_CERTIFICATE: OAuthError = OAuthError::InvalidDpopProof(
    "tokens of this client are bound to its certificate, and to nothing else",
);

/// Whether a text is the thumbprint of a key (RFC 7638), as `dpop_jkt` has it.
pub(super) fn is_thumbprint(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == 43 && text.bytes().all(plain)
}

impl AuthorizationServer {
    /// The key that the sender of a request to one of our own endpoints holds. `None` where it sends no proof, or keys are
    /// not asked about here.
    ///
    /// # Errors
    ///
    /// [`OAuthError::InvalidDpopProof`], [`OAuthError::UseDpopNonce`], [`OAuthError::Unavailable`]
    pub(super) async fn proven_key(
        &self,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Option<ProvenKey>, OAuthError> {
        let Some(checker) = self.dpop.as_ref().filter(|_| ProofChecker::is_sent(headers)) else {
            return Ok(None);
        };
        self.check_proof(checker, headers, ("POST", path, None)).await.map(Some)
    }

    /// The same where there must be one; `bound` is an access token and the thumbprint of the key that it is bound to.
    ///
    /// # Errors
    ///
    /// As [`proven_key`](Self::proven_key).
    pub(super) async fn check_proof(
        &self,
        checker: &ProofChecker,
        headers: &HeaderMap,
        (method, path, bound): (&str, &str, Option<(&str, &str)>),
    ) -> Result<ProvenKey, OAuthError> {
        let now = self.clock.now();
        let url = self.url(path).parse::<Url>();
        let urls = url.map_err(|_| OAuthError::Unavailable("this server has no URL"))?;
        let (access_token, key) = bound.unzip();
        let urls = std::slice::from_ref(&urls);
        let request = ProofRequest { method, urls, access_token, key, now };
        checker.check(headers, request).await.map_err(|error| match error {
            ProofError::Missing => OAuthError::InvalidDpopProof("a DPoP proof is needed here"),
            ProofError::Invalid => {
                OAuthError::InvalidDpopProof("the DPoP proof is not valid for this request")
            }
            ProofError::NonceNeeded => match checker.nonce(now) {
                Some(nonce) => OAuthError::UseDpopNonce(nonce),
                None => OAuthError::Unavailable("there is no nonce now"),
            },
            ProofError::Unavailable => OAuthError::Unavailable("DPoP proofs cannot be checked now"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_43_characters_of_base64url() {
        assert!(is_thumbprint("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
        for bad in ["", "0ZcOCORZNYy", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4+"] {
            assert!(!is_thumbprint(bad), "{bad}");
        }
    }
}
