//! `/authorize`: what is refused and where that is said, and what a person's answer becomes.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::json;

use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::client::{Asking, CHALLENGE, REDIRECT, register, told};

/// Refused on a page: nothing is sent anywhere, and the person can name the request to somebody.
fn is_a_page(answer: &Answer) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.header("location"), "");
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.body.contains("An administrator can <a href=\"/explain/"), "{}", answer.body);
}

/// Told to the client at its redirect URI; gives `error`.
fn told_to_the_client(product: &Product, answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    let location = answer.header("location");
    assert!(location.starts_with(REDIRECT), "{location}");
    let told = told(&location);
    assert_eq!(told["iss"], product.url(""), "{location}");
    assert!(!told.contains_key("code"), "{location}");
    told["error"].clone()
}

// RFC 6749 §4.1.2.1; RFC 9700 §4.11.2 — N1, N2, N4, N8, N10, N23, CD-5, AS-8, AS-9
#[tokio::test]
async fn nothing_is_sent_to_a_place_that_is_not_the_clients() {
    let product = Product::dev().await;
    let client = register(&product, &[REDIRECT, "https://client.example/cb"]).await;
    let asking = Asking::new(&client);
    for wrong in [
        asking.clone().with("client_id", "unknown"),
        asking.clone().with("client_id", ""),
        asking.clone().with("client_id", &format!("{client}A")),
        asking.clone().with("redirect_uri", ""),
        asking.clone().with("redirect_uri", "https://evil.example/cb"),
        asking.clone().with("redirect_uri", "https://client.example/cb/"),
        asking.clone().with("redirect_uri", "https://client.example/cb?x=1"),
        asking.clone().with("redirect_uri", "https://client.example/cb#x"),
        asking.clone().with("redirect_uri", "https://client.example:443/cb"),
        asking.clone().with("redirect_uri", "https://client.example@evil.example/cb"),
        asking.clone().with("redirect_uri", "http://localhost:53682/callback"),
        asking.clone().with("redirect_uri", "http://127.0.0.1.evil.example:53682/callback"),
        asking.clone().with("redirect_uri", "javascript:alert(1)"),
        asking.clone().and("redirect_uri", "https://client.example/cb"),
        asking.clone().and("client_id", &client),
    ] {
        is_a_page(&wrong.send(&product).await);
    }
}

// RFC 9700 §4.1.3 — N2
#[tokio::test]
async fn the_redirect_uris_of_the_settings_are_compared_as_they_were_written() {
    let product = Product::start(
        "[[authorization_server.client]]\nclient_id = \"web\"\ngrants = [\"authorization_code\"]\n\
         redirect_uris = [\"https://app.example\", \"cursor://a.b/cb\"]\n",
    )
    .await;
    let asking = |uri: &str| Asking::new("web").with("redirect_uri", uri);
    for right in ["https://app.example", "cursor://a.b/cb"] {
        let answer = asking(right).send(&product).await;
        assert!(answer.header("location").starts_with("/login?request="), "{right}: {answer:?}");
    }
    is_a_page(&asking("https://app.example/").send(&product).await);
}

// RFC 8252 §7.3 — N5, AS-8
#[tokio::test]
async fn a_loopback_client_may_listen_at_any_port() {
    let product = Product::dev().await;
    let client = register(&product, &[REDIRECT]).await;
    let asking = Asking::new(&client).with("redirect_uri", "http://127.0.0.1:1234/callback");
    assert!(asking.send(&product).await.header("location").starts_with("/login?request="));
}

// RFC 6749 §4.1.2.1, RFC 7636 §4.4.1, RFC 8707 §2, RFC 9207 §2 — N11, N15 to N20, N24, N27, N28, N33, N59, N63, AS-7, AS-10, AS-12
#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_to_its_client() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mcp = product.url("/mcp");
    for (wrong, error) in [
        (asking.clone().with("response_type", ""), "invalid_request"),
        (asking.clone().with("response_type", "token"), "unsupported_response_type"),
        (asking.clone().with("response_type", "code id_token"), "unsupported_response_type"),
        (asking.clone().with("response_mode", "fragment"), "invalid_request"),
        (asking.clone().with("code_challenge", ""), "invalid_request"),
        (asking.clone().with("code_challenge", &CHALLENGE[1..]), "invalid_request"),
        (asking.clone().with("code_challenge_method", ""), "invalid_request"),
        (asking.clone().with("code_challenge_method", "plain"), "invalid_request"),
        (asking.clone().with("code_challenge_method", "s256"), "invalid_request"),
        (asking.clone().and("scope", "graph:read"), "invalid_request"),
        (asking.clone().with("request", "eyJ"), "request_not_supported"),
        (asking.clone().with("request_uri", "https://evil.example/r"), "request_uri_not_supported"),
        (asking.clone().with("scope", "a\"b"), "invalid_scope"),
        (asking.clone().with("max_age", "soon"), "invalid_request"),
        (asking.clone().with("prompt", "none login"), "invalid_request"),
        (asking.clone().with("prompt", "none"), "login_required"),
        (asking.clone().with("resource", "https://other.example/mcp"), "invalid_target"),
        (asking.clone().with("resource", "/mcp"), "invalid_target"),
        (asking.clone().with("resource", &format!("{mcp}#x")), "invalid_target"),
        (asking.clone().and("resource", &mcp).and("resource", "urn:x"), "invalid_target"),
    ] {
        let answer = wrong.send(&product).await;
        assert_eq!(told_to_the_client(&product, &answer), error, "{}", wrong.query());
        assert_eq!(told(&answer.header("location"))["state"], "s t+ä");
    }
}

// RFC 9700 §4.11.2 — N15, N27, AS-9
#[tokio::test]
async fn nobody_is_sent_on_to_the_host_of_a_client_that_registered_itself_before_a_click() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &["https://anybody.example/cb"]).await)
        .with("redirect_uri", "https://anybody.example/cb");
    for (wrong, error) in [
        (asking.clone().with("response_type", "token"), "unsupported_response_type"),
        (asking.clone().with("prompt", "none"), "login_required"),
    ] {
        let page = wrong.send(&product).await;
        is_a_page(&page);
        let back = format!("href=\"https://anybody.example/cb?error={error}&");
        assert!(page.body.contains(&back), "{}", page.body);
        assert!(page.body.contains("Go back to anybody.example"), "{}", page.body);
    }
    let right = asking.send(&product).await;
    assert!(right.header("location").starts_with("/login?request="), "{right:?}");
}

// RFC 6749 §3.1 — N11, N12, N13
#[tokio::test]
async fn a_state_that_comes_twice_is_not_sent_back_and_a_query_beside_a_form_is_refused() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let twice = asking.clone().and("state", "other").send(&product).await;
    assert!(!told(&twice.header("location")).contains_key("state"));
    let form = |path: &str| {
        Request::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(asking.query())
    };
    is_a_page(&product.send(form("/authorize?state=x")).await);
    let posted = product.send(form("/authorize")).await;
    assert!(posted.header("location").starts_with("/login?request="), "{posted:?}");
    is_a_page(&product.send(Request::new("GET", &format!("{}&x=%ff", asking.path()))).await);
}

// RFC 6749 §3.1, OAuth 2.1 §7.5 — AS-13
#[tokio::test]
async fn what_nobody_knows_is_ignored_and_no_redirect_repeats_a_form() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await).with("unknown", "1");
    let form = Request::new("POST", "/authorize")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(asking.query());
    for answer in [asking.send(&product).await, product.send(form).await] {
        assert_eq!(answer.status, 303, "{answer:?}");
        assert!(answer.header("location").starts_with("/login?request="), "{answer:?}");
    }
}

#[tokio::test]
async fn a_form_that_is_too_large_is_answered_with_a_page() {
    let product = Product::dev().await;
    let form = Request::new("POST", "/authorize")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("state={}", "x".repeat(33 * 1024)));
    let answer = product.send(form).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    is_a_page(&Answer { status: 400, ..answer });
}

// RFC 9207 §2; RFC 9700 §4.12 — N14, N24, N25, AS-10 to AS-12
#[tokio::test]
async fn a_yes_sends_a_code_and_a_no_an_error_each_with_state_and_issuer() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await).path();
    let mut browser = Browser::of_the_administrator(&product).await;
    for (decision, member) in [("allow", "code"), ("deny", "error")] {
        let location = browser.answers(&asking, decision).await;
        assert!(location.starts_with(REDIRECT), "{location}");
        let told = told(&location);
        assert_eq!((told["state"].as_str(), &told["iss"]), ("s t+ä", &product.url("")));
        assert!(told.contains_key(member), "{location}");
        assert_eq!(told.len(), if decision == "allow" { 3 } else { 4 }, "{location}");
    }
}

// RFC 8252 §8.3 — N102
#[tokio::test]
async fn an_app_on_somebodys_computer_is_asked_about_each_time() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mut browser = Browser::of_the_administrator(&product).await;
    browser.answers(&asking.path(), "allow").await;
    let again = browser.asked(&asking.path()).await;
    assert!(again.body.contains("It asks again for what you have allowed"), "{}", again.body);
    let silent = browser.get(&asking.with("prompt", "none").path()).await;
    assert_eq!(told_to_the_client(&product, &silent), "consent_required");
}

// MCP authorization, CD-1
#[tokio::test]
async fn more_than_was_allowed_is_never_granted_without_asking() {
    let product = Product::dev().await;
    let host = "https://client.example/cb";
    let client = register(&product, &[host]).await;
    let asking = Asking::new(&client).with("redirect_uri", host);
    let mut browser = Browser::of_the_administrator(&product).await;
    let none = asking.clone().with("prompt", "none");
    let refused = browser.get(&none.path()).await;
    assert!(refused.body.contains("/cb?error=consent_required"), "{}", refused.body);
    browser.answers(&asking.path(), "allow").await;
    assert!(told(&browser.get(&none.path()).await.header("location")).contains_key("code"));
    let more = asking.with("scope", "graph:read graph:write");
    let silent = browser.get(&more.clone().with("prompt", "none").path()).await;
    assert!(silent.body.contains("/cb?error=consent_required"), "{}", silent.body);
    let page = browser.asked(&more.path()).await;
    assert!(page.body.contains("It will also be able to"), "{}", page.body);
}

// RFC 6749 §10.12 — N104, N105
#[tokio::test]
async fn a_request_of_one_session_cannot_be_answered_in_another() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await).path();
    let mut victim = Browser::of_the_administrator(&product).await;
    let login = victim.get(&asking).await.header("location");
    let consent = victim.get(&login).await.header("location");
    assert!(consent.starts_with("/consent?request="), "{consent}");
    assert_eq!(victim.get(&consent).await.status, 200);
    let mut stranger = Browser::new(&product);
    let sent = stranger.get(&consent).await;
    assert!(sent.header("location").starts_with("/login"), "{sent:?}");
    let forged = stranger.post("/consent", &[("request", "x"), ("decision", "allow")]).await;
    assert_eq!(forged.status, 403, "{forged:?}");
}

// OIDC Core §3.1.2.1 — N28
#[tokio::test]
async fn a_client_that_wants_a_new_login_gets_one() {
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let product = Product::start_at("", Arc::<FixedClock>::clone(&clock)).await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mut browser = Browser::of_the_administrator(&product).await;
    clock.advance(Duration::from_secs(1)); // logins count in whole seconds
    let asked = browser.get(&asking.with("max_age", "0").path()).await.header("location");
    let page = browser.get(&asked).await;
    assert_eq!(page.status, 200, "{page:?}");
    let around = browser.get(&asked.replace("/login", "/consent")).await;
    assert!(around.header("location").starts_with("/login?request="), "{around:?}");
}

// N115
#[tokio::test]
async fn a_client_that_registered_itself_never_gets_the_brokers_own_scopes() {
    let product = Product::dev().await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.asked(&asking.with("scope", "broker:admin graph:read").path()).await;
    assert!(!page.body.contains("broker:admin"), "{}", page.body);
    assert!(page.body.contains("graph:read"), "{}", page.body);
}

#[tokio::test]
async fn a_scope_is_shown_in_the_words_of_the_operator_as_text() {
    let words =
        "[authorization_server.scope_words]\n\"public:read\" = \"Read <b>our</b> leaflets\"\n";
    let product = Product::start(words).await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.asked(&asking.path()).await;
    assert!(page.body.contains("our") && page.body.contains("leaflets"), "{}", page.body);
    assert!(!page.body.contains("<b>our"), "{}", page.body);
    browser.answers(&asking.path(), "allow").await;
    let account = browser.get("/account").await;
    assert!(account.body.contains("leaflets") && !account.body.contains("<b>our"));
}

// RFC 8707 §2 — N59
#[tokio::test]
async fn a_request_that_is_refused_is_recorded_with_what_it_asked_for() {
    let product = Product::dev().await;
    let client = register(&product, &[REDIRECT]).await;
    let asking = Asking::new(&client);
    asking
        .clone()
        .with("resource", "https://u:CANARY@other.example/mcp?x=CANARY")
        .send(&product)
        .await;
    asking.clone().with("redirect_uri", "https://evil.example/CANARY").send(&product).await;
    asking.with("client_id", "unknown").send(&product).await;
    let refused = "oauth.authorization.refused";
    let events = product.audit().into_iter().filter(|event| event["event_type"] == refused);
    let payloads: Vec<_> = events
        .map(|event| {
            let mut payload = event["payload"].clone();
            let all = payload.as_object_mut().unwrap();
            let sent = all.remove("parameters").unwrap();
            assert_eq!(sent[0], json!({ "name": "response_type", "characters": 4 }));
            assert_eq!(all.remove("endpoint").unwrap(), "/authorize");
            all.remove("error_description");
            payload
        })
        .collect();
    let other = "https://other.example/mcp";
    assert_eq!(
        payloads,
        [
            json!({ "error": "invalid_target", "unverified_client_id": client, "resource": other }),
            json!({ "error": "invalid_redirect_uri", "unverified_client_id": client }),
            json!({ "error": "invalid_client", "unverified_client_id": "unknown" }),
        ]
    );
    assert!(!product.audit_lines().join("").contains("CANARY"));
}
