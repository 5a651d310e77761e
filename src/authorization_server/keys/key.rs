//! One signing key.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::authorization_server::access_token::MintError;
use crate::secret_text::SecretText;

use super::algorithm::SigningAlgorithm;
use super::signer::Signer;

/// A private key with its name and its public half.
#[derive(Clone)]
pub(in crate::authorization_server) struct SigningKey {
    /// RFC 7638 thumbprint of the public half.
    pub(in crate::authorization_server) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    signer: Arc<Signer>,
    /// The JOSE header of each type, encoded.
    headers: [(TokenType, Arc<str>); 5],
    pub(super) public: Jwk,
}

/// `typ` of what we sign (RFC 8725 §3.11): none may be taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authorization_server) enum TokenType {
    /// `at+jwt` (RFC 9068 §2.1)
    AccessToken,
    /// `JWT`
    IdToken,
    /// `broker-identity+jwt`, which no other product issues.
    Identity,
    /// `token-introspection+jwt` (RFC 9701 §5)
    Introspection,
    /// `logout+jwt` (OIDC Back-Channel Logout §2.4)
    LogoutToken,
}

impl TokenType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::IdToken => "JWT",
            Self::Identity => "broker-identity+jwt",
            Self::Introspection => "token-introspection+jwt",
            Self::LogoutToken => "logout+jwt",
        }
    }

    fn header(self, algorithm: SigningAlgorithm, kid: &str) -> (Self, Arc<str>) {
        let header = json!({ "typ": self.as_str(), "alg": algorithm.as_str(), "kid": kid });
        (self, URL_SAFE_NO_PAD.encode(header.to_string()).into())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.kid).finish()
    }
}

impl SigningKey {
    /// `der` is PKCS #8. The public half and the name come from the private one, never from what was stored beside it:
    /// who may write to the store must not be able to put a public key of their own beside ours.
    pub(super) fn parse(algorithm: SigningAlgorithm, der: &[u8]) -> Option<Self> {
        let private = match algorithm {
            SigningAlgorithm::Es256 => EncodingKey::from_ec_der(der),
            SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(der),
            // jsonwebtoken takes PKCS #8 for RSA as PEM only.
            SigningAlgorithm::Rs256 => EncodingKey::from_rsa_pem(pem(der).as_bytes()).ok()?,
        };
        let mut public = Jwk::from_encoding_key(&private, algorithm.jws()).ok()?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).ok()?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let signer = Arc::new(Signer::parse(algorithm, der)?);
        let types = [
            TokenType::AccessToken,
            TokenType::IdToken,
            TokenType::Identity,
            TokenType::Introspection,
            TokenType::LogoutToken,
        ];
        let headers = types.map(|typ| typ.header(algorithm, &kid));
        Some(Self { kid, algorithm, signer, headers, public })
    }

    /// Signs `claims` as a JWT of this type.
    ///
    /// # Errors
    ///
    /// [`MintError::Sign`]
    pub(in crate::authorization_server) fn jwt(
        &self,
        typ: TokenType,
        claims: &impl Serialize,
    ) -> Result<SecretText, MintError> {
        let header = self.headers.iter().find(|(known, _)| *known == typ);
        let payload = serde_json::to_vec(claims).ok();
        let token = header
            .zip(payload)
            .and_then(|((_, header), payload)| self.signer.jws(header, &payload));
        token.map(SecretText::new).ok_or(MintError::Sign)
    }
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
    for line in body.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}
