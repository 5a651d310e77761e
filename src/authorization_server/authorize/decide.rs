//! What a person's answer becomes: a code, or a refusal, sent to the client with `iss` (RFC 9207).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;
use zeroize::Zeroizing;

use crate::audit::AuditError;
use crate::authorization_server::person::Person;
use crate::authorization_server::server::AuthorizationServer;
use crate::scope::Scope;
use crate::store::{Digest, StoreError};

use super::pending::Pending;

/// Why an answer of a person led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// Unknown, answered before, too late, or begun in another browser session: not told apart.
    #[error("this request is no longer open")]
    Gone,
    /// Nothing that was asked for can be granted to this person.
    #[error("nothing of this may be granted")]
    NothingToGrant,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What a person may say yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Everything that would be granted: asked for, and of use to this person.
    pub scope: Scope,
    /// Of that, what this client does not have from an earlier consent.
    pub added: Scope,
    /// Asked for, and not to be had by this person.
    pub dropped: Scope,
}

/// The open request behind a page's handle. The first session that asks binds it: no other may see or answer it.
///
/// # Errors
///
/// [`DecideError::Gone`], [`DecideError::Store`]
pub async fn find(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
) -> Result<Pending, DecideError> {
    let _ = (server, handle, person);
    Err(DecideError::Gone)
}

/// What `person` may be granted of `pending`.
///
/// # Errors
///
/// [`StoreError`]
pub async fn offer(
    server: &AuthorizationServer,
    pending: &Pending,
    person: &Person,
) -> Result<Offer, StoreError> {
    let _ = (server, pending, person);
    Ok(Offer { scope: Scope::empty(), added: Scope::empty(), dropped: Scope::empty() })
}

/// The person said yes to `approved`: takes the request out of the store, remembers the consent, makes grant and
/// code, and gives the URL to send the browser to. What cannot be granted is dropped, whatever the page sent.
///
/// # Errors
///
/// [`DecideError`]; a second answer to one request is [`DecideError::Gone`].
pub async fn approve(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
    approved: Scope,
) -> Result<Url, DecideError> {
    let _ = (server, handle, person, approved);
    Err(DecideError::Gone)
}

/// The person said no (`access_denied`, RFC 6749 §4.1.2.1).
///
/// # Errors
///
/// [`DecideError`]
pub async fn deny(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
) -> Result<Url, DecideError> {
    let _ = (server, handle, person);
    Err(DecideError::Gone)
}

/// 256 random bits for a URL or a token.
pub(in crate::authorization_server) fn random_text(
    server: &AuthorizationServer,
) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    server.random.fill(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

pub(in crate::authorization_server) fn digest_of(handle: &str) -> Digest {
    Digest::of(handle)
}
