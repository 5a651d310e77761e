//! Assertions count once, at whichever of two replicas on one PostgreSQL they come (RFC 7523 §3, item 7).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::store::database;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::dpop::{ALLOWED, ClientKey, call};
use super::faults::is_asked_to_come_back;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const US: &str = "http://localhost:4711";

/// Whoever signs: a client for itself, a provider for people, a platform for its workloads.
pub(super) struct Signer(KeyPair);

impl Signer {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn jwks(&self) -> String {
        let point = self.0.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] }).to_string()
    }

    pub(super) fn sign(&self, typ: &str, mut claims: Value) -> String {
        let now = SystemClock.now().unix_seconds();
        (claims["iat"], claims["exp"], claims["jti"]) = (json!(now), json!(now + 200), json!("j1"));
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        let key = EncodingKey::from_ec_der(self.0.serialized_der());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    /// Where its keys are, and what its metadata says of them.
    pub(super) async fn published(&self) -> FakeHttp {
        let host = FakeHttp::start(Reply::status(404)).await;
        let metadata =
            json!({ "issuer": issuer(&host), "jwks_uri": host.url().join("keys").unwrap() });
        host.answers_at("/.well-known/openid-configuration", Reply::json(metadata.to_string()));
        host.answers_at("/keys", Reply::json(self.jwks()));
        host
    }
}

pub(super) fn issuer(host: &FakeHttp) -> String {
    host.url().as_str().trim_end_matches('/').to_owned()
}

fn settings(host: &FakeHttp) -> String {
    let issuer = issuer(host);
    format!(
        r#"
[server]
public_url = "{US}"
allowed_hosts = ["127.0.0.1"]
[outbound]
allow_private = ["127.0.0.1"]
[[authorization_server.identity_provider]]
id = "idp"
issuer = "{issuer}"
client_id = "broker"
identity_assertions = {{ algorithms = ["ES256"] }}
[[authorization_server.client]]
client_id = "agent"
secret = "agent-secret"
grants = ["jwt_bearer"]
[[authorization_server.client]]
client_id = "signer"
jwks_file = "keys.json"
grants = ["client_credentials"]
scopes = ["public:read"]
[[authorization_server.client]]
client_id = "job"
grants = ["jwt_bearer"]
scopes = ["public:read"]
workload = {{ issuer = "{issuer}", claims = {{ sub = ["system:serviceaccount:prod:report"] }} }}
"#
    )
}

async fn start(settings: &str, signer: &Signer, more: &[String]) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("keys.json"), signer.jwks()).unwrap();
    Product::start_in(directory, settings, more).await
}

/// A key that both seal with, in a file.
fn shared(directory: &Path) -> [String; 2] {
    let path = directory.join("kek");
    std::fs::write(&path, STANDARD.encode([7; 32])).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let key = format!("store.key_encryption_key=file:{}", path.display());
    [format!("store.url={}", database()), key]
}

async fn asked(product: &Product, secret: Option<&str>, form: &[(&str, &str)]) -> Answer {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::new("POST", "/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let request = match secret {
        Some(pair) => request.header("authorization", &format!("Basic {}", STANDARD.encode(pair))),
        None => request,
    };
    product.send(request).await
}

fn id_jag(signer: &Signer, host: &FakeHttp) -> String {
    let claims = json!({
        "iss": issuer(host), "aud": US, "sub": "ada", "client_id": "agent", "scope": "public:read",
        "resource": format!("{US}/mcp"),
    });
    signer.sign("oauth-id-jag+jwt", claims)
}

async fn opens(product: &Product, answer: &Answer) {
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let called = product.send(mcp(Wire::Modern, Some(&token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
}

// RFC 7523 §3, MCP Enterprise-Managed Authorization §4.3 — N86, N87
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_has_taken_the_other_refuses() {
    let (signer, folder) = (Signer::new(), tempfile::tempdir().unwrap());
    let host = signer.published().await;
    let (settings, both) = (settings(&host), shared(folder.path()));
    let one = start(&settings, &signer, &both).await;
    let other = start(&settings, &signer, &both).await;
    let itself = signer.sign("JWT", json!({ "iss": "signer", "sub": "signer", "aud": US }));
    let workload = json!({
        "iss": issuer(&host), "aud": format!("{US}/token"), "sub": "system:serviceaccount:prod:report",
    });
    let (workload, id_jag) = (signer.sign("JWT", workload), id_jag(&signer, &host));
    let by_key = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", itself.as_str()),
    ];
    let by_platform = [("grant_type", GRANT), ("assertion", workload.as_str())];
    let for_person = [("grant_type", GRANT), ("assertion", id_jag.as_str())];
    for (secret, form, refusal) in [
        (None, &by_key[..], (401, "invalid_client")),
        (Some("agent:agent-secret"), &for_person[..], (400, "invalid_grant")),
    ] {
        let first = asked(&one, secret, form).await;
        assert_eq!(first.status, 200, "{first:?}");
        opens(&other, &first).await;
        for replica in [&other, &one] {
            let again = asked(replica, secret, form).await;
            assert_eq!((again.status, again.json()["error"].as_str().unwrap()), refusal);
        }
    }
    // Of the ID-JAG's issuer and with its `jti`: it is the same assertion, whatever it says.
    let same_name = asked(&other, None, &by_platform).await;
    assert_eq!(same_name.json()["error"], "invalid_grant", "{same_name:?}");
}

// MCP workload identity federation — N86
#[tokio::test]
async fn a_pod_gets_a_token_by_its_service_account_alone() {
    let signer = Signer::new();
    let host = signer.published().await;
    let product = start(&settings(&host), &signer, &[]).await;
    let claims = json!({
        "iss": issuer(&host), "aud": [format!("{US}/token")], "sub": "system:serviceaccount:prod:report",
        "kubernetes.io": { "namespace": "prod", "serviceaccount": { "name": "report" } },
    });
    let assertion = signer.sign("JWT", claims);
    let resource = format!("{US}/mcp");
    let form = [("grant_type", GRANT), ("assertion", &*assertion), ("resource", &*resource)];
    let answer = asked(&product, None, &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    opens(&product, &answer).await;
    let log = product.audit_lines().join("\n");
    assert!(!log.contains(&assertion) && log.contains("\"client_id\":\"job\""), "{log}");
}

/// A store whose disk has no room for what was used, until it is given some.
struct Full(rusqlite::Connection);

impl Full {
    fn of(product: &Product) -> Self {
        let store = product.directory.path().join("data/broker.db");
        let store = rusqlite::Connection::open(store).unwrap();
        store
            .execute_batch(
                "CREATE TRIGGER full BEFORE INSERT ON assertions BEGIN SELECT RAISE(ABORT, 'full'); END",
            )
            .unwrap();
        Self(store)
    }

    fn has_room(self) {
        self.0.execute_batch("DROP TRIGGER full").unwrap();
    }
}

// RFC 6749 §5.2 — N86, N87, N114
#[tokio::test]
async fn a_store_that_can_remember_no_more_takes_no_assertion() {
    let signer = Signer::new();
    let host = signer.published().await;
    let product = start(&settings(&host), &signer, &[]).await;
    let full = Full::of(&product);
    let assertion = id_jag(&signer, &host);
    let itself = signer.sign("JWT", json!({ "iss": "signer", "sub": "signer", "aud": US }));
    let for_person = [("grant_type", GRANT), ("assertion", &*assertion)];
    let by_key = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", itself.as_str()),
    ];
    let both = [(Some("agent:agent-secret"), &for_person[..]), (None, &by_key[..])];
    for (secret, form) in both {
        is_asked_to_come_back(&asked(&product, secret, form).await);
    }
    full.has_room();
    for (secret, form) in both {
        let answer = asked(&product, secret, form).await;
        assert_eq!(answer.status, 200, "nothing was used up: {answer:?}");
    }
}

// RFC 9449 §11.1 — N88, N114
#[tokio::test]
async fn a_store_that_can_remember_no_more_takes_no_proof() {
    let signer = Signer::new();
    let host = signer.published().await;
    let robot = "[[authorization_server.client]]\nclient_id = \"robot\"\nsecret = \"robot-secret\"\n\
        grants = [\"client_credentials\"]\nscopes = [\"public:read\"]\n";
    let product = start(&[&settings(&host), robot, ALLOWED].concat(), &signer, &[]).await;
    let key = ClientKey::new();
    let proven = async |proof: &str| {
        let body = format!("grant_type=client_credentials&resource={US}/mcp");
        let request = Request::new("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &format!("Basic {}", STANDARD.encode("robot:robot-secret")));
        product.send(request.header("dpop", proof).body(body)).await
    };
    let proof = || key.proof("POST", &format!("{US}/token"), &json!({}));
    let token = proven(&proof()).await.json();
    let token = token["access_token"].as_str().unwrap();
    let (at_token, at_mcp) = (proof(), key.for_call(&format!("{US}/mcp"), token, &json!({})));
    let calls = || call("DPoP", token, Some(&at_mcp));
    let full = Full::of(&product);
    is_asked_to_come_back(&proven(&at_token).await);
    let refused = product.send(calls()).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.to_lowercase().contains("retry-after"), "{refused:?}");
    full.has_room();
    assert_eq!(proven(&at_token).await.status, 200, "nothing was used up");
    assert_eq!(product.send(calls()).await.status, 200, "nothing was used up");
    assert_eq!(product.send(calls()).await.status, 401, "now it is");
}

// RFC 8414 §2, MCP Enterprise-Managed Authorization §6 — N86
#[tokio::test]
async fn the_metadata_names_the_grant_where_it_is_set_up_and_nobody_who_is_trusted() {
    let signer = Signer::new();
    let host = signer.published().await;
    for (settings, listed) in [(settings(&host), true), (String::new(), false)] {
        let product = start(&settings, &signer, &[]).await;
        let metadata = product.get("/.well-known/oauth-authorization-server").await;
        let (text, told) = (metadata.body.clone(), metadata.json());
        let grants = told["grant_types_supported"].as_array().unwrap();
        assert_eq!(grants.contains(&json!(GRANT)), listed, "{text}");
        let profiles = &told["authorization_grant_profiles_supported"];
        let expected = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
        assert_eq!(*profiles, if listed { expected } else { Value::Null });
        assert!(!text.contains(&issuer(&host)), "{text}");
    }
}
