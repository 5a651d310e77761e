//! Certificates of clients, where TLS ends here (RFC 8705): asked for and never demanded, so browsers go on as before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConnection,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;

use crate::resource_server::ClientCertificate;

use super::serve::{ServeError, pem_fault};

const KEY: &str = "server.tls.client_ca_file";

/// `server.tls`, where it is about clients.
#[derive(Clone, Debug, Default)]
pub struct ClientCertificates {
    /// Who issues them. Clients hear of these names, so that a browser without such a certificate asks its person nothing.
    pub authorities: Option<PathBuf>,
    /// Those that nobody issued, too: then no names are told.
    pub self_signed: bool,
}

/// Reads certificates of authorities.
///
/// # Errors
///
/// [`ServeError`] naming the file.
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, ServeError> {
    let fault = |error| pem_fault(KEY, path, error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(fault)? {
        let unusable = |source| ServeError::NotAnAuthority { path: path.to_owned(), source };
        roots.add(certificate.map_err(fault)?).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(ServeError::NotPem { key: KEY, path: path.to_owned() });
    }
    Ok(Arc::new(roots))
}

/// Of a client's certificate and those that it sends with it: five of 4 KiB.
const MAX_CHAIN_BYTES: usize = 20 * 1024;

/// That of this connection, resumed or not.
pub(super) fn of(connection: &ServerConnection) -> Option<ClientCertificate> {
    let chain = connection.peer_certificates()?;
    ClientCertificate::new(chain.iter().map(|certificate| certificate.to_vec()))
}

/// Has the key proven and judges nothing else: who the certificate is of, who issued it and whether it is still valid is
/// asked where somebody is to be known by it, at each request. A session that is resumed a day later, with its
/// certificate, would be asked nothing here.
#[derive(Debug)]
pub(super) struct KeyProven {
    provider: Arc<CryptoProvider>,
    names: Vec<DistinguishedName>,
}

impl KeyProven {
    /// `None` where clients are asked for nothing.
    ///
    /// # Errors
    ///
    /// Those of [`authorities`].
    pub(super) fn new(
        asked: &ClientCertificates,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<Self>>, ServeError> {
        let issuers = asked.authorities.as_deref().map(authorities).transpose()?;
        let names = match &issuers {
            Some(issuers) if !asked.self_signed => issuers.subjects(),
            Some(_) => Vec::new(),
            None if asked.self_signed => Vec::new(),
            None => return Ok(None),
        };
        Ok(Some(Arc::new(Self { provider: Arc::clone(provider), names })))
    }
}

impl ClientCertVerifier for KeyProven {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        unverified: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // They are kept for as long as the connection is, and anybody may send them.
        let lengths = intermediates.iter().map(|other| other.len());
        let bytes = lengths.fold(unverified.len(), usize::saturating_add);
        if bytes > MAX_CHAIN_BYTES {
            return Err(Error::General("the client's certificates are too long".to_owned()));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
