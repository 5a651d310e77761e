//! Whether a request proves that its sender holds a key (RFC 9449 §4.3).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::time::Timestamp;

use super::HEADER;
use super::nonce::{Age, DpopNonces};
use super::proof::Proof;
use super::replay::ProofReplay;

/// How old a proof may be, and how far the clock of its maker may be ahead, in seconds.
const WINDOW: i64 = 60;

/// Checks proofs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProofChecker {
    replay: Arc<dyn ProofReplay>,
    nonces: Option<DpopNonces>,
}

/// What a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub struct ProofRequest<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The URLs that the request may be known by: from configuration, never from what the request says of its host.
    pub urls: &'a [Url],
    /// Where the request presents an access token: that one.
    pub access_token: Option<&'a str>,
    /// Where it has to be made with a certain key: the thumbprint of that (RFC 7638).
    pub key: Option<&'a str>,
    /// What time it is.
    pub now: Timestamp,
}

/// Why a request does not prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no proof where one must be.
    #[error("there is no DPoP proof")]
    Missing,
    /// No proof, not of this request, of another time, or used before: not told apart.
    #[error("the DPoP proof is not valid for this request")]
    Invalid,
    /// It has to have a nonce of ours (RFC 9449 §8).
    #[error("the DPoP proof needs a nonce of this server")]
    NonceNeeded,
    /// It cannot be told whether it was used before.
    #[error("DPoP proofs cannot be checked now")]
    Unavailable,
}

/// A key that the sender holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    /// SHA-256 of it (RFC 7638), in base64url: what `cnf.jkt` and `dpop_jkt` are compared with.
    pub thumbprint: Arc<str>,
    /// A nonce for the next proof, where the last one is about to end (§8.2).
    pub next_nonce: Option<HeaderValue>,
}

impl ProofChecker {
    /// With `nonces`, every proof has to have one of them.
    #[must_use]
    pub fn new(replay: Arc<dyn ProofReplay>, nonces: Option<DpopNonces>) -> Self {
        Self { replay, nonces }
    }

    /// The nonce that the next proof is to have, where proofs need one.
    #[must_use]
    pub fn nonce(&self, now: Timestamp) -> Option<HeaderValue> {
        self.nonces.as_ref().map(|nonces| nonces.current(now))
    }

    /// Whether a request has a proof at all, be it a bad one.
    #[must_use]
    pub fn is_sent(headers: &HeaderMap) -> bool {
        headers.contains_key(HEADER)
    }

    /// The key that the sender of `headers` holds: everything of RFC 9449 §4.3. Only a proof that is right in all else is
    /// remembered: whoever has a token and not its key makes us write nothing.
    ///
    /// # Errors
    ///
    /// [`ProofError`]
    pub async fn check(
        &self,
        headers: &HeaderMap,
        request: ProofRequest<'_>,
    ) -> Result<ProvenKey, ProofError> {
        let mut sent = headers.get_all(HEADER).iter();
        let (first, more) = (sent.next().ok_or(ProofError::Missing)?, sent.next());
        let text = first.to_str().ok().filter(|_| more.is_none()).ok_or(ProofError::Invalid)?;
        let proof = Proof::parse(text).ok_or(ProofError::Invalid)?;
        if !request.key.is_none_or(|key| is_same(key, &proof.thumbprint)) {
            return Err(ProofError::Invalid);
        }
        let (name, until) = fits(&proof, request).ok_or(ProofError::Invalid)?;
        let next_nonce = self.next_nonce(&proof, request.now)?;
        match self.replay.first_use(&name, until).await {
            Ok(true) => Ok(ProvenKey { thumbprint: proof.thumbprint, next_nonce }),
            Ok(false) => Err(ProofError::Invalid),
            Err(_unavailable) => Err(ProofError::Unavailable),
        }
    }

    fn next_nonce(&self, proof: &Proof, now: Timestamp) -> Result<Option<HeaderValue>, ProofError> {
        let Some(nonces) = &self.nonces else { return Ok(None) };
        match proof.nonce().map_or(Age::Unknown, |nonce| nonces.age(nonce, now)) {
            Age::Current => Ok(None),
            Age::Ending => Ok(Some(nonces.current(now))),
            Age::Unknown => Err(ProofError::NonceNeeded),
        }
    }
}

fn is_same(key: &str, proven: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(key.as_bytes(), proven.as_bytes()).is_ok()
}

/// What a proof is remembered by, and until when. `None` where it is not for this request.
fn fits(proof: &Proof, request: ProofRequest<'_>) -> Option<(String, Timestamp)> {
    let (issued_at, now) = (proof.issued_at()?, request.now.unix_seconds());
    let in_time = now.checked_sub(issued_at)?.unsigned_abs() <= WINDOW.unsigned_abs();
    let for_token = request.access_token.is_none_or(|token| proof.is_for_token(token));
    let for_this = proof.is_for_method(request.method) && proof.is_for_url(request.urls);
    if !(in_time && for_token && for_this) {
        return None;
    }
    // The name of the key has a fixed length, so that no two pairs read the same.
    let name = format!("{}{}", proof.thumbprint, proof.jti()?);
    let name = URL_SAFE_NO_PAD.encode(digest(&SHA256, name.as_bytes()));
    Some((name, Timestamp::from_unix_seconds(issued_at.saturating_add(WINDOW).saturating_add(1))))
}
