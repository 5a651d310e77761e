//! Who calls, told to a server behind us. Never an access token: no resource takes its `typ`.

use serde::Serialize;

use crate::id::{ClientId, Issuer, Subject};
use crate::random::Random;
use crate::scope::Scope;
use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::access_token::MintError;
use super::keys::{SigningKeys, TokenType};

/// How long one is good, in seconds: for the call that it comes with.
const SECONDS: i64 = 60;

/// One to be signed.
#[derive(Clone, Copy, Debug)]
pub struct NewIdentityToken<'a> {
    /// We.
    pub issuer: &'a Issuer,
    /// The server it is for, by its URL in the settings: no other may take it.
    pub audience: &'a str,
    /// Who issued the caller's token: within it `subject` and `client_id` mean something.
    pub caller_issuer: &'a Issuer,
    pub subject: Option<&'a Subject>,
    pub client_id: Option<&'a ClientId>,
    pub scope: &'a Scope,
    /// As the caller's issuer says; not checked by us.
    pub email: Option<&'a str>,
    pub issued_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    aud: &'a str,
    caller_iss: &'a Issuer,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a Subject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ClientId>,
    scope: &'a Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    iat: i64,
    exp: i64,
    jti: String,
}

impl NewIdentityToken<'_> {
    /// Signs with our own key, as `typ: broker-identity+jwt` (RFC 8725 §3.11), good for 60 s.
    ///
    /// # Errors
    ///
    /// [`MintError`]
    pub fn sign(&self, keys: &SigningKeys, random: &dyn Random) -> Result<SecretText, MintError> {
        let key = keys.signing().ok_or(MintError::NoKey)?;
        let iat = self.issued_at.unix_seconds();
        let claims = Claims {
            iss: self.issuer,
            aud: self.audience,
            caller_iss: self.caller_issuer,
            sub: self.subject,
            client_id: self.client_id,
            scope: self.scope,
            email: self.email,
            iat,
            exp: iat.saturating_add(SECONDS),
            jti: random.uuid_v7(self.issued_at).to_string(),
        };
        key.jwt(TokenType::Identity, &claims)
    }
}
