//! One server whose certificate is at hand: recognised by it, whatever name or address it is reached at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::OutboundConfigError;

/// A server of ours that ends TLS with this certificate.
#[derive(Clone, Debug)]
pub struct KnownServer {
    /// PEM: its own certificate, then those that it was issued with.
    pub certificate: PathBuf,
    /// PEM certificates of who may have issued another for it.
    pub ca_file: Option<PathBuf>,
    /// The name that another certificate has to be for.
    pub name: String,
}

impl KnownServer {
    /// What such a server is recognised with.
    ///
    /// # Errors
    ///
    /// [`OutboundConfigError`] when a file holds no certificate, or cannot be read.
    pub(super) fn tls(&self) -> Result<rustls::ClientConfig, OutboundConfigError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut chain = certificates(&self.certificate)?.into_iter();
        let own = chain.next();
        let mut issuers = RootCertStore::empty();
        issuers.add_parsable_certificates(chain);
        if let Some(path) = &self.ca_file {
            issuers.add_parsable_certificates(certificates(path)?);
        }
        let issued = match ServerName::try_from(self.name.clone()) {
            Ok(name) if !issuers.is_empty() => {
                let verifier = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(issuers),
                    Arc::clone(&provider),
                );
                verifier.build().ok().map(|verifier| (verifier, name))
            }
            Ok(_) | Err(_) => None,
        };
        let verifier = Verifier { own, issued, provider: Arc::clone(&provider) };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(OutboundConfigError::Tls)?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(config.with_no_client_auth())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OutboundConfigError> {
    let pem = std::fs::read(path).map_err(|source| OutboundConfigError::Certificate {
        path: path.to_owned(),
        source: Some(source),
    })?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(OutboundConfigError::Certificate { path: path.to_owned(), source: None }),
    }
}

/// Lets through the certificate itself, and one that its issuers made for the name: the server goes on showing the one that
/// it was started with after the file was renewed.
#[derive(Debug)]
struct Verifier {
    own: Option<CertificateDer<'static>>,
    issued: Option<(Arc<WebPkiServerVerifier>, ServerName<'static>)>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    /// Does *not* look at the dates and the name of the very certificate that is known: whoever shows it and signs with its
    /// key is the server.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _reached_at: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.as_ref() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.issued {
            Some((verifier, name)) => {
                verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
