//! Signing JWTs with a key that was read once: reading a private key costs more than signing with it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::SigningAlgorithm;

/// A private key, ready to sign.
pub(super) enum Signer {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    /// `der` is PKCS #8 (RFC 5958).
    pub(super) fn parse(algorithm: SigningAlgorithm, der: &[u8]) -> Option<Self> {
        Some(match algorithm {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
                Self::Es256(pair.ok()?)
            }
            SigningAlgorithm::EdDsa => Self::EdDsa(Ed25519KeyPair::from_pkcs8(der).ok()?),
            SigningAlgorithm::Rs256 => Self::Rs256(RsaKeyPair::from_pkcs8(der).ok()?),
        })
    }

    /// JWS compact serialisation (RFC 7515 §7.1); `header` is encoded already.
    pub(super) fn jws(&self, header: &str, payload: &[u8]) -> Option<String> {
        // Of a signature of ours, at most 342 characters.
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 350);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signed = token.len();
        token.push('.');
        let input = token.get(..signed)?.as_bytes();
        let signature = self.sign(input)?;
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Es256(pair) => {
                Some(pair.sign(&SystemRandom::new(), input).ok()?.as_ref().to_vec())
            }
            Self::EdDsa(pair) => Some(pair.sign(input).as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}
