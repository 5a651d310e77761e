//! One signing key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use zeroize::Zeroizing;

use super::algorithm::SigningAlgorithm;

/// A private key with its name and its public half.
#[derive(Clone)]
pub(in crate::authorization_server) struct SigningKey {
    /// RFC 7638 thumbprint of the public half.
    pub(in crate::authorization_server) kid: String,
    pub(in crate::authorization_server) algorithm: Algorithm,
    pub(in crate::authorization_server) private: EncodingKey,
    pub(super) public: Jwk,
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
        let algorithm = algorithm.jws();
        let mut public = Jwk::from_encoding_key(&private, algorithm).ok()?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).ok()?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Some(Self { kid, algorithm, private, public })
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
