//! Clients that prove themselves by certificate (RFC 8705 §2).

use serde_json::Value;

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::certificate_name::{CertificateName, NameKind};

use super::NewClient;

impl NewClient {
    /// The names of its certificate that were given, of which there is to be one.
    pub(super) fn certificate_names(&self) -> impl Iterator<Item = (NameKind, &str)> {
        let given = [
            (NameKind::SubjectDn, &self.tls_client_auth_subject_dn),
            (NameKind::SanDns, &self.tls_client_auth_san_dns),
            (NameKind::SanUri, &self.tls_client_auth_san_uri),
            (NameKind::SanIp, &self.tls_client_auth_san_ip),
            (NameKind::SanEmail, &self.tls_client_auth_san_email),
        ];
        given.into_iter().filter_map(|(kind, text)| Some((kind, text.as_deref()?)))
    }
}

/// Which certificates of clients are asked for where TLS ends here (`server.tls`).
#[derive(Clone, Copy, Debug, Default)]
pub struct CertificatesAsked {
    /// Those of an authority.
    pub of_authorities: bool,
    /// Those that nobody issued.
    pub self_signed: bool,
}

impl CertificatesAsked {
    /// A client whose certificate nobody asks for, or nobody can check, could never get anything.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]
    pub(super) fn check(self, new: &NewClient) -> Result<(), AdminError> {
        let named = new.certificate_names().next().map(|(kind, _)| kind.as_str());
        let (field, problem, allowed) = match named {
            Some(kind) if !self.of_authorities => (
                kind,
                "is given, and nobody says who issues certificates to clients",
                "none, until the settings have server.tls.client_ca_file: TLS has to end at the broker",
            ),
            _ if new.self_signed_tls_client_auth && !self.self_signed => (
                "self_signed_tls_client_auth",
                "is given, and no such certificate is asked for",
                "without it, until the settings have server.tls.self_signed_client_certificates = true: TLS has to end at the broker",
            ),
            _ if new.tls_client_certificate_bound_access_tokens
                && !self.of_authorities
                && !self.self_signed =>
            {
                (
                    "tls_client_certificate_bound_access_tokens",
                    "is given, and no certificate is asked for",
                    "without it, until the settings have server.tls.client_ca_file or server.tls.self_signed_client_certificates: TLS has to end at the broker",
                )
            }
            _ => return Ok(()),
        };
        Err(AdminError::Invalid { field, problem, allowed })
    }
}

/// # Errors
///
/// [`AdminError::Invalid`]
pub(super) fn check_certificate(new: &NewClient) -> Result<(), AdminError> {
    let invalid = |field, problem, allowed| Err(AdminError::Invalid { field, problem, allowed });
    let keys = new.jwks.is_some() || new.jwks_uri.is_some();
    let mut names = new.certificate_names();
    match (names.next(), names.next()) {
        (Some((_, _)), Some((kind, _))) => {
            let allowed = "exactly one name of a certificate (RFC 8705 §2.1.2)";
            return invalid(kind.as_str(), "is a second name", allowed);
        }
        (Some((kind, _)), None) if keys || new.self_signed_tls_client_auth => {
            let allowed = "the name of a certificate, or keys";
            return invalid(kind.as_str(), "does not go with keys", allowed);
        }
        (Some((kind, text)), None) => {
            if CertificateName::parse(kind, text).is_err() {
                return invalid(kind.as_str(), "is not a name of this kind", kind.allowed());
            }
        }
        (None, _) => {}
    }
    if !new.self_signed_tls_client_auth {
        return Ok(());
    }
    let listed = new.jwks.as_ref().map(input::has_certificates);
    if !listed.unwrap_or(new.jwks_uri.is_some()) {
        let allowed = "with jwks that has its certificate in x5c, or with jwks_uri";
        let problem = "needs the certificate of the client";
        return invalid("self_signed_tls_client_auth", problem, allowed);
    }
    Ok(())
}

pub(super) fn add_certificate(metadata: &mut Value, new: &NewClient) {
    let Some(metadata) = metadata.as_object_mut() else { return };
    for (kind, text) in new.certificate_names() {
        metadata.insert(kind.as_str().to_owned(), text.into());
    }
    if new.tls_client_certificate_bound_access_tokens {
        metadata.insert("tls_client_certificate_bound_access_tokens".to_owned(), true.into());
    }
}
