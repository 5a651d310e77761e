//! Client authentication: secrets, and assertions signed with keys that the client published.

use std::time::Duration;

use axum::http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::api_key::BearerSecret;
use crate::authorization_server::Client;
use crate::authorization_server::OAuthError;
use crate::fake_http::{Act, FakeHttp};
use crate::store::{ClientKind, ClientRow, Digest, MetadataDocument};
use crate::time::{Clock as _, Timestamp};

use super::support::{NOW, Site};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ISSUER: &str = "https://broker.example";

fn refused(result: &Result<Client, OAuthError>) -> (StatusCode, String) {
    let error = result.as_ref().unwrap_err();
    (error.status(), format!("{}: {}", error.code(), error.description()))
}

// RFC 6749 §2.3.1 — N41, AS-29
#[tokio::test]
async fn a_secret_may_come_by_basic_or_in_the_form() {
    let site = Site::new().await;
    assert!(site.authenticate(Some("nightly%3Areport:s3cret%2Bx"), &[]).await.is_ok());
    let form = [("client_id", "nightly:report"), ("client_secret", "s3cret+x")];
    assert!(site.authenticate(None, &form).await.is_ok());
}

/// The Basic pair and the form.
type Attempt<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)]);

// RFC 6749 §5.2 — N42, N43, N57
#[tokio::test]
async fn every_wrong_client_gets_the_same_answer() {
    let site = Site::new().await;
    let public = site.registered(r#"["http://127.0.0.1/cb"]"#).await;
    let attempts: [Attempt<'_>; 7] = [
        (None, &[("client_id", "unknown")]),
        (None, &[("client_id", "unknown"), ("client_secret", "x")]),
        (None, &[("client_id", "nightly:report")]),
        (None, &[("client_id", "nightly:report"), ("client_secret", "wrong")]),
        (Some("nightly%3Areport:wrong"), &[]),
        (None, &[("client_id", &public), ("client_secret", "x")]),
        (None, &[]),
    ];
    let first = refused(&site.authenticate(attempts[0].0, attempts[0].1).await);
    assert_eq!(first.0, StatusCode::UNAUTHORIZED);
    for (basic, form) in attempts {
        assert_eq!(refused(&site.authenticate(basic, form).await), first, "{form:?}");
    }
    assert!(site.authenticate(None, &[("client_id", &public)]).await.is_ok());
}

#[tokio::test]
async fn a_rotated_secret_works_beside_the_new_one_until_its_end() {
    let site = Site::new().await;
    let id = "static-1".parse().unwrap();
    let metadata = r#"{"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials"]}"#;
    // As they were made before they had a prefix; and as they are made now.
    let (old, new) = ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", client_secret());
    add(&site, "static-1", metadata, Some(Digest::of(old))).await;
    let until = site.clock.now().plus(Duration::from_hours(1));
    assert!(site.store.rotate_client_secret(&id, Digest::of(&new), until).await.unwrap());
    for secret in [old, new.as_str()] {
        assert!(
            site.authenticate(Some(&format!("static-1:{secret}")), &[]).await.is_ok(),
            "{secret}"
        );
    }
    site.clock.advance(Duration::from_hours(1));
    assert!(site.authenticate(Some(&format!("static-1:{old}")), &[]).await.is_err());
    assert!(site.authenticate(Some(&format!("static-1:{}", new.as_str())), &[]).await.is_ok());
}

/// What nobody made here costs no look at the store, and is refused like everything else.
#[tokio::test]
async fn a_secret_that_is_garbage_is_refused_like_a_wrong_one() {
    let site = Site::new().await;
    let metadata = r#"{"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials"]}"#;
    let (garbage, wrong) = ("garbage", client_secret());
    add(&site, "static-1", metadata, Some(Digest::of(garbage))).await;
    let answers = [garbage, wrong.as_str()].map(|secret| format!("static-1:{secret}"));
    let first = refused(&site.authenticate(Some(&answers[0]), &[]).await);
    assert_eq!(refused(&site.authenticate(Some(&answers[1]), &[]).await), first);
}

fn client_secret() -> zeroize::Zeroizing<String> {
    BearerSecret::ClientSecret.generate(&crate::random::SystemRandom::new())
}

#[tokio::test]
async fn only_an_operators_word_changes_the_grace_of_a_client() {
    let site = Site::new().await;
    let metadata = r#"{"redirect_uris":["http://127.0.0.1/cb"],"refresh_grace_seconds":5}"#;
    add(&site, "kept", metadata, None).await;
    let grace = site.find("kept").await.unwrap().refresh_grace();
    assert_eq!(grace, Some(std::time::Duration::from_secs(5)));
    for method in ["none", "client_secret_basic"] {
        let method = format!(r#"{{"token_endpoint_auth_method":"{method}","#);
        let (_, _, answer) = site.register(metadata.replacen('{', &method, 1)).await;
        let client = site.find(answer["client_id"].as_str().unwrap()).await.unwrap();
        assert_eq!(client.refresh_grace(), None, "{method}");
    }
}

pub(super) async fn add(site: &Site, id: &str, metadata: &str, secret: Option<Digest>) {
    let now = site.clock.now();
    let row = ClientRow {
        id: id.parse().unwrap(),
        kind: ClientKind::Static,
        metadata: metadata.to_owned(),
        metadata_digest: Digest::of(metadata),
        secret,
        previous_secret: None,
        registration_token: None,
        created_at: now,
        last_used_at: now,
        expires_at: None,
        disabled_at: None,
    };
    assert!(site.store.add_client(&row).await.unwrap());
}

/// A client with a key, and what it signs.
pub(super) struct Signer {
    pub(super) key: KeyPair,
}

impl Signer {
    pub(super) fn new() -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    pub(super) fn jwks(&self) -> Value {
        use base64::Engine as _;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let point = self.key.public_key_raw();
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) }] })
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_ec_der(self.key.serialized_der());
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
    }

    async fn registered(site: &Site) -> Self {
        let signer = Self::new();
        let metadata =
            json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks() });
        add(site, "signer", &metadata.to_string(), None).await;
        signer
    }
}

pub(super) fn claims() -> Value {
    json!({ "iss": "signer", "sub": "signer", "aud": ISSUER, "jti": "1", "exp": NOW + 120, "iat": NOW })
}

pub(super) async fn present(site: &Site, assertion: &str) -> Result<Client, OAuthError> {
    let form = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    site.authenticate(None, &form).await
}

// RFC 7523 §3 — N87
#[tokio::test]
async fn an_assertion_counts_once() {
    let site = Site::new().await;
    let signer = Signer::registered(&site).await;
    let assertion = signer.sign(&claims());
    assert_eq!(present(&site, &assertion).await.unwrap().id().as_str(), "signer");
    assert!(present(&site, &assertion).await.is_err());
    for path in ["/token", "/par", "/device_authorization"] {
        let mut other = claims();
        other["jti"] = json!(path);
        other["aud"] = json!([format!("{ISSUER}{path}")]);
        assert!(present(&site, &signer.sign(&other)).await.is_ok(), "{path}");
    }
}

// RFC 7523 §3, RFC 7521 §4.2 — N66, N67, N87
#[tokio::test]
async fn an_assertion_with_one_wrong_claim_is_refused() {
    let site = Site::new().await;
    let signer = Signer::registered(&site).await;
    for (name, value) in [
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("aud", json!("https://other.example")),
        ("aud", json!([ISSUER, "https://other.example"])),
        ("aud", json!([])),
        ("exp", json!(NOW - 60)),
        ("exp", json!(NOW + 361)),
        ("exp", json!("soon")),
        ("exp", Value::Null),
        ("iat", json!(NOW + 61)),
        ("nbf", json!(NOW + 61)),
        ("jti", json!("")),
        ("jti", Value::Null),
    ] {
        let mut wrong = claims();
        wrong[name] = value.clone();
        let result = present(&site, &signer.sign(&wrong)).await;
        assert_eq!(refused(&result).0, StatusCode::UNAUTHORIZED, "{name} {value}");
    }
    let result = present(&site, &Signer::new().sign(&claims())).await;
    assert_eq!(refused(&result).0, StatusCode::UNAUTHORIZED, "another key");
    assert!(present(&site, &signer.sign(&claims())).await.is_ok(), "none of them used up the jti");
}

// RFC 7523 §3 — N87
#[tokio::test]
async fn an_assertion_at_the_edge_of_its_time_counts() {
    let site = Site::new().await;
    let signer = Signer::registered(&site).await;
    for (name, at) in [("exp", NOW - 59), ("exp", NOW + 360), ("iat", NOW + 60), ("nbf", NOW + 60)]
    {
        let mut edge = claims();
        (edge[name], edge["jti"]) = (json!(at), json!(format!("{name} {at}")));
        assert!(present(&site, &signer.sign(&edge)).await.is_ok(), "{name} {}", at - NOW);
    }
}

// RFC 6749 §2.3 — N40, N42
#[tokio::test]
async fn a_client_with_a_key_must_use_it() {
    let site = Site::new().await;
    let _signer = Signer::registered(&site).await;
    assert!(site.authenticate(None, &[("client_id", "signer")]).await.is_err());
    assert!(
        site.authenticate(None, &[("client_id", "signer"), ("client_secret", "x")]).await.is_err()
    );
    let secret = Signer::new().sign(&json!({ "iss": "nightly:report", "sub": "nightly:report", "aud": ISSUER, "jti": "1", "exp": NOW + 60 }));
    assert!(present(&site, &secret).await.is_err());
}

// RFC 7523 §3 — N87
#[tokio::test]
async fn a_key_set_is_fetched_once_and_its_outage_is_not_the_clients_fault() {
    let (site, signer) = (Site::new().await, Signer::new());
    let host = FakeHttp::start(vec![Act::Close, Act::json(200, &signer.jwks().to_string())]).await;
    let uri = format!("{}jwks", host.origin);
    let metadata = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri });
    add(&site, "signer", &metadata.to_string(), None).await;
    let error = present(&site, &signer.sign(&claims())).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    site.clock.advance(Duration::from_secs(31));
    let result = present(&site, &signer.sign(&claims())).await;
    assert!(result.is_ok(), "{result:?}");
    for _ in 0..5 {
        assert!(present(&site, &Signer::new().sign(&claims())).await.is_err());
    }
    assert_eq!(host.requests().len(), 2);
    assert_eq!(Timestamp::from_unix_seconds(NOW + 31), site.clock.now());
}

/// Puts a metadata document into the store, as if it had been fetched: its client signs, with the keys that are there.
pub(super) async fn publishes(site: &Site, id: &str, keys: &str) {
    let body = json!({
        "client_id": id, "client_name": "App", "redirect_uris": ["http://127.0.0.1/cb"],
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": keys,
    });
    let (body, now) = (body.to_string(), site.clock.now());
    let row = MetadataDocument {
        url: id.to_owned(),
        digest: Digest::of(&body),
        body: body.into_bytes(),
        etag: None,
        fetched_at: now,
        fresh_until: now.plus(Duration::from_hours(1)),
        gone_at: None,
    };
    site.store.put_metadata_document(&row).await.unwrap();
}

// MCP 2026-07-28 client-registration §Client ID Metadata Documents — AS-23
#[tokio::test]
async fn a_client_whose_document_names_keys_must_use_them() {
    let (site, signer) = (Site::new().await, Signer::new());
    let host = FakeHttp::start(vec![Act::json(200, &signer.jwks().to_string())]).await;
    let id = "http://127.0.0.1:9/client";
    publishes(&site, id, &format!("{}jwks", host.origin)).await;
    for form in [&[("client_id", id)][..], &[("client_id", id), ("client_secret", "x")]] {
        let nobody = site.authenticate(None, form).await;
        assert_eq!(refused(&nobody).0, StatusCode::UNAUTHORIZED, "{form:?}");
    }
    let mut theirs = claims();
    (theirs["iss"], theirs["sub"]) = (json!(id), json!(id));
    let known = present(&site, &signer.sign(&theirs)).await;
    assert_eq!(known.unwrap().id().as_str(), id);
    theirs["jti"] = json!("another");
    let of_another_key = present(&site, &Signer::new().sign(&theirs)).await;
    assert_eq!(refused(&of_another_key).0, StatusCode::UNAUTHORIZED);
}

// CIMD §6 — N101
#[tokio::test]
async fn key_sets_that_documents_name_are_fetched_out_of_the_same_share_as_documents() {
    let (site, signer) = (Site::new().await, Signer::new());
    let victim = FakeHttp::start(vec![Act::Close; 64]).await;
    for number in 0..30 {
        let id = format!("http://127.0.0.1:9/client/{number}");
        publishes(&site, &id, &format!("{}keys/{number}", victim.origin)).await;
        let mut theirs = claims();
        theirs["iss"] = json!(id);
        theirs["sub"] = json!(id);
        let error = present(&site, &signer.sign(&theirs)).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{number}");
    }
    assert_eq!(victim.requests().len(), 20);
    // What an operator named costs nobody's share, and has a place of its own.
    let keys = FakeHttp::start(vec![Act::json(200, &signer.jwks().to_string())]).await;
    let uri = format!("{}jwks", keys.origin);
    let metadata = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri });
    add(&site, "signer", &metadata.to_string(), None).await;
    assert!(present(&site, &signer.sign(&claims())).await.is_ok());
}
