//! Tokens that are bound to a certificate (RFC 8705 §3): whoever presents one holds the certificate's key, which TLS has
//! had proven when the connection was made.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// The certificate with which the other end of a connection proved its key. Cheap to clone.
///
/// Whoever ends TLS puts it into the extensions of each request of that connection, and takes it from there alone: never
/// out of a header, which anybody can write. It says nothing of who issued the certificate, nor whether it is still valid.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate(Arc<Presented>);

#[derive(PartialEq, Eq)]
struct Presented {
    /// DER, its own first.
    chain: Vec<Vec<u8>>,
    thumbprint: String,
}

impl ClientCertificate {
    /// Of what came with the handshake, each as DER, the sender's own first. `None` where none came.
    #[must_use]
    pub fn new(chain: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let chain: Vec<Vec<u8>> = chain.into_iter().collect();
        let thumbprint = certificate_thumbprint(chain.first()?);
        Some(Self(Arc::new(Presented { chain, thumbprint })))
    }

    /// As DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.0.chain.first().map_or(&[], Vec::as_slice)
    }

    /// The others that came with it, as DER: between it and who issued it, or anything else.
    pub fn intermediates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.chain.iter().skip(1).map(Vec::as_slice)
    }

    /// What `x5t#S256` has of it (RFC 8705 §3.1).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.thumbprint())
    }
}

/// SHA-256 of the DER, in base64url without padding.
fn certificate_thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

/// Of the certificate beside a key of a set, the first of `x5c` (RFC 7517 §4.7): DER in base64, not base64url.
pub(super) fn thumbprint_of_x5c(key: &Value) -> Option<String> {
    let first = key.get("x5c")?.as_array()?.first()?.as_str()?;
    STANDARD.decode(first).ok().map(|der| certificate_thumbprint(&der))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8705 §3.1
    #[test]
    fn a_certificate_is_known_by_the_digest_of_its_der() {
        let certificate = ClientCertificate::new([b"abc".to_vec(), b"issuer".to_vec()]).unwrap();
        assert_eq!(certificate.thumbprint(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(certificate.der(), b"abc");
        assert_eq!(certificate.intermediates().collect::<Vec<_>>(), [b"issuer"]);
        assert!(ClientCertificate::new([]).is_none());
    }
}
