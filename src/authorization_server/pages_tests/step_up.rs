//! Requests that ask for a login of a certain strength (`acr_values`, RFC 9470).

use std::time::Duration;

use axum::http::StatusCode;

use super::support::{PASSWORD, Site};

fn phr_or(others: &[&str]) -> Vec<String> {
    ["phr"].iter().chain(others).map(|value| (*value).to_owned()).collect()
}

// RFC 9470 §5
#[tokio::test]
async fn a_login_that_is_not_strong_enough_is_tried_again_once_and_then_refused() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    site.clock.advance(Duration::from_secs(5));
    let handle = site.request(|pending| pending.acr_values = phr_or(&[]));
    let path = format!("/consent?request={handle}");
    let login = browser.get(&format!("/login?request={handle}")).await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.location());
    let fields = [("username", "admin"), ("password", PASSWORD)];
    assert_eq!(browser.send("/login", &login, &fields).await.location(), path);
    let refused = browser.get(&path).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("error=unmet_authentication_requirements"), "{}", refused.body);
    assert!(site.store.lock().grants.is_empty() && site.store.lock().requests.is_empty());
}

// OIDC Core §3.1.2.1
#[tokio::test]
async fn a_login_that_is_as_strong_as_asked_for_answers_and_is_in_the_grant() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    site.clock.advance(Duration::from_secs(5));
    let handle = site.request(|pending| pending.acr_values = phr_or(&["pwd"]));
    let page = browser.get(&format!("/consent?request={handle}")).await;
    assert_eq!(page.status, StatusCode::OK);
    browser.send("/consent", &page, &[("decision", "allow")]).await;
    let login = site.store.lock().grants[0].login.clone();
    assert_eq!((login.acr.as_deref(), login.amr.as_deref()), (Some("pwd"), Some("pwd")));
    assert_eq!(login.sid.map(|sid| sid.len()), Some(22));
}
