//! From a URL to a call, as an MCP client goes: 401, metadata, registration, log-in, consent, token, tools.

use serde_json::json;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::client::{Asking, REDIRECT, Reached, VERIFIER, register, send, told};

/// `POST /token` or its neighbours.
pub(super) async fn post(at: &impl Reached, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::new("POST", path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    send(at, request).await
}

/// A client with a code, as it stands before the token endpoint.
pub(super) struct Held {
    client_id: String,
    code: String,
}

impl Held {
    pub(super) async fn through(browser: &mut Browser<'_>, at: &impl Reached, scope: &str) -> Self {
        let client_id = register(at, &[REDIRECT]).await;
        let asking = Asking::new(&client_id).with("scope", scope);
        let location = browser.answers(&asking.path(), "allow").await;
        Self { client_id, code: told(&location)["code"].clone() }
    }

    /// Another code for the same client.
    pub(super) async fn again(&self, browser: &mut Browser<'_>) -> Self {
        let asking = Asking::new(&self.client_id).with("scope", "public:read");
        let location = browser.answers(&asking.path(), "allow").await;
        Self { client_id: self.client_id.clone(), code: told(&location)["code"].clone() }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    pub(super) fn exchange_fields(&self) -> [(&str, &str); 5] {
        [
            ("grant_type", "authorization_code"),
            ("code", &self.code),
            ("redirect_uri", REDIRECT),
            ("client_id", &self.client_id),
            ("code_verifier", VERIFIER),
        ]
    }

    pub(super) fn refresh_fields<'a>(&'a self, token: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", self.client_id.as_str()),
        ]
    }

    pub(super) async fn exchange(&self, at: &impl Reached) -> Answer {
        post(at, "/token", &self.exchange_fields()).await
    }

    pub(super) async fn refresh(&self, at: &impl Reached, token: &str) -> Answer {
        post(at, "/token", &self.refresh_fields(token)).await
    }
}

async fn calls(product: &Product, token: &str, tool: &str) -> Answer {
    let params = json!({ "name": tool, "arguments": {} });
    product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await
}

pub(super) fn text<'a>(answer: &'a serde_json::Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} in {answer}"))
}

// MCP 2026-07-28 authorization §Overview, OAuth 2.1 §4.1 — AS-1
#[tokio::test]
async fn a_person_who_consents_lets_a_client_call_what_it_asked_for_and_no_more() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let answer = held.exchange(&product).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert_eq!(text(&tokens, "scope"), "public:read");
    let token = text(&tokens, "access_token");
    let called = calls(&product, token, "get_public_info").await;
    assert_eq!(called.status, 200, "{called:?}");
    let refused = calls(&product, token, "get_confidential_info").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.header("www-authenticate").contains("confidential:read"), "{refused:?}");
}

#[tokio::test]
async fn only_in_development_a_start_makes_an_administrator() {
    assert!(Product::dev().await.has_first_link());
    assert!(!Product::start("environment = \"staging\"").await.has_first_link());
}

// MCP authorization, step-up — AS-30
#[tokio::test]
async fn a_step_up_keeps_what_was_granted_before() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let first = Held::through(&mut browser, &product, "public:read").await;
    first.exchange(&product).await;
    let asking = Asking::new(&first.client_id).with("scope", "confidential:read");
    let location = browser.answers(&asking.path(), "allow").await;
    let second = Held { client_id: first.client_id, code: told(&location)["code"].clone() };
    let tokens = second.exchange(&product).await.json();
    assert_eq!(text(&tokens, "scope"), "confidential:read public:read");
    let called = calls(&product, text(&tokens, "access_token"), "get_confidential_info").await;
    assert_eq!(called.status, 200, "{called:?}");
}

// RFC 6749 §4.1.2, §10.5 — N29, AS-12
#[tokio::test]
async fn a_code_that_comes_twice_ends_what_the_first_one_gave() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    let token = text(&tokens, "access_token");
    assert_eq!(calls(&product, token, "get_public_info").await.status, 200);
    let again = held.exchange(&product).await;
    assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_grant")));
    assert_eq!(calls(&product, token, "get_public_info").await.status, 401);
    let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.json()["error"], "invalid_grant");
}

// RFC 7009 §2.1
#[tokio::test]
async fn what_a_client_revokes_stops_working_at_once() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    let (token, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let fields = [("token", refresh), ("client_id", &held.client_id)];
    assert_eq!(post(&product, "/revoke", &fields).await.status, 200);
    assert_eq!(calls(&product, token, "get_public_info").await.status, 401);
    assert_eq!(held.refresh(&product, refresh).await.json()["error"], "invalid_grant");
}

// OAuth 2.1 §4.3.1
#[tokio::test]
async fn a_refresh_gives_a_new_token_and_works_on_after_a_restart() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await.json();
    assert_ne!(refreshed["refresh_token"], tokens["refresh_token"]);
    let token = text(&refreshed, "access_token");
    assert_eq!(calls(&product, token, "get_public_info").await.status, 200);
    let next = text(&refreshed, "refresh_token").to_owned();
    let authority = product.authority.clone();
    let directory = product.into_directory().await;
    let settings = [
        format!("server.public_url=http://{authority}"),
        "server.allowed_hosts=[\"127.0.0.1\"]".to_owned(),
    ];
    let again = Product::start_in(directory, "", &settings).await;
    let after = held.refresh(&again, &next).await;
    assert_eq!(after.status, 200, "{after:?}");
}

// The predecessor's fault: nothing about a person's log-in, no code and no token may be found where logs are kept.
#[tokio::test]
async fn the_audit_log_tells_the_whole_walk_and_holds_no_credential() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    let refresh = text(&tokens, "refresh_token").to_owned();
    held.refresh(&product, &refresh).await;
    let log = product.audit_lines().join("\n");
    for secret in
        [&held.code, &refresh, text(&tokens, "access_token"), VERIFIER, super::browser::PASSWORD]
    {
        assert!(!log.contains(secret), "{log}");
    }
    let types = product.event_types();
    for event in [
        "oauth.client.registered",
        "oauth.authorization.started",
        "oauth.authorization.granted",
        "oauth.token.issued",
        "oauth.token.refreshed",
    ] {
        assert!(types.iter().any(|known| known == event), "{event} in {types:?}");
    }
}
