//! Where a password alone is not enough, by the settings or by what a client asks for.

use std::time::Duration;

use axum::http::StatusCode;

use crate::authorization_server::SecondFactor;
use crate::authorization_server::second_factor::Authenticator;
use crate::store::OwnLogin;
use crate::time::Clock as _;

use super::support::{Browser, PASSWORD, Site, between};

const ENROL: &str = "/login/authenticator";

/// A browser of the first administrator, who chose a password and has to go on.
async fn sent_on(site: &Site, to: &str) -> Browser {
    let (mut browser, link) = (Browser::new(site), site.link().await);
    let page = browser.get(&link).await;
    let fields = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.send(&link, &page, &fields).await.location(), to);
    browser
}

#[tokio::test]
async fn who_must_have_an_app_sets_one_up_before_anything_else() {
    for required in [SecondFactor::Administrators, SecondFactor::Everyone] {
        let site = Site::requiring(required);
        let mut browser = sent_on(&site, ENROL).await;
        assert_eq!(browser.get("/account").await.location(), "/login");
        let page = browser.get(ENROL).await;
        assert!(!page.body.contains("type=\"password\""), "it was typed a moment ago");
        let wrong = browser.send(ENROL, &page, &[("code", "000000")]).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        browser.sets_up(&site, &wrong).await;
        assert_eq!(browser.get("/account").await.status, StatusCode::OK);
        assert_eq!(browser.get(ENROL).await.location(), "/login", "only once");
    }
}

#[tokio::test]
async fn a_first_step_that_is_over_leaves_no_app_behind() {
    let site = Site::requiring(SecondFactor::Everyone);
    let mut thief = sent_on(&site, ENROL).await;
    let page = thief.get(ENROL).await;
    let app = Authenticator::typed_in(&between(&page.body, "<code class=\"secret\">"));
    let code = app.code_at(site.clock.now());
    // The owner's new password comes after the thief's first step was found.
    site.store.lock().set_at_authenticator = Some("$2".to_owned());
    let refused = thief.send(ENROL, &page, &[("code", &code)]).await;
    assert_ne!(refused.status, StatusCode::OK, "{}", refused.body);
    assert!(site.store.lock().authenticators.is_empty());
    assert_eq!(thief.get("/account").await.location(), "/login");
}

#[tokio::test]
async fn a_login_that_sets_an_app_up_is_recorded_as_one() {
    let site = Site::requiring(SecondFactor::Everyone);
    let mut browser = sent_on(&site, ENROL).await;
    let page = browser.get(ENROL).await;
    browser.sets_up(&site, &page).await;
    let wanted = ["password.set", "login.continued", "second_factor.set", "login.succeeded"];
    assert_eq!(site.event_types().await, wanted.map(|kind| format!("person.{kind}")));
}

#[tokio::test]
async fn administrators_alone_are_asked_where_that_is_set() {
    let site = Site::requiring(SecondFactor::Administrators);
    let mut browser = sent_on(&site, ENROL).await;
    site.store.lock().users[0].administrator = false;
    assert_eq!(browser.log_in(PASSWORD).await.location(), "/account");
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    site.store.lock().users[0].administrator = true;
    assert_eq!(browser.get("/account").await.location(), "/login", "the role counts at once");
}

#[tokio::test]
async fn a_link_for_a_new_password_does_not_stand_for_the_app() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = browser.get("/account/authenticator").await;
    let (app, _) = browser.sets_up(&site, &page).await;
    site.store.lock().users[0].own_login = OwnLogin::Nothing;
    let mut other = sent_on(&site, "/login/code").await;
    assert_eq!(other.get("/account").await.location(), "/login");
    assert_eq!(other.get(ENROL).await.location(), "/login", "no second app beside the first");
    site.clock.advance(Duration::from_secs(30));
    let page = other.get("/login/code").await;
    let code = app.code_at(site.clock.now());
    assert_eq!(other.send("/login/code", &page, &[("code", &code)]).await.location(), "/account");
}

// RFC 9470 §5
#[tokio::test]
async fn a_client_that_asks_for_two_factors_gets_them() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = browser.get("/account/authenticator").await;
    let (app, _) = browser.sets_up(&site, &page).await;
    site.clock.advance(Duration::from_mins(1));
    let mut other = Browser::new(&site);
    let handle = site.request(|pending| pending.acr_values = vec!["mfa".to_owned()]);
    let page = other.get(&format!("/login?request={handle}")).await;
    let fields = [("username", "admin"), ("password", PASSWORD)];
    let asked = other.send("/login", &page, &fields).await;
    assert_eq!(asked.location(), format!("/login/code?request={handle}"));
    let page = other.get(asked.location()).await;
    let code = app.code_at(site.clock.now());
    let path = format!("/consent?request={handle}");
    assert_eq!(other.send("/login/code", &page, &[("code", &code)]).await.location(), path);
    let page = other.get(&path).await;
    other.send("/consent", &page, &[("decision", "allow")]).await;
    let login = site.store.lock().grants[0].login.clone();
    assert_eq!((login.acr.as_deref(), login.amr.as_deref()), (Some("mfa"), Some("pwd otp mfa")));
}

// OIDC Core §5.5.1.1
#[tokio::test]
async fn two_factors_are_a_password_too_for_a_client_that_asks_for_that() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = browser.get("/account/authenticator").await;
    browser.sets_up(&site, &page).await;
    site.clock.advance(Duration::from_secs(5));
    let handle = site.request(|pending| pending.acr_values = vec!["pwd".to_owned()]);
    let page = browser.get(&format!("/consent?request={handle}")).await;
    assert_eq!(page.status, StatusCode::OK, "no other login");
    browser.send("/consent", &page, &[("decision", "allow")]).await;
    assert_eq!(site.store.lock().grants[0].login.acr.as_deref(), Some("pwd"));
}
