//! A provider that says that a log-in is over (OIDC Back-Channel Logout 1.0).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::authorization_server::keys::TokenType;
use crate::authorization_server::pages_tests::support::{Browser, NOW, Page, Site};

use super::{Provider, come_back, discovery, jwks, leave_for, plain_oauth, start};

/// More than get a line.
const TRIES: usize = 400;

/// A logout token of the provider, changed.
fn token(provider: &Provider, change: impl FnOnce(&mut Value)) -> String {
    let script = provider.script.lock().unwrap();
    let mut claims = json!({
        "iss": script.issuer, "aud": "broker", "iat": NOW, "exp": NOW + 120, "jti": "j1", "sid": "at-contoso",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    change(&mut claims);
    let key = script.keys.signing().unwrap();
    key.jwt(TokenType::LogoutToken, &claims).unwrap().expose().to_owned()
}

/// As the provider's machine sends it: without cookies.
async fn posts(site: &Site, path: &str, token: &str) -> Page {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("logout_token={token}");
    Browser::new(site).exchange(Method::POST, path, &headers, body).await
}

async fn sends(site: &Site, token: &str) -> StatusCode {
    posts(site, "/login/logout/idp", token).await.status
}

/// Logs in as `subject` in the provider's session `sid`, and lets an app do something.
async fn allows(browser: &mut Browser, (site, provider): (&Site, &Provider), sid: &str) {
    let handle = site.request(|_| ());
    provider.says(|script| script.claims = json!({ "sub": "1", "sid": sid }));
    let (_, state) =
        leave_for(browser, provider, &format!("/login/with/idp?request={handle}")).await;
    let done = come_back(browser, &format!("code=c&state={state}")).await;
    let page = browser.get(done.location()).await;
    browser.send("/consent", &page, &[("decision", "allow")]).await;
}

fn live(site: &Site) -> usize {
    site.store.lock().grants.iter().filter(|grant| grant.revoked_at.is_none()).count()
}

// OIDC Back-Channel Logout §2.7 — N51
#[tokio::test]
async fn a_log_in_that_is_over_elsewhere_is_over_here_with_what_was_allowed_in_it() {
    let (provider, site, mut browser) = start().await;
    let mut other = Browser::new(&site);
    allows(&mut browser, (&site, &provider), "at-contoso").await;
    allows(&mut other, (&site, &provider), "another").await;
    assert_eq!(sends(&site, &token(&provider, |_| ())).await, StatusCode::OK);
    assert_eq!(browser.get("/account").await.location(), "/login");
    assert_eq!(other.get("/account").await.status, StatusCode::OK);
    assert_eq!(live(&site), 1);
    let events = site.event_types().await;
    assert_eq!(events.last().unwrap(), "person.logged_out_elsewhere");
}

// OIDC Back-Channel Logout §2.6
#[tokio::test]
async fn a_logout_token_that_is_not_acceptable_ends_nothing() {
    let (provider, site, mut browser) = start().await;
    allows(&mut browser, (&site, &provider), "at-contoso").await;
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("somebody else")),
        ("nonce", json!("n")),
        ("events", json!({})),
        ("exp", json!(NOW - 3600)),
        ("jti", Value::Null),
    ] {
        let wrong = token(&provider, |claims| claims[name] = value);
        assert_eq!(sends(&site, &wrong).await, StatusCode::BAD_REQUEST, "{name}");
    }
    let foreign = Provider::start().await;
    let forged = token(&foreign, |claims| claims["iss"] = json!(provider.issuer));
    assert_eq!(sends(&site, &forged).await, StatusCode::BAD_REQUEST, "of another key");
    let unknown = posts(&site, "/login/logout/nobody", &token(&provider, |_| ())).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert_eq!(unknown.headers["cache-control"], "no-store");
    assert_eq!((browser.get("/account").await.status, live(&site)), (StatusCode::OK, 1));
    assert_eq!(site.event_types().await.last().unwrap(), "person.logout.refused");
}

// OIDC Back-Channel Logout §2.6
#[tokio::test]
async fn a_logout_token_counts_once() {
    let (provider, site, mut browser) = start().await;
    let once = token(&provider, |_| ());
    assert_eq!(sends(&site, &once).await, StatusCode::OK, "also where nobody was logged in");
    allows(&mut browser, (&site, &provider), "at-contoso").await;
    assert_eq!(sends(&site, &once).await, StatusCode::BAD_REQUEST);
    assert_eq!(live(&site), 1);
}

impl Provider {
    /// Nobody listens there any more.
    async fn goes_away(&mut self) {
        self.server.shutdown().await;
    }

    /// Somebody does again, at the same address.
    async fn comes_back(&mut self) {
        let address = self.issuer.strip_prefix("http://").unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .with_state(Arc::clone(&self.script));
        self.server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    }
}

// OIDC Back-Channel Logout §2.8
#[tokio::test]
async fn a_provider_that_is_away_is_asked_to_come_again_and_its_token_is_not_used_up() {
    let mut provider = Provider::start().await;
    let site = Site::with("https://broker.example", vec![provider.settings()]);
    let token = token(&provider, |_| ());
    provider.goes_away().await;
    for _ in 0..2 {
        let away = posts(&site, "/login/logout/idp", &token).await;
        assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(away.headers.contains_key("retry-after"));
    }
    provider.comes_back().await;
    site.clock.advance(Duration::from_secs(31));
    assert_eq!(sends(&site, &token).await, StatusCode::OK);
    assert_eq!(sends(&site, &token).await, StatusCode::BAD_REQUEST, "now it is");
}

// OIDC Back-Channel Logout §2.8
#[tokio::test]
async fn a_provider_that_says_it_is_another_is_asked_to_come_again() {
    let provider = Provider::start().await;
    let site = Site::with("https://broker.example", vec![provider.settings()]);
    let token = token(&provider, |_| ());
    provider.says(|script| "https://evil.example".clone_into(&mut script.issuer));
    assert_eq!(sends(&site, &token).await, StatusCode::SERVICE_UNAVAILABLE);
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// N111
#[tokio::test]
async fn strangers_fill_neither_log() {
    let (_provider, site, _) = start().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    for _ in 0..TRIES {
        assert_eq!(sends(&site, "x").await, StatusCode::BAD_REQUEST);
    }
    drop(logging);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let logged = text.lines().filter(|line| line.contains("logout.refused")).count();
    let events = site.event_types().await;
    let recorded = events.iter().filter(|name| *name == "person.logout.refused").count();
    assert_eq!(logged, recorded);
    assert!((1..TRIES).contains(&logged), "{logged}");
}

#[tokio::test]
async fn a_provider_that_is_plain_oauth_can_say_nothing() {
    let provider = Provider::start().await;
    let site = Site::with("https://broker.example", vec![plain_oauth(&provider)]);
    assert_eq!(sends(&site, &token(&provider, |_| ())).await, StatusCode::BAD_REQUEST);
}
