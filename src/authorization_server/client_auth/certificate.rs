//! `tls_client_auth` and `self_signed_tls_client_auth`: a client proves itself by the certificate of its connection (RFC
//! 8705 §2). TLS has had the key proven; here it is asked whose it is, at each request anew.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::authorization_server::client::{AuthMethod, Client};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::resource_server::{ClientCertificate, TokenError};
use crate::time::Timestamp;

use super::{REFUSED, Sender, assertion};

/// Which certificates of clients are asked for where TLS ends here.
#[derive(Clone, Debug, Default)]
pub struct ClientCertificates {
    /// Those of an authority (`tls_client_auth`).
    pub authorities: Option<Authorities>,
    /// Of any kind (`self_signed_tls_client_auth`).
    pub self_signed: bool,
}

impl ClientCertificates {
    /// Whether a token could be bound to any (RFC 8705 §3).
    pub(in crate::authorization_server) const fn are_asked_for(&self) -> bool {
        self.authorities.is_some() || self.self_signed
    }

    /// Whether a client can prove itself here by this method.
    pub(in crate::authorization_server) const fn serve(&self, method: AuthMethod) -> bool {
        match method {
            AuthMethod::TlsClientAuth => self.authorities.is_some(),
            AuthMethod::SelfSignedTlsClientAuth => self.self_signed,
            AuthMethod::None
            | AuthMethod::ClientSecretBasic
            | AuthMethod::ClientSecretPost
            | AuthMethod::PrivateKeyJwt => true,
        }
    }
}

/// Certificates between a client's and its authority's. Anybody may send a chain, and of many that could each be the next
/// one's issuer every order would be tried.
const MOST_BETWEEN: usize = 4;

/// Who issues certificates to clients.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<dyn ClientCertVerifier>);

impl Authorities {
    /// `None` where there is none among them. Does *not* look at lists of revoked certificates: a client is disabled here.
    #[must_use]
    pub fn new(roots: Arc<RootCertStore>) -> Option<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        verifier.build().ok().map(Self)
    }

    /// Whether one of them issued this certificate, for clients, and it is valid now (RFC 5280 §6).
    fn vouch_for(&self, certificate: &ClientCertificate, now: Timestamp) -> bool {
        if certificate.intermediates().nth(MOST_BETWEEN).is_some() {
            return false;
        }
        let leaf = CertificateDer::from(certificate.der());
        let between: Vec<_> = certificate.intermediates().map(CertificateDer::from).collect();
        let now = u64::try_from(now.unix_seconds()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        self.0.verify_client_cert(&leaf, &between, now).is_ok()
    }
}

/// Checks that the connection has the certificate of `client`.
///
/// # Errors
///
/// [`REFUSED`]; [`OAuthError::Unavailable`] while the client's keys cannot be had
pub(super) async fn check(
    server: &AuthorizationServer,
    sender: Sender<'_>,
    client: &Client,
) -> Result<(), OAuthError> {
    let certificate = sender.certificate.ok_or(REFUSED)?;
    let asked = &server.settings.client_certificates;
    let by = |method| client.auth_methods().contains(&method) && asked.serve(method);
    if by(AuthMethod::TlsClientAuth) && is_named(server, client, certificate) {
        return Ok(());
    }
    if !by(AuthMethod::SelfSignedTlsClientAuth) {
        return Err(REFUSED);
    }
    let keys = assertion::keys(server, client)?;
    let may_fetch = || assertion::may_fetch(server, sender.address, client, &keys);
    match keys.lists_certificate(certificate, may_fetch).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(REFUSED),
        Err(TokenError::IssuerUnavailable) => {
            Err(OAuthError::Unavailable("the client's key set cannot be read now"))
        }
        Err(_wrong) => Err(REFUSED),
    }
}

/// The name first, which costs nothing; it is worth something only with who issued it.
fn is_named(
    server: &AuthorizationServer,
    client: &Client,
    certificate: &ClientCertificate,
) -> bool {
    let name = client.certificate_name().is_some_and(|name| name.is_in(certificate.der()));
    let authorities = &server.settings.client_certificates.authorities;
    let now = server.clock.now();
    name && authorities.as_ref().is_some_and(|known| known.vouch_for(certificate, now))
}
