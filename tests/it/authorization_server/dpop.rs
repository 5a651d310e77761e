//! Tokens that are bound to a key (RFC 9449), from the request for one to its use: with them a thief has nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth_broker::id::RequestId;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, register, told};
use super::flow::text;

pub(super) const ALLOWED: &str = "[resource_server]\ndpop = \"allowed\"\n";

/// The key of a client.
pub(super) struct ClientKey(KeyPair);

impl ClientKey {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    /// RFC 7638
    fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// A proof with these claims; what is not given is as it should be.
    pub(super) fn proof(&self, method: &str, url: &str, change: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(serde_json::from_value(self.jwk()).unwrap());
        let jti = RequestId::generate(&SystemClock, &SystemRandom::new()).to_string();
        let mut claims = json!({
            "htm": method, "htu": url, "jti": jti, "iat": SystemClock.now().unix_seconds(),
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let key = EncodingKey::from_ec_der(self.0.serialized_der());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    /// One for a tool call with this token.
    pub(super) fn for_call(&self, url: &str, token: &str, change: &Value) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let mut with_token = json!({ "ath": URL_SAFE_NO_PAD.encode(digest) });
        for (name, value) in change.as_object().unwrap() {
            with_token[name] = value.clone();
        }
        self.proof("POST", url, &with_token)
    }
}

/// `POST` of a form with a proof or none.
async fn post(
    product: &Product,
    path: &str,
    (fields, proof): (&[(&str, &str)], Option<&str>),
) -> Answer {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::new("POST", path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let request = match proof {
        Some(proof) => request.header("dpop", proof),
        None => request,
    };
    product.send(request).await
}

pub(super) fn call(scheme: &str, token: &str, proof: Option<&str>) -> Request {
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let request = mcp(Wire::Modern, None, "tools/call", params);
    let request = request.header("authorization", &format!("{scheme} {token}"));
    match proof {
        Some(proof) => request.header("dpop", proof),
        None => request,
    }
}

/// A public client with a key, and the code that the administrator allowed it.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) key: ClientKey,
    code: String,
}

impl Client {
    pub(super) async fn with_code(product: &Product, jkt: bool) -> Self {
        let (key, id) = (ClientKey::new(), register(product, &[REDIRECT]).await);
        let asking = Asking::new(&id).with("scope", "public:read openid");
        let asking = if jkt { asking.with("dpop_jkt", &key.thumbprint()) } else { asking };
        let mut browser = Browser::of_the_administrator(product).await;
        let location = browser.answers(&asking.path(), "allow").await;
        Self { code: told(&location)["code"].clone(), id, key }
    }

    async fn redeems(&self, product: &Product, proof: Option<&str>) -> Answer {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", self.code.as_str()),
            ("redirect_uri", REDIRECT),
            ("client_id", &self.id),
            ("code_verifier", VERIFIER),
        ];
        post(product, "/token", (&fields, proof)).await
    }

    async fn refreshes(&self, product: &Product, token: &str, proof: Option<&str>) -> Answer {
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &self.id)];
        post(product, "/token", (&fields, proof)).await
    }

    /// Tokens that are bound to its key.
    pub(super) async fn tokens(&self, product: &Product) -> Value {
        let proof = self.key.proof("POST", &product.url("/token"), &json!({}));
        let answer = self.redeems(product, Some(&proof)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["token_type"], "DPoP");
        answer.json()
    }
}

fn is_refused(answer: &Answer, error: &str) {
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)), "{answer:?}");
}

// RFC 9449 §4.3, §7.1 — N88
#[tokio::test]
async fn a_bound_token_is_of_use_with_a_proof_of_its_key_for_this_very_request() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, false).await;
    let tokens = client.tokens(&product).await;
    let (token, url) = (text(&tokens, "access_token"), product.url("/mcp"));
    let proof = client.key.for_call(&url, token, &json!({}));
    let called = product.send(call("DPoP", token, Some(&proof))).await;
    assert_eq!(called.status, 200, "{called:?}");
    let long_ago = SystemClock.now().unix_seconds() - 120;
    let other = ClientKey::new();
    let wrong = [
        proof.clone(),
        client.key.for_call(&url, token, &json!({ "htm": "GET" })),
        client.key.for_call(&url, token, &json!({ "htu": product.url("/token") })),
        client.key.for_call(&url, token, &json!({ "htu": "http://evil.example/mcp" })),
        client.key.for_call(&url, token, &json!({ "iat": long_ago })),
        client.key.for_call(&url, token, &json!({ "iat": long_ago + 240 })),
        client.key.for_call(&url, token, &json!({ "ath": "x" })),
        client.key.for_call(&url, token, &json!({ "jti": "" })),
        other.for_call(&url, token, &json!({})),
        "x".to_owned(),
    ];
    for proof in wrong.iter().map(|proof| Some(proof.as_str())).chain([None]) {
        let refused = product.send(call("DPoP", token, proof)).await;
        assert_eq!(refused.status, 401, "{proof:?}: {refused:?}");
        assert!(refused.head.contains("DPoP algs="), "{refused:?}");
        assert!(refused.head.contains("error=\"invalid_dpop_proof\""), "{refused:?}");
    }
    let with_query = client.key.for_call(&format!("{url}?x=1"), token, &json!({}));
    assert_eq!(product.send(call("DPoP", token, Some(&with_query))).await.status, 200);
    let twice = client.key.for_call(&url, token, &json!({}));
    let twice = call("DPoP", token, Some(&twice)).header("dpop", &twice);
    assert_eq!(product.send(twice).await.status, 401, "two proofs");
}

// RFC 9449 §7.1, §7.2 — N88
#[tokio::test]
async fn a_bound_token_is_no_bearer_token_and_a_bearer_token_no_bound_one() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, false).await;
    let tokens = client.tokens(&product).await;
    let (bound, url) = (text(&tokens, "access_token"), product.url("/mcp"));
    for _ in 0..2 {
        assert_eq!(product.send(call("Bearer", bound, None)).await.status, 401);
        let proof = client.key.for_call(&url, bound, &json!({}));
        assert_eq!(product.send(call("Bearer", bound, Some(&proof))).await.status, 401);
        assert_eq!(product.send(call("DPoP", bound, Some(&proof))).await.status, 200);
    }
    let plain = product.token(&["public:read"]);
    assert_eq!(product.send(call("Bearer", &plain, None)).await.status, 200);
    let proof = client.key.for_call(&url, &plain, &json!({}));
    assert_eq!(product.send(call("DPoP", &plain, Some(&proof))).await.status, 401);
    let asked =
        Request::new("GET", "/userinfo").header("authorization", &format!("Bearer {bound}"));
    assert_eq!(product.send(asked).await.status, 401);
    let digest = client.key.for_call(&product.url("/userinfo"), bound, &json!({ "htm": "GET" }));
    let asked = Request::new("GET", "/userinfo")
        .header("authorization", &format!("DPoP {bound}"))
        .header("dpop", &digest);
    let told = product.send(asked).await;
    assert_eq!(told.status, 200, "{told:?}");
}

// RFC 9449 §5 — N88
#[tokio::test]
async fn the_refresh_token_of_a_public_client_is_bound_to_its_key() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, false).await;
    let tokens = client.tokens(&product).await;
    let refresh = text(&tokens, "refresh_token");
    let at = product.url("/token");
    is_refused(&client.refreshes(&product, refresh, None).await, "invalid_grant");
    let other = ClientKey::new().proof("POST", &at, &json!({}));
    is_refused(&client.refreshes(&product, refresh, Some(&other)).await, "invalid_grant");
    let own = || client.key.proof("POST", &at, &json!({}));
    let refreshed = client.refreshes(&product, refresh, Some(&own())).await;
    assert_eq!(refreshed.status, 200, "whoever has no key uses nothing up: {refreshed:?}");
    let again = client.refreshes(&product, refresh, Some(&own())).await;
    assert_eq!(again.body, refreshed.body, "the same answer, to who holds the key");
    is_refused(&client.refreshes(&product, refresh, None).await, "invalid_grant");
    let next = refreshed.json();
    let next = text(&next, "refresh_token");
    is_refused(&client.refreshes(&product, next, None).await, "invalid_grant");
    assert_eq!(client.refreshes(&product, next, Some(&own())).await.status, 200);
}

// RFC 9449 §5 — N88
#[tokio::test]
async fn a_refresh_token_that_was_not_bound_is_from_the_first_proof_on() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, false).await;
    let tokens = client.redeems(&product, None).await.json();
    assert_eq!(tokens["token_type"], "Bearer");
    let own = || client.key.proof("POST", &product.url("/token"), &json!({}));
    let refresh = text(&tokens, "refresh_token");
    let refreshed = client.refreshes(&product, refresh, Some(&own())).await;
    assert_eq!(refreshed.json()["token_type"], "DPoP", "{refreshed:?}");
    let next = refreshed.json();
    let next = text(&next, "refresh_token");
    is_refused(&client.refreshes(&product, next, None).await, "invalid_grant");
    assert_eq!(client.refreshes(&product, next, Some(&own())).await.status, 200);
}

// RFC 9449 §10, §10.1 — N89
#[tokio::test]
async fn a_code_that_is_bound_to_a_key_is_redeemed_with_it() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, true).await;
    let at = product.url("/token");
    is_refused(&client.redeems(&product, None).await, "invalid_grant");
    let other = ClientKey::new().proof("POST", &at, &json!({}));
    is_refused(&client.redeems(&product, Some(&other)).await, "invalid_grant");
    client.tokens(&product).await;
    let shape = Asking::new(&client.id).with("dpop_jkt", "short").send(&product).await;
    assert!(shape.head.contains("dpop_jkt"), "{shape:?}");
    let asking = Asking::new(&client.id).with("dpop_jkt", &client.key.thumbprint());
    let body = asking.query();
    let proof = ClientKey::new().proof("POST", &product.url("/par"), &json!({}));
    let request = Request::new("POST", "/par")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("dpop", &proof)
        .body(body);
    is_refused(&product.send(request).await, "invalid_dpop_proof");
}

// RFC 9449 §4.3, §5 — N88
#[tokio::test]
async fn the_token_endpoint_takes_a_proof_for_itself_alone_and_once() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, false).await;
    let at = product.url("/token");
    for wrong in [
        client.key.proof("GET", &at, &json!({})),
        client.key.proof("POST", &product.url("/mcp"), &json!({})),
        client.key.proof("POST", &at, &json!({ "iat": 1_700_000_000 })),
        "e30.e30.e30".to_owned(),
    ] {
        is_refused(&client.redeems(&product, Some(&wrong)).await, "invalid_dpop_proof");
    }
    let proof = client.key.proof("POST", &at, &json!({}));
    let tokens = client.redeems(&product, Some(&proof)).await;
    assert_eq!(tokens.status, 200, "a bad proof uses no code up: {tokens:?}");
    let tokens = tokens.json();
    let refresh = text(&tokens, "refresh_token");
    is_refused(&client.refreshes(&product, refresh, Some(&proof)).await, "invalid_dpop_proof");
}

// RFC 9449 §8, §9 — N88
#[tokio::test]
async fn with_nonces_a_proof_that_was_made_ahead_of_its_time_is_of_no_use() {
    let settings = "[resource_server]\ndpop = \"allowed\"\ndpop_nonce = true\n";
    let product = Product::start(settings).await;
    let client = Client::with_code(&product, false).await;
    let at = product.url("/token");
    let early = client.key.proof("POST", &at, &json!({}));
    let refused = client.redeems(&product, Some(&early)).await;
    is_refused(&refused, "use_dpop_nonce");
    let nonce = refused.header("dpop-nonce");
    let forged = client.key.proof("POST", &at, &json!({ "nonce": "x" }));
    is_refused(&client.redeems(&product, Some(&forged)).await, "use_dpop_nonce");
    let proof = client.key.proof("POST", &at, &json!({ "nonce": nonce }));
    let tokens = client.redeems(&product, Some(&proof)).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let tokens = tokens.json();
    let (token, url) = (text(&tokens, "access_token"), product.url("/mcp"));
    let early = client.key.for_call(&url, token, &json!({}));
    let refused = product.send(call("DPoP", token, Some(&early))).await;
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("error=\"use_dpop_nonce\""), "{refused:?}");
    let with = json!({ "nonce": refused.header("dpop-nonce") });
    let proof = client.key.for_call(&url, token, &with);
    assert_eq!(product.send(call("DPoP", token, Some(&proof))).await.status, 200);
}

// RFC 9449 §5.2, RFC 9728 §2
#[tokio::test]
async fn where_bound_tokens_are_required_no_other_is_given_or_taken() {
    let product = Product::start("[resource_server]\ndpop = \"required\"\n").await;
    let metadata = product.get("/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
    let client = Client::with_code(&product, false).await;
    is_refused(&client.redeems(&product, None).await, "invalid_dpop_proof");
    let tokens = client.tokens(&product).await;
    let plain = product.token(&["public:read"]);
    let refused = product.send(call("Bearer", &plain, None)).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.starts_with("DPoP algs=\"ES256 "), "{challenge}");
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    assert!(!refused.head.contains("Bearer"), "{refused:?}");
    let token = text(&tokens, "access_token");
    let proof = client.key.for_call(&product.url("/mcp"), token, &json!({}));
    assert_eq!(product.send(call("DPoP", token, Some(&proof))).await.status, 200);
}

// RFC 9449 §5.1, §5.2
#[tokio::test]
async fn a_client_can_ask_to_be_held_to_it_and_metadata_says_what_there_is() {
    let settings = "[[authorization_server.client]]\nclient_id = \"nightly\"\nsecret = \"s3cret-of-32-characters-or-longer\"\n\
        grants = [\"client_credentials\"]\nscopes = [\"public:read\"]\ndpop_bound_access_tokens = true\n";
    let product = Product::start(&format!("{ALLOWED}{settings}")).await;
    let algorithms = json!(["ES256", "ES384", "EdDSA", "PS256", "RS256", "RS384"]);
    for document in ["oauth-authorization-server", "oauth-protected-resource/mcp"] {
        let metadata = product.get(&format!("/.well-known/{document}")).await.json();
        assert_eq!(metadata["dpop_signing_alg_values_supported"], algorithms);
        assert_eq!(metadata["dpop_bound_access_tokens_required"], Value::Null);
    }
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "nightly"),
        ("client_secret", "s3cret-of-32-characters-or-longer"),
    ];
    is_refused(&post(&product, "/token", (&fields, None)).await, "invalid_dpop_proof");
    let key = ClientKey::new();
    let proof = key.proof("POST", &product.url("/token"), &json!({}));
    let tokens = post(&product, "/token", (&fields, Some(&proof))).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let tokens = tokens.json();
    let mut asked = fields.to_vec();
    asked[0] = ("token", text(&tokens, "access_token"));
    let told = post(&product, "/introspect", (&asked, None)).await.json();
    assert_eq!(
        (&told["token_type"], &told["cnf"]["jkt"]),
        (&json!("DPoP"), &json!(key.thumbprint()))
    );
}

#[tokio::test]
async fn where_it_is_off_nothing_is_bound_and_nothing_says_so() {
    let product = Product::dev().await;
    let metadata = product.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], Value::Null);
    let client = Client::with_code(&product, true).await;
    let proof = client.key.proof("POST", &product.url("/token"), &json!({}));
    let tokens = client.redeems(&product, Some(&proof)).await.json();
    assert_eq!(tokens["token_type"], "Bearer");
    let token = text(&tokens, "access_token");
    assert_eq!(product.send(call("DPoP", token, Some(&proof))).await.status, 401);
    assert_eq!(product.send(call("Bearer", token, None)).await.status, 200);
}
