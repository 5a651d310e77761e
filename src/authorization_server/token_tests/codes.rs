//! Codes become tokens, once.

use std::time::Duration;

use futures_util::future::join_all;
use insta::assert_snapshot;
use serde_json::json;

use crate::id::UserId;

use super::support::{MCP, NOW, Site, basic, changed, claims, part, redemption, refused};

// RFC 6749 §5.1 — N56, AS-26, AS-27, AS-31
#[tokio::test]
async fn a_code_becomes_tokens_for_one_resource() {
    let site = Site::new().await;
    let answer = site.tokens("openid graph:read offline_access").await;
    let token = answer.member("access_token");
    let members = answer.json();
    assert_eq!(
        (&members["token_type"], &members["expires_in"], &members["scope"]),
        (&json!("Bearer"), &json!(3600), &json!("graph:read offline_access openid"))
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(!answer.text.contains("null"));
    let (header, claims) = (part(&token, 0), claims(&token));
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!(MCP), &json!("https://broker.example")));
    assert_eq!((&claims["client_id"], &claims["exp"]), (&json!("app"), &json!(NOW + 3600)));
    assert_eq!((&claims["groups"], &claims["auth_time"]), (&json!(["engineers"]), &json!(NOW)));
    assert!(claims["grant_id"].is_string() && claims["jti"].is_string());
}

// OIDC Core §3.1.3.6 — N65
#[tokio::test]
async fn an_id_token_is_for_the_client_and_is_no_access_token() {
    let site = Site::new().await;
    let token = site.tokens("openid graph:read").await.member("id_token");
    let (header, claims) = (part(&token, 0), claims(&token));
    assert_eq!(header["typ"], "JWT");
    assert_eq!((&claims["aud"], &claims["nonce"]), (&json!("app"), &json!("n-0S6_WzA2Mj")));
    assert_eq!(claims["sub"], site.user.to_string());
    let without = site.tokens("graph:read").await;
    assert!(without.json().get("id_token").is_none());
}

// RFC 6749 §4.1.2 — N29
#[tokio::test]
async fn a_code_that_comes_again_with_all_that_proves_it_ends_its_grant() {
    let site = Site::new().await;
    let (code, grant) = site.code_with("app", "graph:read", |_, _| {}).await;
    let first = site.redeem(&code).await;
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
    assert!(site.store.is_revoked(Some(grant), None));
    let refreshed = site.refresh(&first.member("refresh_token")).await;
    assert_eq!(refreshed.error(), refused(400, "invalid_grant"));
    let (events, log) = site.events().await;
    assert_eq!(events[..2], ["oauth.token.issued", "oauth.token.reuse_detected"]);
    assert!(!log.contains(&code) && !log.contains(&first.member("access_token")));
}

// RFC 6749 §4.1.3 — N31, N32, N35, N99, AS-7, AS-12
#[tokio::test]
async fn a_code_is_not_used_up_by_whoever_cannot_prove_it() {
    let site = Site::new().await;
    let (code, grant) = site.code_with("app", "graph:read", |_, _| {}).await;
    let right = redemption(&code);
    for (name, value) in [
        ("client_id", "other"),
        ("code_verifier", "another-verifier-of-forty-three-characters-"),
        ("redirect_uri", "http://127.0.0.1:3118/callback/"),
        ("redirect_uri", "https://evil.example/cb"),
        ("code", "code-unknown"),
    ] {
        let answer = site.token(&changed(&right, name, value)).await;
        assert_eq!(answer.error(), refused(400, "invalid_grant"), "{name}");
    }
    assert!(!site.store.is_revoked(Some(grant), None));
    assert_eq!(site.redeem(&code).await.status, 200);
    // And a thief without the verifier cannot end the grant afterwards.
    let verifier = "another-verifier-of-forty-three-characters-";
    site.token(&changed(&right, "code_verifier", verifier)).await;
    site.token(&changed(&right, "client_id", "other")).await;
    assert!(!site.store.is_revoked(Some(grant), None));
}

// MCP 2026-07-28 authorization §Overview, OAuth 2.1 §4.1.3 — AS-1, AS-29
#[tokio::test]
async fn a_code_of_a_confidential_client_takes_its_secret_beside_all_else() {
    let site = Site::new().await;
    let code = site.code("web", "graph:read").await;
    let right = changed(&redemption(&code), "client_id", "web");
    assert_eq!(site.token(&right).await.error(), refused(401, "invalid_client"));
    for (secret, verifier, status, error) in [
        ("wrong", None, 401, "invalid_client"),
        ("s3cret", Some("another-verifier-of-forty-three-characters-"), 400, "invalid_grant"),
        ("s3cret", Some(""), 400, "invalid_request"),
    ] {
        let form = verifier.map(|verifier| changed(&right, "code_verifier", verifier));
        let form = form.as_ref().unwrap_or(&right);
        let answer = site.post_as("/token", Some(&basic(&format!("web:{secret}"))), form).await;
        assert_eq!(answer.error(), refused(status, error), "{secret} {verifier:?}");
    }
    let answer = site.post_as("/token", Some(&basic("web:s3cret")), &right).await;
    assert_eq!((answer.status.as_u16(), &answer.claims()["client_id"]), (200, &json!("web")));
}

// RFC 7636 §4.6 — N34, AS-7
#[tokio::test]
async fn without_a_verifier_nothing_is_given() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    let missing = changed(&redemption(&code), "code_verifier", "");
    assert_eq!(site.token(&missing).await.error(), refused(400, "invalid_request"));
    for bad in ["a".repeat(42), "a".repeat(129), "!".repeat(43)] {
        let form = redemption(&code);
        let answer = site.token(&changed(&form, "code_verifier", &bad)).await;
        assert_eq!(answer.error(), refused(400, "invalid_grant"), "{bad}");
    }
}

// OAuth 2.1 §10.2 — N35
#[tokio::test]
async fn a_client_of_oauth_2_1_need_not_repeat_its_redirect_uri() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    assert_eq!(site.token(&changed(&redemption(&code), "redirect_uri", "")).await.status, 200);
}

// RFC 6749 §4.1.2 — N36, AS-12
#[tokio::test]
async fn a_code_ends_after_its_minute() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    site.clock.advance(Duration::from_mins(1));
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
}

// RFC 8707 §2.2 — N59, N60, N61, N63
#[tokio::test]
async fn a_code_is_for_the_granted_resource_alone() {
    let site = Site::new().await;
    site.register("weather", "https://weather.example/mcp").await;
    let code = site.code("app", "graph:read").await;
    for bad in [
        "https://weather.example/mcp",
        "https://other.example/mcp",
        "https://broker.example/",
        "/mcp",
        "https://broker.example/mcp#x",
    ] {
        let form = changed(&redemption(&code), "resource", bad);
        assert_eq!(site.token(&form).await.error(), refused(400, "invalid_target"), "{bad}");
    }
    let mut two = redemption(&code).to_vec();
    two.extend([("resource", MCP), ("resource", "https://weather.example/mcp")]);
    assert_eq!(site.token(&two).await.error(), refused(400, "invalid_target"));
    let slash = format!("{MCP}/");
    let answer = site.token(&changed(&redemption(&code), "resource", &slash)).await;
    assert_eq!(answer.claims()["aud"], MCP);
}

// RFC 9700 §2.1 — N37
#[tokio::test]
async fn a_code_of_somebody_who_was_disabled_since_is_dead() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    site.store.disable_user(site.user, Some(site.server.clock.now())).await.unwrap();
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
    let nobody = UserId::generate(&*site.server.clock, &*site.server.random);
    let (code, _) =
        site.code_with("app", "graph:read", |grant, _| grant.user_id = Some(nobody)).await;
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
}

// RFC 9700 §2.1 — N37
#[tokio::test]
async fn a_code_of_somebody_who_has_logged_out_everywhere_since_is_dead() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    let used = site.code("app", "graph:read").await;
    assert_eq!(site.redeem(&used).await.status, 200);
    site.store.end_sessions(site.user).await.unwrap();
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
    let code = site.code("app", "graph:read").await;
    assert_eq!(site.redeem(&code).await.status, 200, "that of a later login");
}

// RFC 6749 §3.3 — N115, AS-26, AS-30
#[tokio::test]
async fn what_policy_no_longer_allows_is_dropped_and_said() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read graph:write broker:admin").await;
    site.policy.deny("graph:write");
    let answer = site.redeem(&code).await;
    assert_eq!(answer.member("scope"), "graph:read");
    assert_eq!(answer.claims()["scope"], "graph:read");
}

// CIMD §6 — N99
#[tokio::test]
async fn a_client_whose_document_changed_since_the_consent_gets_nothing() {
    let site = Site::new().await;
    let seen = Some(crate::store::Digest::of("the document that was shown"));
    let (code, _) =
        site.code_with("app", "graph:read", |grant, _| grant.client_digest = seen).await;
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
}

// RFC 6749 §4.1.2 — N30
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_redemptions_at_once_one_succeeds() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    let answers = join_all((0..50).map(|_| site.redeem(&code))).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    let lost = answers.iter().filter(|answer| answer.status == 400);
    assert_eq!((won, lost.count()), (1, 49));
    assert!(answers.iter().all(|a| a.status == 200 || a.error() == refused(400, "invalid_grant")));
}

#[tokio::test]
async fn a_refusal_looks_like_this() {
    let site = Site::new().await;
    let answer = site.redeem("unknown").await;
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let text = answer.text.replace(id, "ID");
    assert_snapshot!(format!("{} {text}", answer.status), @r#"400 Bad Request {"error":"invalid_grant","error_description":"the code or token is not valid here, not of this client, or used up","error_uri":"https://broker.example/explain/ID"}"#);
}
