//! Who calls, told to a server behind us. Never an access token: no resource takes its `typ`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::id::{ClientId, Issuer, Subject};
use crate::random::Random;
use crate::scope::Scope;
use crate::secret_text::SecretText;
use crate::store::Digest;
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
    /// Who issued the caller's token: within it `client_id` means something.
    pub caller_issuer: &'a Issuer,
    /// As the caller's issuer says.
    pub subject: Option<&'a Subject>,
    pub client_id: Option<&'a ClientId>,
    pub scope: &'a Scope,
    /// As the caller's issuer says; not checked by us. Whether that checked it is in `email_verified`.
    pub email: Option<&'a str>,
    pub email_verified: bool,
    pub issued_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    aud: &'a str,
    caller_iss: &'a Issuer,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Cow<'a, str>>,
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
            sub: self.sub(),
            client_id: self.client_id,
            scope: self.scope,
            email: self.email(),
            iat,
            exp: iat.saturating_add(SECONDS),
            jti: random.uuid_v7(self.issued_at).to_string(),
        };
        key.jwt(TokenType::Identity, &claims)
    }

    fn is_ours(&self) -> bool {
        self.caller_issuer == self.issuer
    }

    /// Others may let people write down whose address they like.
    fn email(&self) -> Option<&str> {
        self.email.filter(|_| self.is_ours() || self.email_verified)
    }

    /// A subject is unique within its issuer alone (RFC 7519 §4.1.2), and here that is us: another's gets a name that no
    /// one of ours, and nobody of a third one, has.
    fn sub(&self) -> Option<Cow<'_, str>> {
        let subject = self.subject?.as_str();
        if self.is_ours() {
            return Some(Cow::Borrowed(subject));
        }
        let parts = [self.caller_issuer.as_str(), subject];
        // Lengths first: no two different lists of parts are the same bytes.
        let lengths = parts.iter().flat_map(|part| (part.len() as u64).to_be_bytes());
        let bytes: Vec<u8> = lengths.chain(parts.iter().flat_map(|part| part.bytes())).collect();
        Some(Cow::Owned(URL_SAFE_NO_PAD.encode(Digest::of_bytes(&bytes).as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(caller_issuer: &str, subject: &str, email_verified: bool) -> (String, bool) {
        let (issuer, subject) = ("https://us.example".parse().unwrap(), subject.parse().unwrap());
        let token = NewIdentityToken {
            issuer: &issuer,
            audience: "https://server.example/mcp",
            caller_issuer: &caller_issuer.parse().unwrap(),
            subject: Some(&subject),
            client_id: None,
            scope: &Scope::default(),
            email: Some("ada@us.example"),
            email_verified,
            issued_at: Timestamp::default(),
        };
        (token.sub().unwrap().into_owned(), token.email().is_some())
    }

    fn sub(caller_issuer: &str, subject: &str) -> String {
        said(caller_issuer, subject, false).0
    }

    #[test]
    fn an_address_that_nobody_checked_is_not_told() {
        assert!(said("https://us.example", "ada", false).1);
        assert!(!said("https://a.example", "ada", false).1);
        assert!(said("https://a.example", "ada", true).1);
    }

    #[test]
    fn people_of_two_issuers_are_never_one() {
        let ours = sub("https://us.example", "ada");
        let (one, other) = (sub("https://a.example", "ada"), sub("https://b.example", "ada"));
        assert_eq!(ours, "ada");
        assert!(one != other && one != ours && other != ours);
        assert_eq!(one, sub("https://a.example", "ada"), "it is the same at each call");
        assert_ne!(sub("https://a.example", "xada"), sub("https://a.examplex", "ada"));
        assert_ne!(sub("https://us.example", &one), sub("https://b.example", "ada"));
    }
}
