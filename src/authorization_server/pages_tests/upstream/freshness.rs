//! A request for a fresh login, at providers that honour it and at ones that do not.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::authorization_server::Pending;
use crate::authorization_server::pages_tests::support::{Browser, NOW, Page, Site};

use super::{Provider, leave_for, plain_oauth, start};

/// Logs in for a request like this, with an ID token that says this `auth_time`; gives the answer and the query that went out.
async fn log_in(
    browser: &mut Browser,
    (site, provider): (&Site, &Provider),
    auth_time: &Value,
    ask: impl FnOnce(&mut Pending),
) -> (Page, String) {
    let handle = site.request(ask);
    provider.says(|script| script.claims = json!({ "sub": "1", "auth_time": auth_time }));
    let (sent, state) =
        leave_for(browser, provider, &format!("/login/with/idp?request={handle}")).await;
    let done = super::come_back(browser, &format!("code=c&state={state}")).await;
    (done, sent.query().unwrap().to_owned())
}

// OIDC Core §3.1.2.1 — N28
#[tokio::test]
async fn a_new_login_is_asked_for_at_the_provider_and_its_proof_is_demanded() {
    for (old, ask) in [
        (61, (|pending| pending.prompt.login = true) as fn(&mut Pending)),
        (661, |pending| pending.max_age = Some(600)),
        (61, |pending| pending.max_age = Some(0)),
    ] {
        let (provider, site, mut browser) = start().await;
        let site = (&site, &provider);
        for wrong in [Value::Null, json!(NOW - old), json!(NOW + 61)] {
            let (refused, sent) = log_in(&mut browser, site, &wrong, ask).await;
            assert!(sent.contains("max_age="), "{sent}");
            assert!(refused.status.is_client_error() || refused.status.is_server_error());
            assert!(browser.cookie("session").is_none(), "{wrong}");
        }
        let (done, _) = log_in(&mut browser, site, &json!(NOW), ask).await;
        assert!(done.location().starts_with("/consent?"), "{}", done.body);
        assert_eq!(browser.get(done.location()).await.status, StatusCode::OK);
    }
}

// OIDC Core §3.1.2.1
#[tokio::test]
async fn prompt_login_is_passed_on_and_select_account_needs_no_proof() {
    let (provider, site, mut browser) = start().await;
    let site = (&site, &provider);
    let (_, sent) =
        log_in(&mut browser, site, &json!(NOW), |pending| pending.prompt.login = true).await;
    assert!(sent.contains("prompt=login") && sent.contains("max_age=0"), "{sent}");
    let choose = |pending: &mut Pending| pending.prompt.select_account = true;
    let (done, sent) = log_in(&mut browser, site, &json!(NOW - 9000), choose).await;
    assert!(sent.contains("prompt=select_account"), "{sent}");
    assert_eq!(browser.get(done.location()).await.status, StatusCode::OK);
    let (_, sent) = log_in(&mut browser, site, &json!(NOW), |_| ()).await;
    assert!(!sent.contains("prompt") && !sent.contains("max_age"), "{sent}");
}

// OIDC Core §3.1.2.1
#[tokio::test]
async fn whom_the_client_expects_is_passed_on() {
    let (provider, site, mut browser) = start().await;
    let site = (&site, &provider);
    let expects = |pending: &mut Pending| pending.login_hint = Some("ada@contoso.example".into());
    let (_, sent) = log_in(&mut browser, site, &json!(NOW), expects).await;
    assert!(sent.contains("login_hint=ada%40contoso.example"), "{sent}");
    let (_, sent) = log_in(&mut browser, site, &json!(NOW), |_| ()).await;
    assert!(!sent.contains("login_hint"), "{sent}");
}

// RFC 9470 §5
#[tokio::test]
async fn how_strong_a_login_has_to_be_is_passed_on_and_what_the_provider_says_counts() {
    let (provider, site, mut browser) = start().await;
    for (said, status) in
        [(json!("mfa"), 200), (json!("1"), 400), (json!("m f a"), 400), (json!(7), 400)]
    {
        let handle = site.request(|pending| pending.acr_values = vec!["mfa".to_owned()]);
        provider.says(|script| {
            script.claims = json!({ "sub": "1", "acr": said, "amr": ["pwd", "otp"] });
        });
        let path = format!("/login/with/idp?request={handle}");
        let (sent, state) = leave_for(&mut browser, &provider, &path).await;
        assert!(sent.query().unwrap().contains("acr_values=mfa"), "{sent}");
        let done = super::come_back(&mut browser, &format!("code=c&state={state}")).await;
        assert_eq!(browser.get(done.location()).await.status.as_u16(), status, "{said}");
        let amr = site.store.lock().sessions.last().unwrap().login.amr.clone();
        assert_eq!(amr.as_deref(), Some("pwd otp"));
    }
}

// OIDC Core §2
#[tokio::test]
async fn a_session_elsewhere_is_as_old_here_as_it_is_there() {
    let (provider, site, mut browser) = start().await;
    for (said, kept) in [(json!(NOW - 9000), Some(NOW - 9000)), (Value::Null, None)] {
        let (done, _) = log_in(&mut browser, (&site, &provider), &said, |_| ()).await;
        let page = browser.get(done.location()).await;
        browser.send("/consent", &page, &[("decision", "allow")]).await;
        let auth_time = site.store.lock().grants.last().unwrap().auth_time;
        assert_eq!(auth_time.map(crate::time::Timestamp::unix_seconds), kept);
        let again = site.request(|pending| pending.max_age = Some(600));
        let shown = browser.get(&format!("/consent?request={again}")).await;
        assert!(shown.location().starts_with("/login?"), "{said}");
    }
}

// OIDC Core §3.1.2.1
#[tokio::test]
async fn a_provider_that_is_plain_oauth_is_not_asked_for_what_it_cannot_prove() {
    let provider = Provider::start().await;
    let site = Site::with("https://broker.example", vec![plain_oauth(&provider)]);
    let mut browser = Browser::new(&site);
    let handle = site.request(|pending| pending.max_age = Some(600));
    let refused = browser.get(&format!("/login/with/idp?request={handle}")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("fresh login"));
}
