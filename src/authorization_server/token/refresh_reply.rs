//! The answer to a refresh, as the store keeps it for the grace: sealed with the token that was presented, so that it is
//! of no use to whoever reads the store.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authorization_server::seal::{KeyEncryptionKey, Sealed};
use crate::id::Subject;
use crate::scope::Scope;
use crate::store::StoreError;

use super::exchange::Body;
use super::issue::Issued;

const PURPOSE: &str = "refresh reply v1";

/// What must be told again, byte for byte, and what the audit log is told beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) subject: Subject,
    /// The name of the access token.
    pub(super) token: String,
    pub(super) resource: String,
    pub(super) scopes: Scope,
    /// The key that the access token is bound to.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// JSON in JSON: the bytes must not change.
    body: Zeroizing<String>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.token)
    }
}

impl Kept {
    pub(super) fn new(
        issued: &Issued,
        (resource, scopes): (&str, &Scope),
        key: Option<&str>,
    ) -> Option<Self> {
        Some(Self {
            subject: issued.subject.clone(),
            token: issued.token.0.to_string(),
            resource: resource.to_owned(),
            scopes: scopes.clone(),
            key: key.map(str::to_owned),
            body: Zeroizing::new(std::str::from_utf8(issued.body.as_bytes()).ok()?.to_owned()),
        })
    }

    pub(super) fn body(&self) -> Body {
        Body::new(Zeroizing::new(self.body.as_bytes().to_vec()))
    }

    /// `None` never happens: AES-256-GCM seals whatever fits into memory.
    pub(super) fn seal(&self, presented: &str) -> Option<Vec<u8>> {
        let plain = Zeroizing::new(serde_json::to_vec(self).ok()?);
        let sealed = KeyEncryptionKey::from_token(presented, PURPOSE)?.seal(&plain, PURPOSE)?;
        serde_json::to_vec(&sealed).ok()
    }

    /// # Errors
    ///
    /// [`StoreError::Corrupt`] where somebody changed it: the token was found by its digest, so it is the right one.
    pub(super) fn open(presented: &str, sealed: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let sealed: Sealed = serde_json::from_slice(sealed).ok()?;
            let key = KeyEncryptionKey::from_token(presented, PURPOSE)?;
            serde_json::from_slice(&key.open(&sealed, PURPOSE)?).ok()
        };
        read().ok_or(StoreError::Corrupt("refresh_tokens.sealed_reply"))
    }
}
