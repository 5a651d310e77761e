//! Clients that prove themselves by certificate (RFC 8705), and what `server.tls` has to say for them.

use super::registered_client::RawClient;
use super::root::Config;
use crate::certificate_name::{CertificateName, NameKind};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;

/// By which certificate a client is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// One of `server.tls.client_ca_file` with this name (`tls_client_auth`).
    Named(CertificateName),
    /// One that is beside its keys, whoever issued it (`self_signed_tls_client_auth`).
    OfItsKeys,
}

impl RawClient {
    const fn names(&self) -> [(NameKind, Option<&String>); 5] {
        [
            (NameKind::SubjectDn, self.tls_client_auth_subject_dn.as_ref()),
            (NameKind::SanDns, self.tls_client_auth_san_dns.as_ref()),
            (NameKind::SanUri, self.tls_client_auth_san_uri.as_ref()),
            (NameKind::SanIp, self.tls_client_auth_san_ip.as_ref()),
            (NameKind::SanEmail, self.tls_client_auth_san_email.as_ref()),
        ]
    }

    /// The names of certificates that are given, of which there is one at most.
    pub(super) fn given_names(&self) -> impl Iterator<Item = &'static str> {
        self.names().into_iter().filter(|(_, text)| text.is_some()).map(|(kind, _)| kind.as_str())
    }

    pub(super) fn certificate(&self, at: &Key, to: &mut Checker<'_>) -> Option<ClientCertificate> {
        if self.self_signed_tls_client_auth {
            if self.jwks_file.is_none() && self.jwks_uri.is_none() {
                let key = at.name("self_signed_tls_client_auth");
                let problem = "needs the client's certificates, each in x5c of a key";
                let finding = Finding::error(FindingCode::Missing, &key, problem);
                to.add(finding.hint("give jwks_file or jwks_uri"));
            }
            return Some(ClientCertificate::OfItsKeys);
        }
        let (kind, text) = self.names().into_iter().find_map(|(kind, text)| Some((kind, text?)))?;
        match CertificateName::parse(kind, text) {
            Ok(name) => Some(ClientCertificate::Named(name)),
            Err(error) => {
                to.refuse(&at.name(kind.as_str()), text, error, kind.allowed());
                None
            }
        }
    }
}

/// A client whose certificate nobody asks for, or nobody can check, could never get anything.
pub(super) fn check_client_tls(config: &Config, to: &mut Checker<'_>) {
    let tls = config.server.tls.as_ref();
    let authorities = tls.is_some_and(|tls| tls.client_ca_file.is_some());
    let self_signed = tls.is_some_and(|tls| tls.self_signed_client_certificates);
    let key = Key::default().name("authorization_server").name("client");
    for client in &config.authorization_server.clients {
        let (problem, hint) = match &client.certificate {
            Some(ClientCertificate::Named(name)) if !authorities => (
                format!("has {}, and nobody says who issues certificates", name.kind().as_str()),
                "set server.tls.client_ca_file: TLS has to end here",
            ),
            Some(ClientCertificate::OfItsKeys) if !self_signed => (
                "has self_signed_tls_client_auth, and no such certificate is asked for".to_owned(),
                "set server.tls.self_signed_client_certificates = true: TLS has to end here",
            ),
            _ if client.certificate_bound && !authorities && !self_signed => (
                "has tls_client_certificate_bound_access_tokens, and no certificate is asked for"
                    .to_owned(),
                "set server.tls.client_ca_file or server.tls.self_signed_client_certificates: TLS has to end here",
            ),
            _ if client.certificate_bound && client.dpop_bound => (
                "has dpop_bound_access_tokens and tls_client_certificate_bound_access_tokens"
                    .to_owned(),
                "keep one of the two: a token is bound to one thing",
            ),
            _ => continue,
        };
        let problem = format!("`{}` {problem}", client.client_id);
        to.add(Finding::error(FindingCode::Conflict, &key, problem).hint(hint));
    }
}
