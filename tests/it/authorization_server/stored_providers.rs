//! Identity providers that are added, changed and taken out while brokers run, as people and their apps find out.

mod commands;
mod refused;
mod replicas;
mod roles;
mod stood_against;

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};
use crate::support::tokens::SigningKey;

use super::browser::Browser;
use super::client::told;
use super::flow::{Held, text};

const BASE: &str = "/api/v1/identity-providers";
const ONE: &str = "/api/v1/identity-providers/partner";

/// An `OpenID` provider that knows Bob.
struct Idp {
    fake: FakeHttp,
    key: SigningKey,
    issuer: String,
}

impl Idp {
    async fn start() -> Self {
        let fake = FakeHttp::start(Reply::status(404)).await;
        let issuer = fake.url().as_str().trim_end_matches('/').to_owned();
        let at = |path: &str| format!("{issuer}{path}");
        let document = json!({
            "issuer": issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "id_token_signing_alg_values_supported": ["ES256"],
        });
        fake.answers_at("/.well-known/openid-configuration", Reply::json(document.to_string()));
        let key = SigningKey::ec();
        fake.answers_at("/jwks", Reply::json(key.jwks("k")));
        Self { fake, key, issuer }
    }

    /// Answers the next code with who Bob is.
    fn vouches(&self, nonce: &str) {
        self.vouches_with(nonce, &json!({}));
    }

    /// The same with more claims.
    fn vouches_with(&self, nonce: &str, more: &Value) {
        let now = SystemClock.now().unix_seconds();
        let mut claims = json!({
            "iss": self.issuer, "aud": "broker", "sub": "1", "preferred_username": "bob", "nonce": nonce,
            "iat": now, "exp": now + 300, "groups": ["staff", "corp:staff"],
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k" });
        let token = self.key.sign(&header, &claims);
        let answer = json!({ "access_token": "t", "token_type": "Bearer", "id_token": token });
        self.fake.answers_at("/token", Reply::json(answer.to_string()));
    }

    /// What is sent to add it.
    fn provider(&self) -> Value {
        json!({
            "id": "partner", "name": "Partner Ltd", "issuer": self.issuer, "groups_prefix": "partner:",
            "client_id": "broker",
        })
    }

    /// How often it was shown a code.
    fn codes(&self) -> usize {
        self.fake.asked().iter().filter(|asked| asked.path == "/token").count()
    }

    /// Presses the button; gives where the browser comes back to.
    async fn leaves(&self, browser: &mut Browser<'_>) -> String {
        let left = browser.get("/login/with/partner").await;
        assert_eq!(left.status, 303, "{left:?}");
        let sent = told(&left.header("location"));
        self.vouches(&sent["nonce"]);
        format!("/login/callback/partner?code=x&state={}", sent["state"])
    }

    async fn logs_in(&self, browser: &mut Browser<'_>) {
        let back = self.leaves(browser).await;
        let done = browser.get(&back).await;
        assert_eq!(done.status, 303, "{done:?}");
    }
}

/// A broker whose administrator is Ada.
async fn start(more: &str) -> Product {
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[authorization_server.administrators]\nsubjects = [\"ada\"]\ngroups = [\"ops:admins\"]\n";
    Product::start(&[settings, more].concat()).await
}

async fn administer(product: &Product, method: &str, path: &str, body: &Value) -> Answer {
    let token = product.token(&["broker:admin"]);
    let request = Request::new(method, path)
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    product.send(request.body(body)).await
}

async fn add(product: &Product, idp: &Idp) -> Answer {
    let added = administer(product, "POST", BASE, &idp.provider()).await;
    assert_eq!(added.status, 201, "{added:?}");
    added
}

async fn calls(product: &Product, token: &str) -> u16 {
    let params = json!({ "name": "get_public_info", "arguments": {} });
    product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await.status
}

async fn bob(product: &Product) -> Value {
    let users = administer(product, "GET", "/api/v1/users", &Value::Null).await.json();
    let users = users["items"].as_array().unwrap();
    users.iter().find(|user| user["username"] == "bob").unwrap().clone()
}

// OIDC Core §3.1, §5.7 — N109
#[tokio::test]
async fn people_log_in_at_a_provider_that_was_just_added() {
    let idp = Idp::start().await;
    let secret = format!(
        "[[authorization_server.identity_provider_secret]]\nname = \"partner\"\nissuers = [\"{}\"]\nsecret = \"idp-CANARY\"\n",
        idp.issuer
    );
    let product = start(&secret).await;
    let mut browser = Browser::new(&product);
    assert!(!browser.get("/login").await.body.contains("Partner Ltd"));
    assert_eq!(browser.get("/login/with/partner").await.status, 404);
    let mut new = idp.provider();
    new["client_secret"] = json!("partner");
    let added = administer(&product, "POST", BASE, &new).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!(added.json()["callback"], product.url("/login/callback/partner"));
    assert!(browser.get("/login").await.body.contains("Partner Ltd"));
    idp.logs_in(&mut browser).await;
    let asked = idp.fake.asked();
    let shown = asked.iter().find(|asked| asked.path == "/token").unwrap();
    assert!(shown.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    let listed = administer(&product, "GET", BASE, &Value::Null).await;
    assert_eq!(
        (&listed.json()["items"][0]["source"], listed.json()["items"].as_array().unwrap().len()),
        (&json!("store"), 1)
    );
    let log = product.audit_lines().join("\n");
    assert!(!format!("{added:?}{listed:?}{log}").contains("CANARY"));
    let ended = r#""object":"identity_provider","action":"add","id":"partner","outcome":"done""#;
    assert!(log.contains(ended), "{log}");
}

// N109
#[tokio::test]
async fn its_groups_have_its_prefix_and_those_of_the_settings_never_do() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    idp.logs_in(&mut Browser::new(&product)).await;
    assert_eq!(bob(&product).await["groups"], json!(["partner:staff", "partner:corp:staff"]));
    // The same provider in the settings, without a prefix: what names the groups of the store is not taken from it.
    let settled = Idp::start().await;
    let settings = format!(
        "[[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"{}\"\nclient_id = \"broker\"\n",
        settled.issuer
    );
    let product = start(&settings).await;
    let mut new = idp.provider();
    (new["id"], new["groups_prefix"]) = (json!("corp"), json!("corp:"));
    assert_eq!(administer(&product, "POST", BASE, &new).await.status, 201);
    settled.logs_in(&mut Browser::new(&product)).await;
    assert_eq!(bob(&product).await["groups"], json!(["staff"]));
}

// RFC 9700 §4.14.2 — N37, N51
#[tokio::test]
async fn what_its_people_have_ends_with_a_provider_and_they_come_back_with_it() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    let mut browser = Browser::new(&product);
    for (method, path) in [("POST", format!("{ONE}/disable")), ("DELETE", ONE.to_owned())] {
        idp.logs_in(&mut browser).await;
        let before = bob(&product).await;
        let held = Held::through(&mut browser, &product, "public:read").await;
        let tokens = held.exchange(&product).await.json();
        let late = Held::through(&mut browser, &product, "public:read").await;
        let token = text(&tokens, "access_token");
        assert_eq!(calls(&product, token).await, 200);
        let ended = administer(&product, method, &path, &Value::Null).await;
        assert_eq!((ended.status, &ended.json()), (200, &json!({ "sessions": 1, "grants": 2 })));
        assert_eq!(calls(&product, token).await, 401, "though it was remembered");
        let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await;
        assert_eq!(refreshed.json()["error"], "invalid_grant");
        assert_eq!(late.exchange(&product).await.json()["error"], "invalid_grant");
        assert_eq!(browser.get("/account").await.header("location"), "/login");
        assert_eq!(browser.get("/login/with/partner").await.status, 404);
        if method == "POST" {
            let enabled = format!("{ONE}/enable");
            assert_eq!(administer(&product, "POST", &enabled, &Value::Null).await.status, 204);
        } else {
            add(&product, &idp).await;
        }
        idp.logs_in(&mut browser).await;
        assert_eq!(bob(&product).await["id"], before["id"]);
    }
}

// RFC 9700 §4.4 — N109
#[tokio::test]
async fn who_is_in_the_middle_of_a_log_in_is_told_and_their_code_goes_to_nobody_else() {
    let (idp, other) = (Idp::start().await, Idp::start().await);
    let product = start("").await;
    add(&product, &idp).await;
    let mut browser = Browser::new(&product);
    let back = idp.leaves(&mut browser).await;
    let disable = format!("{ONE}/disable");
    assert_eq!(administer(&product, "POST", &disable, &Value::Null).await.status, 200);
    let refused = browser.get(&back).await;
    assert_eq!((refused.status, idp.codes()), (403, 0), "{refused:?}");
    assert!(refused.body.contains("You cannot log in there any more"), "{refused:?}");
    let enable = format!("{ONE}/enable");
    assert_eq!(administer(&product, "POST", &enable, &Value::Null).await.status, 204);
    let back = idp.leaves(&mut browser).await;
    assert_eq!(administer(&product, "DELETE", ONE, &Value::Null).await.status, 200);
    add(&product, &other).await;
    other.vouches("whatever");
    let refused = browser.get(&back).await;
    assert_eq!((refused.status, idp.codes(), other.codes()), (502, 0, 0), "{refused:?}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
}

#[tokio::test]
async fn a_change_counts_for_the_next_log_in_and_what_it_leaves_out_stays() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    let change =
        json!({ "name": "Partner AG", "scopes": "openid email", "require": { "staff": ["yes"] } });
    let changed = administer(&product, "PATCH", ONE, &change).await;
    let shown = administer(&product, "GET", ONE, &Value::Null).await.json();
    assert_eq!((changed.status, changed.json()), (200, shown.clone()));
    assert_eq!((&shown["name"], &shown["client_id"]), (&json!("Partner AG"), &json!("broker")));
    let mut browser = Browser::new(&product);
    assert!(browser.get("/login").await.body.contains("Partner AG"));
    let sent = told(&browser.get("/login/with/partner").await.header("location"));
    assert_eq!(sent["scope"], "email openid");
    idp.vouches(&sent["nonce"]);
    let back = format!("/login/callback/partner?code=x&state={}", sent["state"]);
    assert_eq!(browser.get(&back).await.status, 403, "the claim is missing");
}
