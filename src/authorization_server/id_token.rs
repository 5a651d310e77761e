//! ID tokens (OIDC Core §2): that a person logged in, told to the client. Never an access token.

use serde::Serialize;

use crate::id::{ClientId, Issuer, Subject};
use crate::secret_text::SecretText;
use crate::store::LoginOrigin;
use crate::time::Timestamp;

use super::access_token::{MintError, Words};
use super::keys::{SigningKeys, TokenType};

/// One to be signed. Who the person is beyond `sub` is answered by `/userinfo` (OIDC Core §5.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct NewIdToken<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) subject: &'a Subject,
    pub(super) client_id: &'a ClientId,
    pub(super) nonce: Option<&'a str>,
    pub(super) auth_time: Option<Timestamp>,
    /// The log-in: its `sid`, and how it was done.
    pub(super) origin: Option<&'a LoginOrigin>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// `at_hash` is left out, as the code flow allows (OIDC Core §3.1.3.6).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    sub: &'a Subject,
    aud: &'a ClientId,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Words<'a>>,
    /// OIDC Back-Channel Logout §2.1
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl NewIdToken<'_> {
    /// Signs as `typ: JWT`: a resource that takes `at+jwt` alone never takes it for an access token (RFC 9068 §4).
    ///
    /// # Errors
    ///
    /// [`MintError`]
    pub(super) fn sign(&self, keys: &SigningKeys) -> Result<SecretText, MintError> {
        let key = keys.signing().ok_or(MintError::NoKey)?;
        let claims = Claims {
            iss: self.issuer,
            sub: self.subject,
            aud: self.client_id,
            iat: self.issued_at.unix_seconds(),
            exp: self.expires_at.unix_seconds(),
            auth_time: self.auth_time.map(Timestamp::unix_seconds),
            acr: self.origin.and_then(|origin| origin.acr.as_deref()),
            amr: self.origin.and_then(|origin| origin.amr.as_deref()).map(Words),
            sid: self.origin.and_then(|origin| origin.sid.as_deref()),
            nonce: self.nonce,
        };
        key.jwt(TokenType::IdToken, &claims)
    }
}
