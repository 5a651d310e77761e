//! The provider is down: before a person leaves for it, while they are away, and when they are back.

use axum::http::StatusCode;

use super::{come_back, leave, start};

const AWAY: &str = "The login service does not answer";

// RFC 6749 §4.1.3 — N109
#[tokio::test]
async fn a_provider_that_nobody_reaches_is_said_to_be_away_and_keeps_nobody_else_out() {
    let (provider, site, mut browser) = start().await;
    drop(provider);
    let page = browser.get("/login/with/idp").await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.body.contains(AWAY), "{}", page.body);
    let mut local = site.administrator().await;
    assert_eq!(local.get("/account").await.status, StatusCode::OK);
}

// RFC 6749 §4.1.3 — N109
#[tokio::test]
async fn a_provider_that_goes_away_in_between_logs_nobody_in() {
    let (provider, site, mut browser) = start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    provider.says(|script| script.token_at = Some(format!("http://{closed}/token")));
    let (_, state) = leave(&mut browser, &provider).await;
    let page = come_back(&mut browser, &format!("code=c&state={state}")).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.body.contains(AWAY), "{}", page.body);
    assert!(browser.cookie("session").is_none());
    assert_eq!(site.event_types().await, ["person.login.failed"]);
}

// RFC 6749 §5.2 — N109
#[tokio::test]
async fn a_token_endpoint_that_fails_logs_nobody_in_whatever_it_sends() {
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST, StatusCode::CREATED]
    {
        let (provider, site, mut browser) = start().await;
        provider.says(|script| script.status = status);
        let (_, state) = leave(&mut browser, &provider).await;
        let page = come_back(&mut browser, &format!("code=c&state={state}")).await;
        assert_eq!(page.status, StatusCode::BAD_GATEWAY, "{status}");
        assert!(!page.body.contains("upstream-token"), "{}", page.body);
        assert!(browser.cookie("session").is_none());
        assert_eq!(site.event_types().await, ["person.login.failed"]);
        // Another try begins anew.
        provider.says(|script| {
            script.status = StatusCode::OK;
            script.claims.as_object_mut().unwrap().remove("nonce");
        });
        let (_, state) = leave(&mut browser, &provider).await;
        let done = come_back(&mut browser, &format!("code=c&state={state}")).await;
        assert_eq!(done.location(), "/account", "{status}");
    }
}
