//! What an ID token leaves to userinfo.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Page, Provider, Site, come_back, leave, start};

/// Logs in where the ID token has these claims and userinfo these.
async fn log_in(claims: Value, more: Value) -> (Provider, Site, Page) {
    let (provider, site, mut browser) = start().await;
    provider.says(|script| (script.claims, script.more) = (claims, Some(more)));
    let (_, state) = leave(&mut browser, &provider).await;
    let done = come_back(&mut browser, &format!("code=c&state={state}")).await;
    (provider, site, done)
}

// OIDC Core §5.3.2, §5.4 — N109
#[tokio::test]
async fn claims_that_a_thin_id_token_lacks_come_from_userinfo() {
    let more = json!({ "sub": "1", "preferred_username": "ada", "email": "ada@contoso.example", "groups": ["staff"] });
    let (provider, site, done) =
        log_in(json!({ "sub": "1", "email": "signed@contoso.example" }), more).await;
    assert_eq!(done.location(), "/account");
    let user = site.store.lock().users[0].clone();
    assert_eq!((user.username.as_str(), user.groups), ("ada-0", vec!["staff".to_owned()]));
    assert_eq!(user.email.as_deref(), Some("signed@contoso.example"), "what is signed stands");
    let (headers, _) = provider.script.lock().unwrap().asked[1].clone();
    assert_eq!(headers["authorization"], "Bearer upstream-token");
}

// OIDC Core §5.3.2 — N109
#[tokio::test]
async fn userinfo_about_somebody_else_logs_nobody_in() {
    for more in [json!({ "sub": "2", "groups": ["admins"] }), json!({ "groups": ["admins"] })] {
        let (_provider, site, done) = log_in(json!({ "sub": "1" }), more).await;
        assert_eq!(done.status, StatusCode::BAD_GATEWAY);
        assert!(site.store.lock().users.is_empty());
    }
}

/// What a rule denies by group may be theirs.
#[tokio::test]
async fn where_userinfo_does_not_answer_groups_are_incomplete() {
    let (_provider, site, done) = log_in(json!({ "sub": "1" }), json!("no object")).await;
    assert_eq!(done.location(), "/account");
    let user = site.store.lock().users[0].clone();
    assert!(user.groups.is_empty() && user.groups_incomplete);
}

#[tokio::test]
async fn an_id_token_that_says_it_all_is_enough() {
    let claims = json!({ "sub": "1", "preferred_username": "ada", "name": "Ada", "email": "a@b.example", "groups": [] });
    let (provider, _site, done) = log_in(claims, json!({ "sub": "2" })).await;
    assert_eq!(done.location(), "/account");
    assert_eq!(provider.script.lock().unwrap().asked.len(), 1, "the token endpoint alone");
}
