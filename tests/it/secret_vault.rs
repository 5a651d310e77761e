//! `vault:` against a real OpenBao server in development mode.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use mcp_auth_broker::code::Code;
use mcp_auth_broker::outbound::{Answer, Call, Limits};
use mcp_auth_broker::secret::{Credential, Detail, Secrets, Settings, VaultAuth, VaultSettings};
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::secret_support::{outbound, read, secrets, secrets_at};
use crate::support::free_port::free_port;

const ROOT: &str = "root-CANARY";

/// A server of this test alone. Killed on drop.
struct Bao {
    url: String,
    process: Child,
    _home: TempDir,
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "where the tools of the tests are is no setting")]
fn program() -> PathBuf {
    let path = std::env::var_os("BROKER_TEST_BAO").map(PathBuf::from).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join("bao")).find(|bao| bao.is_file())
    });
    path.expect("no `bao`: run scripts/tools/openbao and set BROKER_TEST_BAO to what it prints")
}

impl Bao {
    async fn start() -> Self {
        let free = free_port();
        let home = TempDir::new().unwrap();
        let process = Command::new(program())
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address={free}"))
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bao = Self { url: format!("http://{free}"), process, _home: home };
        bao.until_ready().await;
        bao.put(
            "v1/secret/data/apps/graph",
            json!({"data": {"client_secret": "bao-CANARY", "n": 7}}),
        )
        .await;
        bao
    }

    /// Asks until it answers: a server has no other way to say that it is up.
    async fn until_ready(&self) {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..1200 {
            pause.tick().await;
            let health = self.send(Method::GET, "v1/sys/seal-status", &Value::Null).await;
            // The KV engine is mounted shortly after the server is unsealed.
            if health.is_some_and(|answer| answer.status == 200)
                && self
                    .send(Method::GET, "v1/secret/config", &Value::Null)
                    .await
                    .is_some_and(|a| a.status == 200)
            {
                return;
            }
        }
        panic!("bao did not start within a minute");
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Option<Answer> {
        let url = format!("{}/{path}", self.url).parse().unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let call = Call { method, body: body.into(), ..Call::get(url) }
            .header(HeaderName::from_static("x-vault-token"), HeaderValue::from_static(ROOT));
        let limits = Limits { timeout: Duration::from_secs(30), max_bytes: 1 << 20 };
        outbound().send(call, limits).await.ok()
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        let answer = self.send(Method::POST, path, &body).await.unwrap();
        assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    fn settings(&self, auth: VaultAuth) -> Settings {
        let vault = VaultSettings { address: self.url.parse().unwrap(), auth, namespace: None };
        Settings { vault: Some(vault), timeout: Duration::from_secs(30), ..Settings::default() }
    }

    fn secrets(&self, auth: VaultAuth) -> Secrets {
        secrets(self.settings(auth))
    }

    async fn reader_policy(&self) {
        let rules = r#"path "secret/data/apps/*" { capabilities = ["read"] }"#;
        self.put("v1/sys/policies/acl/reader", json!({"policy": rules})).await;
    }

    /// An `AppRole` login whose tokens may read the secret.
    async fn app_role(&self) -> VaultAuth {
        self.reader_policy().await;
        self.put("v1/sys/auth/approle", json!({"type": "approle"})).await;
        let role = "v1/auth/approle/role/broker";
        self.put(role, json!({"token_policies": "reader", "token_ttl": "1h"})).await;
        let answer =
            self.send(Method::GET, &format!("{role}/role-id"), &Value::Null).await.unwrap();
        let id: Value = serde_json::from_slice(&answer.body).unwrap();
        let secret = self.put(&format!("{role}/secret-id"), json!({})).await;
        VaultAuth::AppRole {
            mount: "approle".to_owned(),
            role_id: id["data"]["role_id"].as_str().unwrap().to_owned(),
            secret_id: text(secret["data"]["secret_id"].as_str().unwrap()),
        }
    }
}

fn text(text: &str) -> Credential {
    Credential::Text(SecretText::new(text.to_owned()))
}

const REFERENCE: &str = "vault:secret/apps/graph#client_secret";

#[tokio::test]
async fn a_token_reads_and_what_is_absent_or_no_text_says_so() {
    let bao = Bao::start().await;
    let secrets = bao.secrets(VaultAuth::Token(text(ROOT)));
    assert_eq!(read(&secrets, REFERENCE).await.unwrap().text().expose(), "bao-CANARY");
    for (reference, detail) in [
        ("vault:secret/apps/nothing#x", None),
        ("vault:secret/apps/graph#nothing", None),
        ("vault:secret/apps/graph#n", Some(Detail::Malformed)),
        ("vault:nowhere/apps/graph#x", None),
    ] {
        let error = read(&secrets, reference).await.unwrap_err();
        assert_eq!((error.code(), error.detail()), (Code::SecretNotFound, detail), "{reference}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_denied_and_a_sealed_server_is_unavailable() {
    let bao = Bao::start().await;
    let wrong = bao.secrets(VaultAuth::Token(text("wrong-CANARY")));
    assert_eq!(read(&wrong, REFERENCE).await.unwrap_err().code(), Code::SecretAccessDenied);
    let secrets = bao.secrets(VaultAuth::Token(text(ROOT)));
    bao.put("v1/sys/seal", json!({})).await;
    let error = read(&secrets, REFERENCE).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (Code::SecretUnavailable, Some(Detail::Sealed)));
}

#[tokio::test]
async fn an_app_role_logs_in_again_when_its_token_was_revoked() {
    let bao = Bao::start().await;
    let auth = bao.app_role().await;
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
    let secrets = secrets_at(bao.settings(auth), Arc::clone(&clock) as _);
    assert!(read(&secrets, REFERENCE).await.is_ok());
    bao.put("v1/sys/leases/revoke-prefix/auth/approle", json!({})).await;
    bao.put("v1/secret/data/apps/graph", json!({"data": {"client_secret": "new-CANARY"}})).await;
    clock.advance(Duration::from_mins(15));
    assert_eq!(read(&secrets, REFERENCE).await.unwrap().text().expose(), "new-CANARY");
}

#[tokio::test]
async fn an_app_role_may_read_what_its_policy_says_and_a_wrong_secret_id_is_refused() {
    let bao = Bao::start().await;
    let auth = bao.app_role().await;
    let VaultAuth::AppRole { mount, role_id, .. } = auth.clone() else { unreachable!() };
    let denied = read(&bao.secrets(auth), "vault:secret/other#x").await.unwrap_err();
    assert_eq!((denied.code(), denied.detail()), (Code::SecretAccessDenied, None));
    let wrong = VaultAuth::AppRole { mount, role_id, secret_id: text("wrong-CANARY") };
    let refused = read(&bao.secrets(wrong), REFERENCE).await.unwrap_err();
    assert_eq!(refused.code(), Code::SecretAccessDenied);
    assert_eq!(refused.detail(), Some(Detail::Credential));
}

/// Kubernetes and JWT logins send the same body; the JWT method needs no cluster to check it.
#[tokio::test]
async fn a_signed_token_in_a_file_logs_in() {
    let bao = Bao::start().await;
    bao.reader_policy().await;
    let key = rcgen::KeyPair::generate().unwrap();
    bao.put("v1/sys/auth/k8s/prod", json!({"type": "jwt"})).await;
    bao.put("v1/auth/k8s/prod/config", json!({"jwt_validation_pubkeys": key.public_key_pem()}))
        .await;
    let role = json!({"role_type": "jwt", "bound_audiences": "bao", "user_claim": "sub",
                      "bound_subject": "broker", "token_policies": "reader"});
    bao.put("v1/auth/k8s/prod/role/broker", role).await;
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
    let claims =
        json!({"sub": "broker", "aud": "bao", "iat": 1_700_000_000, "exp": 4_000_000_000_u64});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), jsonwebtoken::encode(&header, &claims, &signer).unwrap()).unwrap();
    let jwt = Credential::Reference(format!("file:{}", file.path().display()).parse().unwrap());
    let auth = VaultAuth::Jwt { mount: "k8s/prod".to_owned(), role: "broker".to_owned(), jwt };
    assert_eq!(read(&bao.secrets(auth), REFERENCE).await.unwrap().text().expose(), "bao-CANARY");
}

#[tokio::test]
async fn a_namespace_is_sent() {
    let bao = Bao::start().await;
    let mut settings = bao.settings(VaultAuth::Token(text(ROOT)));
    settings.vault.as_mut().unwrap().namespace = Some("team".to_owned());
    bao.put("v1/sys/namespaces/team", json!({})).await;
    let error = read(&secrets(settings.clone()), REFERENCE).await.unwrap_err();
    assert_eq!(error.code(), Code::SecretNotFound);
}
