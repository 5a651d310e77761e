//! Machines that sign for their tokens (RFC 7523 §2.2), with keys that an operator registered: in the settings, over the
//! API, by command.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth_broker::id::RequestId;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::support::child::{Served, command};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::client::{Reached, send};

/// A program with a key of its own.
pub(super) struct Machine(KeyPair);

impl Machine {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    pub(super) fn jwks(&self) -> Value {
        let point = self.0.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] })
    }

    /// Asks for a token as this client.
    pub(super) async fn token(&self, at: &impl Reached, client_id: &str) -> Answer {
        self.asks(at, client_id, &[("grant_type", "client_credentials")]).await
    }

    /// The same with these parameters.
    pub(super) async fn asks(
        &self,
        at: &impl Reached,
        client_id: &str,
        parameters: &[(&str, &str)],
    ) -> Answer {
        let (now, jti) =
            (SystemClock.now(), RequestId::generate(&SystemClock, &SystemRandom::new()));
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": format!("http://{}", at.authority()),
            "jti": jti.to_string(), "exp": now.unix_seconds() + 60,
        });
        let key = EncodingKey::from_ec_der(self.0.serialized_der());
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key);
        let assertion = assertion.unwrap();
        let fields = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ];
        let fields = parameters.iter().copied().chain(fields);
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = "application/x-www-form-urlencoded";
        send(at, Request::new("POST", "/token").header("content-type", form).body(body)).await
    }
}

/// The machine gets a token that opens what the client may have, and nobody else gets one.
async fn signs(product: &Product, machine: &Machine, client_id: &str) {
    let answer = machine.token(product, client_id).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let called = product.send(mcp(Wire::Modern, Some(&token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
    let other = Machine::new().token(product, client_id).await;
    assert_eq!((other.status, &other.json()["error"]), (401, &json!("invalid_client")));
}

/// Registers a client over the admin API.
pub(super) async fn add(product: &Product, keys: (&str, Value)) -> Answer {
    let mut new = json!({
        "client_name": "Report", "grant_types": ["client_credentials"], "scope": "public:read",
    });
    new[keys.0] = keys.1;
    let token = product.token(&["broker:admin"]);
    let request = Request::new("POST", "/api/v1/clients")
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json");
    product.send(request.body(new.to_string())).await
}

const ADMINISTERED: &str = "[authorization_server.administrators]\nsubjects = [\"ada\"]\n\
    [outbound]\nallow_private = [\"127.0.0.1\"]\n";

// RFC 7523 §2.2 — AS-1, AS-29
#[tokio::test]
async fn a_client_of_the_settings_signs_for_its_token() {
    let (directory, machine) = (tempfile::tempdir().unwrap(), Machine::new());
    std::fs::write(directory.path().join("keys.json"), machine.jwks().to_string()).unwrap();
    let settings = "[[authorization_server.client]]\nclient_id = \"nightly\"\n\
        grants = [\"client_credentials\"]\nscopes = [\"public:read\"]\njwks_file = \"keys.json\"\n";
    let product = Product::start_in(directory, settings, &[]).await;
    signs(&product, &machine, "nightly").await;
}

// RFC 7523 §2.2
#[tokio::test]
async fn a_client_that_was_added_over_the_api_signs_for_its_token() {
    let (product, machine) = (Product::start(ADMINISTERED).await, Machine::new());
    let host = FakeHttp::start(Reply::json(machine.jwks().to_string())).await;
    let published = format!("{}keys", host.url());
    for keys in [("jwks", machine.jwks()), ("jwks_uri", json!(published))] {
        let added = add(&product, keys).await;
        assert_eq!(added.status, 201, "{added:?}");
        let added = added.json();
        assert_eq!(added["client_secret"], Value::Null);
        assert_eq!(added["client"]["confidential"], true);
        signs(&product, &machine, added["client"]["client_id"].as_str().unwrap()).await;
    }
}

// RFC 7517 §9.2 — N98
#[tokio::test]
async fn the_private_half_of_a_key_is_refused_and_never_shown() {
    let (product, machine) = (Product::start(ADMINISTERED).await, Machine::new());
    let mut private = machine.jwks();
    private["keys"][0]["d"] = json!("CANARY-private");
    let short = json!({ "keys": [{ "kty": "RSA", "n": "AQ", "e": "AQAB" }] });
    for (keys, said) in [(private, "private or a shared key"), (short, "cannot be used")] {
        let refused = add(&product, ("jwks", keys)).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.body.contains(said) && !refused.body.contains("CANARY"), "{refused:?}");
    }
    let refused = add(&product, ("jwks_uri", json!("http://keys.example/jwks"))).await;
    assert_eq!(refused.status, 422, "{refused:?}");
}

// RFC 7523 §2.2
#[tokio::test]
async fn a_client_that_was_added_by_command_signs_for_its_token() {
    let (directory, machine) = (tempfile::tempdir().unwrap(), Machine::new());
    let served = Served::start(directory.path(), "", &[]).await;
    let file = directory.path().join("keys.json");
    std::fs::write(&file, machine.jwks().to_string()).unwrap();
    let file = file.to_str().unwrap();
    let grant = ["--grant", "client_credentials", "--scope", "public:read", "--json"];
    let arguments = [&["client", "add", "Report", "--jwks-file", file], &grant[..]].concat();
    let added = command(directory.path(), &arguments);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(added["client_secret"], Value::Null, "{added}");
    let answer = machine.token(&served, added["client"]["client_id"].as_str().unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
