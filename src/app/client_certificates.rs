//! Certificates of clients (RFC 8705), from the settings.

use crate::authorization_server::{Authorities, CertificateRule, ClientCertificates, ClientTls};
use crate::config::{self, Config};
use crate::resource_server::AssertionKeys;

use super::error::AppError;

/// What is asked for where TLS ends here.
///
/// # Errors
///
/// [`AppError::Serve`] where the certificates of the authorities cannot be read
pub(super) fn asked_for(config: &Config) -> Result<ClientCertificates, AppError> {
    let Some(tls) = &config.server.tls else { return Ok(ClientCertificates::default()) };
    let authorities = match &tls.client_ca_file {
        Some(path) => Authorities::new(crate::http::authorities(path)?),
        None => None,
    };
    Ok(ClientCertificates { authorities, self_signed: tls.self_signed_client_certificates })
}

/// By which certificate a client of the settings is known.
pub(super) fn of(known: &config::RegisteredClient) -> ClientTls {
    let certificate = known.certificate.as_ref().map(|certificate| match certificate {
        config::ClientCertificate::Named(name) => CertificateRule::Named(name.clone()),
        config::ClientCertificate::OfItsKeys => CertificateRule::OfItsKeys,
    });
    ClientTls { certificate, bound: known.certificate_bound }
}

/// Whether keys that come with the settings have the certificate that their client is to be known by.
///
/// # Errors
///
/// [`AppError::NoClientCertificate`]
pub(super) fn check(
    known: &config::RegisteredClient,
    keys: &AssertionKeys,
) -> Result<(), AppError> {
    let needed = matches!(known.certificate, Some(config::ClientCertificate::OfItsKeys));
    if needed && !keys.has_certificates() {
        return Err(AppError::NoClientCertificate(known.client_id.clone()));
    }
    Ok(())
}
