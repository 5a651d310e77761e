//! Until when certificates are good: the one that is shown under the public name, and ours where TLS ends here.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::config::{Config, GraphCredential, GraphMode, GraphProfile};
use crate::time::{Clock, Timestamp};

use super::{Area, Step};

const PATIENCE: Duration = Duration::from_secs(10);
const PROFILE: &str = "graph.profile";
const DAY: i64 = 24 * 60 * 60;
/// Whoever renews by themselves (ACME) does so a month ahead: below this it has failed.
const SOON: i64 = 21;

pub(super) async fn look(config: &Config, clock: &Arc<dyn Clock>) -> Vec<Step> {
    let mut steps = Vec::new();
    let url = &config.server.public_url;
    if url.scheme() == "https" {
        let key = "server.public_url";
        steps.push(if config.outbound.proxy.is_some() {
            let why = "how long the certificate is valid is not seen through outbound.proxy";
            Step::skipped(Area::Tls, why)
        } else {
            match shown(url).await {
                Some(found) => judge((key, "the certificate that is shown"), &found, clock.now()),
                None => Step::skipped(Area::Tls, "no certificate is shown under server.public_url"),
            }
        });
    }
    if let Some(tls) = &config.server.tls {
        let key = "server.tls.cert";
        // One that cannot be read is told by the settings' own step.
        if let Ok(found) = CertificateDer::from_pem_file(&tls.cert) {
            steps.push(judge((key, "the certificate of server.tls"), &found, clock.now()));
        }
    }
    steps.extend(profiles(config, clock));
    steps
}

/// The certificates by which the broker proves itself to Entra. Nobody connects to them, but past their end no token is given.
fn profiles(config: &Config, clock: &Arc<dyn Clock>) -> Vec<Step> {
    if config.graph.mode != GraphMode::Live {
        return Vec::new();
    }
    let of = |profile: &GraphProfile| match &profile.credential {
        // One that cannot be read is told by the check of the profiles.
        GraphCredential::Certificate { certificate, .. } => {
            let found = CertificateDer::from_pem_file(certificate).ok()?;
            let what = format!("the certificate of graph.profile `{}`", profile.name);
            Some(judge((PROFILE, what.as_str()), &found, clock.now()))
        }
        GraphCredential::ClientSecret(_)
        | GraphCredential::FederatedTokenFile(_)
        | GraphCredential::ManagedIdentity => None,
    };
    config.graph.profiles.iter().filter_map(of).collect()
}

fn judge((key, what): (&'static str, &str), found: &CertificateDer<'_>, now: Timestamp) -> Step {
    let Some((begins, ends)) = validity(found) else {
        return Step::bad(Area::Tls, key, format!("{what} is none that can be read"));
    };
    let left = ends.unix_seconds().saturating_sub(now.unix_seconds());
    if left <= 0 {
        return Step::bad(Area::Tls, key, format!("{what} has ended: {ends}")).hint(
            if key == PROFILE {
                "make another, and upload it at the app: Entra gives no token until then"
            } else {
                "renew it; no client connects until then"
            },
        );
    }
    if begins > now {
        return Step::bad(Area::Tls, key, format!("{what} is not valid before {begins}"))
            .hint("look at the clock of this machine, or take the certificate before it");
    }
    let days = left.div_euclid(DAY);
    if days < SOON {
        return Step::warning(Area::Tls, key, format!("{what} ends in {days} days: {ends}"))
            .allowed(format!("{SOON} days or more"))
            .hint("renew it; where something does so by itself, look why it has not");
    }
    Step::good(Area::Tls, format!("{what} is good until {ends}"))
}

/// From when until when a certificate is good (RFC 5280 §4.1.2.5). rustls reads it: asked about the beginning and the end of
/// time, it says what stands against it first, before any name or chain.
fn validity(found: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    const END: u64 = 253_402_300_800; // the year 10000, which no certificate can reach
    let mut roots = RootCertStore::empty();
    roots.add(found.clone().into_owned()).ok()?; // it trusts somebody; who it is does not matter
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let nobody = ServerName::try_from("nobody.invalid").ok()?;
    let asked = |at| {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        match verifier.verify_server_cert(found, &[], &nobody, &[], at) {
            Err(rustls::Error::InvalidCertificate(error)) => Some(error),
            _ => None,
        }
    };
    let seconds = |time: UnixTime| i64::try_from(time.as_secs()).map(Timestamp::from_unix_seconds);
    let ends = match asked(END)? {
        CertificateError::ExpiredContext { not_after, .. } => seconds(not_after).ok()?,
        _ => return None,
    };
    let begins = match asked(0) {
        Some(CertificateError::NotValidYetContext { not_before, .. }) => {
            seconds(not_before).ok()?
        }
        _ => Timestamp::from_unix_seconds(0), // before it
    };
    Some((begins, ends))
}

/// The first certificate that whoever answers under this name shows.
async fn shown(url: &Url) -> Option<CertificateDer<'static>> {
    let port = url.port_or_known_default()?;
    let (host, name) = match url.host()? {
        Host::Domain(name) => (name.to_owned(), ServerName::try_from(name.to_owned()).ok()?),
        Host::Ipv4(address) => {
            (address.to_string(), ServerName::from(std::net::IpAddr::V4(address)))
        }
        Host::Ipv6(address) => {
            (address.to_string(), ServerName::from(std::net::IpAddr::V6(address)))
        }
    };
    let config = looking()?;
    let looking = async {
        let stream = TcpStream::connect((host.as_str(), port)).await.ok()?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let (_, connection) = stream.get_ref();
        connection.peer_certificates()?.first().map(|found| found.clone().into_owned())
    };
    tokio::time::timeout(PATIENCE, looking).await.ok().flatten()
}

/// For looking at a certificate alone: nothing is sent over such a connection, and nothing of it is believed.
fn looking() -> Option<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .ok()?;
    let any = Arc::new(Any(provider));
    Some(config.dangerous().with_custom_certificate_verifier(any).with_no_client_auth())
}

/// Takes any certificate: one that has ended is to be seen, too. Whether it is valid for the name and its chain is trusted is
/// told by the requests of the other steps, which verify both.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use crate::app::doctor::Verdict;

    use super::*;

    #[test]
    fn what_ends_soon_is_warned_of_and_what_has_ended_or_not_begun_is_bad() {
        let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 11, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 12, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = parameters.self_signed(&key).unwrap();
        let verdict = |date: &str| {
            let now: jiff::Timestamp = date.parse().unwrap();
            let now = Timestamp::from_unix_seconds(now.as_second());
            judge(("k", "it"), made.der(), now).verdict
        };
        assert_eq!(verdict("2026-10-31T23:59:59Z"), Verdict::Bad);
        assert_eq!(verdict("2026-11-09T00:00:00Z"), Verdict::Good, "22 days left");
        assert_eq!(verdict("2026-11-11T00:00:00Z"), Verdict::Warning, "20 days left");
        assert_eq!(verdict("2026-12-01T00:00:00Z"), Verdict::Bad);
        let none =
            judge(("k", "it"), &CertificateDer::from(vec![1, 2]), Timestamp::from_unix_seconds(0));
        assert_eq!(none.verdict, Verdict::Bad);
    }
}
