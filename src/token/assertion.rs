//! Client assertions: a JWT that proves possession of a key (RFC 7523 §2.2), and one that others made.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;

use crate::code::Code;
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::error::Detail;

/// How long an assertion is valid. Microsoft advises 5 to 10 minutes.
const LIFETIME_SECONDS: i64 = 300;
/// The largest federated token that is read.
const MAX_FEDERATED_TOKEN: usize = 64 * 1024;

/// Public certificates, the app's own first. Holds no key.
#[derive(Clone, Debug)]
pub struct CertificateChain {
    thumbprint: Arc<str>,
    chain: Arc<[String]>,
}

/// Why an assertion cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AssertionError {
    #[error("the certificate file holds no PEM certificate")]
    NoCertificate,
    #[error("the private key is not an RSA key in PEM (PKCS #8 or PKCS #1)")]
    PrivateKey,
    #[error("the private key is not that of the certificate")]
    OtherKey,
    #[error("the federated token file cannot be read")]
    TokenFile(#[source] Arc<std::io::Error>),
    #[error("the federated token file does not hold one JWT")]
    TokenFileContent,
}

impl AssertionError {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NoCertificate | Self::PrivateKey | Self::OtherKey => Code::ProviderAuthFailed,
            Self::TokenFile(_) | Self::TokenFileContent => Code::SecretUnavailable,
        }
    }

    pub(super) const fn detail(&self) -> Detail {
        match self {
            Self::NoCertificate | Self::PrivateKey | Self::OtherKey => Detail::PrivateKeyUnusable,
            Self::TokenFile(_) | Self::TokenFileContent => Detail::FederatedTokenFile,
        }
    }
}

impl CertificateChain {
    /// Reads PEM; anything that is not a certificate is skipped.
    ///
    /// # Errors
    ///
    /// [`AssertionError::NoCertificate`]
    pub fn from_pem(pem: &[u8]) -> Result<Self, AssertionError> {
        let found: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| AssertionError::NoCertificate)?;
        let own = found.first().ok_or(AssertionError::NoCertificate)?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, own)).into();
        Ok(Self { thumbprint, chain: found.iter().map(|der| STANDARD.encode(der)).collect() })
    }

    /// Whether an assertion can be signed with this key, as PEM, and the first certificate is about it.
    ///
    /// # Errors
    ///
    /// [`AssertionError::PrivateKey`], [`AssertionError::OtherKey`]
    pub fn fits(&self, key: &SecretText) -> Result<(), AssertionError> {
        let pem = key.expose().as_bytes();
        EncodingKey::from_rsa_pem(pem).map_err(|_| AssertionError::PrivateKey)?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| AssertionError::PrivateKey)?;
        let key = any_supported_type(&key).map_err(|_| AssertionError::PrivateKey)?;
        let own = self.chain.first().and_then(|own| STANDARD.decode(own).ok());
        let own = CertificateDer::from(own.ok_or(AssertionError::NoCertificate)?);
        match CertifiedKey::new(vec![own], key).keys_match() {
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(AssertionError::OtherKey)
            }
            // Where the certificate itself is odd, only Entra can say.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// `x5t#S256` (RFC 7515 §4.1.8).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}

/// Who asserts what to whom, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assertion<'a> {
    pub(super) client_id: &'a str,
    pub(super) audience: &'a str,
    pub(super) now: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Assertion<'_> {
    /// Signs with PS256 and names the certificate by `x5t#S256`, as Entra's "certificate credentials"
    /// page asks. Does not check that the key belongs to the certificate: Entra says so (AADSTS700027).
    pub(super) fn sign(
        self,
        chain: &CertificateChain,
        send_chain: bool,
        key: &SecretText,
        random: &dyn Random,
    ) -> Result<SecretText, AssertionError> {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(chain.thumbprint.as_ref().to_owned());
        header.x5c = send_chain.then(|| chain.chain.to_vec());
        let iat = self.now.unix_seconds();
        let claims = Claims {
            aud: self.audience,
            iss: self.client_id,
            sub: self.client_id,
            jti: random.uuid_v7(self.now).to_string(),
            iat,
            nbf: iat,
            exp: iat.saturating_add(LIFETIME_SECONDS),
        };
        let key = EncodingKey::from_rsa_pem(key.expose().as_bytes())
            .map_err(|_| AssertionError::PrivateKey)?;
        let jwt = jsonwebtoken::encode(&header, &claims, &key);
        jwt.map(SecretText::new).map_err(|_| AssertionError::PrivateKey)
    }
}

/// Reads a federated token; called at every mint, because the platform replaces the file.
///
/// Checks its shape only: whether it is signed, current and for us is Entra's to judge.
///
/// # Errors
///
/// [`AssertionError::TokenFile`], [`AssertionError::TokenFileContent`]
pub async fn federated(path: &Path) -> Result<SecretText, AssertionError> {
    let text = tokio::fs::read_to_string(path).await;
    let text = SecretText::new(text.map_err(|error| AssertionError::TokenFile(Arc::new(error)))?);
    let token = text.expose().trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let jwt = token.split('.').count() == 3 && token.bytes().all(plain);
    if jwt && token.len() <= MAX_FEDERATED_TOKEN {
        Ok(SecretText::new(token.to_owned()))
    } else {
        Err(AssertionError::TokenFileContent)
    }
}
