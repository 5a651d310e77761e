//! Logout tokens: those that identity providers send us, and those that we send to clients (OIDC Back-Channel Logout §2.4).

use serde::Serialize;
use serde_json::{Map, Value};

use crate::authorization_server::access_token::MintError;
use crate::authorization_server::keys::{SigningKeys, TokenType};
use crate::id::{ClientId, Issuer, Subject};
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::time::Timestamp;

pub(in crate::authorization_server) const EVENT: &str =
    "http://schemas.openid.net/event/backchannel-logout";
/// How long one of ours is good, in seconds (§2.4: two minutes at most).
const SECONDS: i64 = 120;

/// One to be signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLogoutToken<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) client_id: &'a ClientId,
    pub(super) subject: &'a Subject,
    pub(super) sid: &'a str,
    pub(super) issued_at: Timestamp,
}

/// Never with `nonce`: nothing that takes ID tokens takes this for one.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    sub: &'a Subject,
    aud: &'a ClientId,
    iat: i64,
    exp: i64,
    jti: String,
    sid: &'a str,
    events: Map<String, Value>,
}

impl NewLogoutToken<'_> {
    /// Signs as `typ: logout+jwt`, with the key of ID tokens (§2.4).
    ///
    /// # Errors
    ///
    /// [`MintError`]
    pub(super) fn sign(
        &self,
        keys: &SigningKeys,
        random: &dyn Random,
    ) -> Result<SecretText, MintError> {
        let key = keys.signing().ok_or(MintError::NoKey)?;
        let iat = self.issued_at.unix_seconds();
        let claims = Claims {
            iss: self.issuer,
            sub: self.subject,
            aud: self.client_id,
            iat,
            exp: iat.saturating_add(SECONDS),
            jti: random.uuid_v7(self.issued_at).to_string(),
            sid: self.sid,
            events: [(EVENT.to_owned(), Value::Object(Map::new()))].into_iter().collect(),
        };
        key.jwt(TokenType::LogoutToken, &claims)
    }
}
