//! A certificate: its key signs what proves the app, and never leaves.

use mcp_auth_broker::time::Timestamp;
use mcp_auth_broker::token::CertificateChain;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

use super::*;

/// A certificate in a directory, its key beside it.
struct Certificate {
    directory: TempDir,
    key: KeyPair,
    thumbprint: String,
}

impl Certificate {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let made = CertificateParams::new(["reader.example".to_owned()]).unwrap();
        let pem = made.self_signed(&key).unwrap().pem();
        std::fs::write(directory.path().join("reader.pem"), &pem).unwrap();
        private(&directory.path().join("reader.key"), &key.serialize_pem());
        let chain = CertificateChain::from_pem(pem.as_bytes()).unwrap();
        Self { directory, key, thumbprint: chain.thumbprint().to_owned() }
    }

    fn registered(&self, ends: Option<Timestamp>) -> TrustedKey {
        let public_key_pem = self.key.public_key_pem();
        TrustedKey::Certificate { thumbprint: self.thumbprint.clone(), public_key_pem, ends }
    }

    /// The broker that has it.
    async fn broker(self, microsoft: &Microsoft) -> Product {
        let key = self.directory.path().join("reader.key");
        let credential = format!(
            "certificate = \"{}\", private_key = \"file:{}\"",
            self.directory.path().join("reader.pem").display(),
            key.display(),
        );
        microsoft.broker(self.directory, CLIENT_ID, &credential, &[]).await
    }
}

fn invalid() -> (String, String) {
    outcome("provider.auth_failed", "assertion_invalid")
}

#[tokio::test]
async fn a_registered_certificate_executes_and_its_key_is_shown_nowhere() {
    let certificate = Certificate::new();
    let microsoft = Microsoft::start(vec![certificate.registered(None)]).await;
    let key = certificate.key.serialize_pem();
    let product = certificate.broker(&microsoft).await;
    executes(&product).await;
    let lines = product.audit_lines().concat();
    assert!(key.lines().skip(1).all(|line| line.starts_with('-') || !lines.contains(line)));
}

#[tokio::test]
async fn a_certificate_works_until_it_ends_at_the_app() {
    let certificate = Certificate::new();
    let ends = SystemClock.now().plus(Duration::from_mins(2));
    let microsoft = Microsoft::start(vec![certificate.registered(Some(ends))]).await;
    let product = certificate.broker(&microsoft).await;
    executes(&product).await;
    microsoft.clock.advance(Duration::from_mins(3));
    let (code, detail, metadata) = fails(&product).await;
    assert_eq!((code, detail), invalid());
    assert!(metadata.to_string().contains("700027"), "{metadata}");
}

#[tokio::test]
async fn a_certificate_that_the_app_does_not_have_is_refused() {
    let microsoft = Microsoft::start(vec![Certificate::new().registered(None)]).await;
    assert_eq!(refused(&Certificate::new().broker(&microsoft).await).await, invalid());
}

/// The key is a secret: it is read anew after a refusal, without a restart.
#[tokio::test]
async fn another_certificates_key_is_refused_until_the_right_one_is_there() {
    let certificate = Certificate::new();
    let microsoft = Microsoft::start(vec![certificate.registered(None)]).await;
    let file = certificate.directory.path().join("reader.key");
    let (right, wrong) = (certificate.key.serialize_pem(), Certificate::new().key.serialize_pem());
    private(&file, &wrong);
    let product = certificate.broker(&microsoft).await;
    assert_eq!(refused(&product).await, invalid());
    private(&file, &right);
    executes(&product).await;
}

#[tokio::test]
async fn a_key_that_is_none_of_rsa_is_not_used() {
    let certificate = Certificate::new();
    let microsoft = Microsoft::start(vec![certificate.registered(None)]).await;
    let ec = KeyPair::generate().unwrap().serialize_pem();
    private(&certificate.directory.path().join("reader.key"), &ec);
    let product = certificate.broker(&microsoft).await;
    let unusable = outcome("provider.auth_failed", "private_key_unusable");
    assert_eq!(refused(&product).await, unusable);
}
