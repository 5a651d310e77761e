//! Access tokens (RFC 9068): what is in them and how they are signed.

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::id::{ClientId, GrantId, Issuer, Subject};
use crate::random::Random;
use crate::scope::Scope;
use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::confirmation::Confirmation;
use super::derived::{Actor, Origin};
use super::keys::{SigningKey, SigningKeys, TokenType};

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("there is no signing key")]
    NoKey,
    #[error("the token could not be signed")]
    Sign,
}

/// A token to be signed. One audience: a token for two resources is worth twice to a thief.
#[derive(Clone, Debug)]
pub struct NewAccessToken {
    pub issuer: Issuer,
    /// The resource that the token is for (RFC 8707 §2).
    pub audience: String,
    pub subject: Subject,
    pub client_id: ClientId,
    pub scope: Scope,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// RFC 9068 §2.2. `exp` and `iat` are seconds since the epoch.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    aud: &'a str,
    sub: &'a Subject,
    client_id: &'a ClientId,
    scope: &'a Scope,
    iat: i64,
    exp: i64,
    jti: &'a str,
    #[serde(flatten)]
    behind: &'a Behind<'a>,
}

/// What stands behind a token, where that is more than a client (RFC 9068 §2.2.1, §2.2.3.1).
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Behind<'a> {
    /// By which its revocation is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grant_id: Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub(super) auth_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acr: Option<&'a str>,
    /// RFC 8176
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amr: Option<Words<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) groups: &'a [String],
    /// Groups were left out: Entra's name for it, which every reader of ours knows.
    #[serde(rename = "hasgroups", skip_serializing_if = "std::ops::Not::not")]
    pub(super) groups_incomplete: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) roles: &'a [String],
    /// Roles were left out: a name of ours, like that of groups.
    #[serde(rename = "hasroles", skip_serializing_if = "std::ops::Not::not")]
    pub(super) roles_incomplete: bool,
    /// What it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<Confirmation<&'a str>>,
    /// Who acts, where it was exchanged (RFC 8693 §4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) act: Option<&'a Actor>,
    /// What it ends with.
    #[serde(skip_serializing_if = "<[Origin]>::is_empty")]
    pub(super) derived_from: &'a [Origin],
}

#[expect(clippy::ref_option, reason = "serde gives it like this")]
fn seconds<S: serde::Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    time.map(Timestamp::unix_seconds).serialize(to)
}

/// Words with spaces between, which are a list in a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a>(pub(super) &'a str);

impl Serialize for Words<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.split(' '))
    }
}

impl NewAccessToken {
    /// Signs with our own key, as `typ: at+jwt` (RFC 9068 §2.1). Gives the token and its `jti`.
    ///
    /// # Errors
    ///
    /// [`MintError`]. Does *not* check that anybody may have these scopes.
    pub fn sign(
        &self,
        keys: &SigningKeys,
        random: &dyn Random,
    ) -> Result<(SecretText, String), MintError> {
        let key = keys.signing().ok_or(MintError::NoKey)?;
        self.sign_for(&Behind::default(), key, random)
    }

    /// The same by this key, for a token that has a grant or a person behind it.
    ///
    /// # Errors
    ///
    /// As [`NewAccessToken::sign`].
    pub(super) fn sign_for(
        &self,
        behind: &Behind<'_>,
        key: &SigningKey,
        random: &dyn Random,
    ) -> Result<(SecretText, String), MintError> {
        let jti = self.jti(random);
        let token = key.jwt(TokenType::AccessToken, &self.claims(&jti, behind))?;
        Ok((token, jti))
    }

    /// Signs with a shared secret (HS256), for an issuer that is configured with one.
    ///
    /// # Errors
    ///
    /// [`MintError::Sign`]
    pub fn sign_shared(
        &self,
        secret: &SecretText,
        random: &dyn Random,
    ) -> Result<(SecretText, String), MintError> {
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        let key = EncodingKey::from_secret(secret.expose().as_bytes());
        let (jti, behind) = (self.jti(random), Behind::default());
        let token = jsonwebtoken::encode(&header, &self.claims(&jti, &behind), &key);
        Ok((SecretText::new(token.map_err(|_| MintError::Sign)?), jti))
    }

    fn jti(&self, random: &dyn Random) -> String {
        random.uuid_v7(self.issued_at).to_string()
    }

    fn claims<'a>(&'a self, jti: &'a str, behind: &'a Behind<'a>) -> Claims<'a> {
        Claims {
            iss: &self.issuer,
            aud: &self.audience,
            sub: &self.subject,
            client_id: &self.client_id,
            scope: &self.scope,
            iat: self.issued_at.unix_seconds(),
            exp: self.expires_at.unix_seconds(),
            jti,
            behind,
        }
    }
}
