//! A federated token file: what a platform wrote is read at every mint, and sent as it is.

use std::path::PathBuf;

use serde_json::json;

use super::*;

const CLUSTER: &str = "https://cluster.example";
const SUBJECT: &str = "system:serviceaccount:broker:broker";

/// The platform that writes the file, and a broker that reads it.
struct Platform {
    key: rcgen::KeyPair,
    microsoft: Microsoft,
    files: TempDir,
    product: Product,
}

impl Platform {
    async fn start() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let trusted = TrustedKey::Federated {
            issuer: CLUSTER.to_owned(),
            subject: SUBJECT.to_owned(),
            public_key_pem: key.public_key_pem(),
        };
        let microsoft = Microsoft::start(vec![trusted]).await;
        let files = tempfile::tempdir().unwrap();
        let credential = format!("federated_token_file = \"{}\"", file(&files).display());
        // The file is not there yet: a platform may be later than the broker.
        let directory = tempfile::tempdir().unwrap();
        let product = microsoft.broker(directory, CLIENT_ID, &credential, &[]).await;
        Self { key, microsoft, files, product }
    }

    /// Writes a token for `subject`, as the kubelet does: a new file that takes the name of the old one.
    fn writes(&self, subject: &str, good_for: Duration) {
        let now = self.microsoft.clock.now();
        let claims = json!({
            "iss": CLUSTER, "sub": subject, "aud": "api://AzureADTokenExchange",
            "iat": now.unix_seconds(), "nbf": now.unix_seconds(), "exp": now.plus(good_for).unix_seconds(),
        });
        let signer = jsonwebtoken::EncodingKey::from_rsa_pem(self.key.serialize_pem().as_bytes());
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        self.writes_text(&jsonwebtoken::encode(&header, &claims, &signer.unwrap()).unwrap());
    }

    fn writes_text(&self, text: &str) {
        let new = self.files.path().join("new");
        private(&new, text);
        std::fs::rename(new, file(&self.files)).unwrap();
    }
}

fn file(files: &TempDir) -> PathBuf {
    files.path().join("azure-identity-token")
}

fn no_file() -> (String, String) {
    outcome("secret.unavailable", "federated_token_file")
}

#[tokio::test]
async fn a_token_of_the_platform_executes_and_the_next_one_is_read_without_a_restart() {
    let platform = Platform::start().await;
    platform.writes(SUBJECT, Duration::from_mins(1));
    executes(&platform.product).await;
    // The provider's token and the platform's have both ended: only a new file helps.
    platform.microsoft.clock.advance(Duration::from_secs(400));
    let late = outcome("provider.auth_failed", "assertion_time");
    assert_eq!(refused(&platform.product).await, late);
    platform.writes(SUBJECT, Duration::from_mins(1));
    platform.microsoft.clock.advance(Duration::from_secs(61));
    executes(&platform.product).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_until_it_is() {
    let platform = Platform::start().await;
    assert_eq!(refused(&platform.product).await, no_file());
    platform.writes_text("no token");
    assert_eq!(refused(&platform.product).await, no_file());
    platform.writes(SUBJECT, Duration::from_mins(1));
    executes(&platform.product).await;
    std::fs::remove_file(file(&platform.files)).unwrap();
    executes(&platform.product).await; // the provider's token is still good
    platform.microsoft.clock.advance(Duration::from_secs(61));
    assert_eq!(refused(&platform.product).await, no_file());
}

#[tokio::test]
async fn a_token_for_another_workload_is_refused() {
    let platform = Platform::start().await;
    platform.writes("system:serviceaccount:broker:other", Duration::from_mins(1));
    let unmatched = outcome("provider.auth_failed", "federation_no_match");
    assert_eq!(refused(&platform.product).await, unmatched);
}

#[tokio::test]
async fn a_token_of_another_platform_is_refused() {
    let mut platform = Platform::start().await;
    platform.key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    platform.writes(SUBJECT, Duration::from_mins(1));
    let invalid = outcome("provider.auth_failed", "assertion_invalid");
    assert_eq!(refused(&platform.product).await, invalid);
}
