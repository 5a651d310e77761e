//! Refresh tokens: rotated, forgiving within the grace, and a trap for thieves after it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::authorization_server::Settings;

use super::support::{Site, changed, client, refreshing, refused};

async fn first(site: &Site) -> String {
    site.tokens("graph:read graph:write offline_access").await.member("refresh_token")
}

// OAuth 2.1 §4.3.1 — N46, N47
#[tokio::test]
async fn the_same_answer_comes_again_within_the_grace() {
    let site = Site::new().await;
    let token = first(&site).await;
    let answer = site.refresh(&token).await;
    site.clock.advance(Duration::from_secs(59));
    let again = site.refresh(&token).await;
    assert_eq!((answer.status.as_u16(), &answer.text), (200, &again.text));
    assert_eq!(site.refresh(&again.member("refresh_token")).await.status, 200);
}

// RFC 9700 §4.14.2 — N45, AS-27
#[tokio::test]
async fn a_token_that_comes_again_after_its_successor_was_used_ends_the_family() {
    let site = Site::new().await;
    let token = first(&site).await;
    let second = site.refresh(&token).await.member("refresh_token");
    let third = site.refresh(&second).await.member("refresh_token");
    assert_eq!(site.refresh(&token).await.error(), refused(400, "invalid_grant"));
    assert_eq!(site.refresh(&third).await.error(), refused(400, "invalid_grant"));
    let (events, log) = site.events().await;
    let reused = events.iter().filter(|event| *event == "oauth.token.reuse_detected").count();
    assert_eq!(reused, 1, "{events:?}");
    assert!(!log.contains(&token) && !log.contains(&third));
}

// RFC 9700 §4.14.2 — N48
#[tokio::test]
async fn the_grace_does_not_slide() {
    let site = Site::new().await;
    let token = first(&site).await;
    let answer = site.refresh(&token).await;
    site.clock.advance(Duration::from_secs(50));
    assert_eq!(site.refresh(&token).await.text, answer.text);
    site.clock.advance(Duration::from_secs(50));
    assert_eq!(site.refresh(&token).await.error(), refused(400, "invalid_grant"));
    assert_eq!(site.refresh(&answer.member("refresh_token")).await.status, 400);
}

// RFC 9700 §4.14.2 — N48
#[tokio::test]
async fn the_grace_is_what_the_settings_say_and_a_client_may_have_its_own() {
    for (all, own, lasts) in [(120, None, 120), (120, Some(5), 5), (0, None, 0), (0, Some(7), 7)] {
        let site = Site::with(|settings| {
            settings.refresh_grace = Duration::from_secs(all);
            settings.clients[0].refresh_grace = own.map(Duration::from_secs);
        });
        let site = site.await;
        let token = first(&site).await;
        let answer = site.refresh(&token).await;
        site.clock.advance(Duration::from_secs(lasts));
        assert_eq!(site.refresh(&token).await.text, answer.text, "{all} {own:?}");
        site.clock.advance(Duration::from_secs(1));
        assert_eq!(site.refresh(&token).await.error(), refused(400, "invalid_grant"));
    }
}

// RFC 6749 §10.4 — N31, AS-27
#[tokio::test]
async fn a_token_of_another_client_is_refused_and_stays_as_it_was() {
    let site = Site::new().await;
    let token = first(&site).await;
    for _ in 0..2 {
        let answer = site.token(&changed(&refreshing(&token), "client_id", "other")).await;
        assert_eq!(answer.error(), refused(400, "invalid_grant"));
    }
    let second = site.refresh(&token).await.member("refresh_token");
    let answer = site.token(&changed(&refreshing(&token), "client_id", "other")).await;
    assert_eq!(answer.error(), refused(400, "invalid_grant"));
    assert_eq!(site.refresh(&second).await.status, 200);
}

// RFC 6749 §6, RFC 8707 §2.2 — N49, AS-27
#[tokio::test]
async fn asking_for_more_is_refused_and_rotates_nothing() {
    let site = Site::new().await;
    let token = first(&site).await;
    let form = refreshing(&token);
    let wider = changed(&form, "scope", "graph:read mail:read");
    assert_eq!(site.token(&wider).await.error(), refused(400, "invalid_scope"));
    site.register("other", "https://other.example/mcp").await;
    let elsewhere = changed(&form, "resource", "https://other.example/mcp");
    assert_eq!(site.token(&elsewhere).await.error(), refused(400, "invalid_target"));
    site.clock.advance(Duration::from_mins(2)); // no grace is needed
    assert_eq!(site.refresh(&token).await.status, 200);
    assert_eq!(site.token(&elsewhere).await.error(), refused(400, "invalid_target"));
    assert_eq!(site.refresh(&token).await.status, 200); // the same answer
}

// RFC 6749 §6 — N50
#[tokio::test]
async fn less_can_be_asked_for_and_the_rest_is_kept() {
    let site = Site::new().await;
    let token = first(&site).await;
    let answer = site.token(&changed(&refreshing(&token), "scope", "graph:read")).await;
    assert_eq!(
        (answer.member("scope").as_str(), &answer.claims()["scope"]),
        ("graph:read", &"graph:read".into())
    );
    let next = site.refresh(&answer.member("refresh_token")).await;
    assert_eq!(next.member("scope"), "graph:read graph:write offline_access");
}

// RFC 9700 §4.14.2 — N51
#[tokio::test]
async fn policy_and_people_are_asked_anew_at_every_refresh() {
    let site = Site::new().await;
    let token = first(&site).await;
    site.policy.deny("graph:write");
    let answer = site.refresh(&token).await;
    assert_eq!(answer.member("scope"), "graph:read offline_access");
    site.policy.deny("none");
    let answer = site.refresh(&answer.member("refresh_token")).await;
    assert_eq!(answer.member("scope"), "graph:read graph:write offline_access");
    site.store.disable_user(site.user, Some(site.server.clock.now())).await.unwrap();
    let dead = site.refresh(&answer.member("refresh_token")).await;
    assert_eq!(dead.error(), refused(400, "invalid_grant"));
}

// RFC 9700 §4.14.2 — N51
#[tokio::test]
async fn a_grant_ends_with_the_consent_and_with_its_resource() {
    let site = Site::new().await;
    let uri = "https://weather.example/mcp";
    site.register("weather", uri).await;
    let (code, _) =
        site.code_with("app", "graph:read", |grant, _| grant.resource = uri.to_owned()).await;
    let answer = site.redeem(&code).await;
    assert_eq!((&answer.claims()["aud"], &answer.json()["expires_in"]), (&uri.into(), &300.into()));
    let now = site.server.clock.now();
    assert!(site.store.disable_resource("weather", Some(now)).await.unwrap());
    let refreshed = site.refresh(&answer.member("refresh_token")).await;
    assert_eq!(refreshed.error(), refused(400, "invalid_grant"));
    let token = first(&site).await;
    let app = "app".parse().unwrap();
    site.store.withdraw(site.user, &app, site.server.clock.now()).await.unwrap();
    assert_eq!(site.refresh(&token).await.error(), refused(400, "invalid_grant"));
}

// RFC 6749 §5.2 — N44, N52, AS-27
#[tokio::test]
async fn what_is_no_live_refresh_token_is_an_invalid_grant() {
    let site = Site::new().await;
    let answer = site.tokens("openid graph:read offline_access").await;
    let code = site.code("app", "graph:read").await;
    for other in
        [&answer.member("access_token"), &answer.member("id_token"), &code, "x", &"x".repeat(9000)]
    {
        let other: &str = other;
        assert_eq!(site.refresh(other).await.error(), refused(400, "invalid_grant"));
    }
    site.clock.advance(Duration::from_hours(24 * 30));
    let late = site.refresh(&answer.member("refresh_token")).await;
    assert_eq!(late.error(), refused(400, "invalid_grant"));
}

// RFC 9700 §4.14.2 — N47
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_refreshes_at_once_have_one_successor() {
    let site = Site::new().await;
    let token = first(&site).await;
    let answers = join_all((0..100).map(|_| site.refresh(&token))).await;
    let all: std::collections::HashSet<_> =
        answers.iter().map(|answer| (answer.status.as_u16(), answer.text.clone())).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let (_, log) = site.events().await;
    let rotated = log.lines().filter(|line| line.contains(r#""same_reply":false"#)).count();
    assert_eq!((rotated, log.matches(r#""same_reply":true"#).count()), (1, 99));
    assert_eq!(site.refresh(&answers[0].member("refresh_token")).await.status, 200);
}

/// Two processes on one store, without the flight that they do not share.
// RFC 9700 §4.14.2 — N47
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refreshes_that_differ_in_their_spelling_have_one_successor_too() {
    let site = Site::new().await;
    let token = first(&site).await;
    let scopes: Vec<String> = (1..40).map(|n| format!("graph:read{}", " ".repeat(n))).collect();
    let forms = scopes.iter().map(|scope| changed(&refreshing(&token), "scope", scope));
    let forms: Vec<_> = forms.collect();
    let answers = join_all(forms.iter().map(|form| site.token(form))).await;
    let all: std::collections::HashSet<_> =
        answers.iter().map(|answer| answer.member("refresh_token")).collect();
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn a_client_that_may_not_refresh_gets_no_refresh_token() {
    let only_code = |settings: &mut Settings| {
        settings.clients = vec![client("app", None, "authorization_code", "")];
    };
    let site = Site::with(only_code).await;
    assert!(site.tokens("graph:read").await.json().get("refresh_token").is_none());
    assert!(site.tokens("graph:read offline_access").await.json().get("refresh_token").is_some());
}

// N108 — AS-31
#[tokio::test]
async fn a_grant_that_refreshes_in_a_loop_is_told_to_wait() {
    let site = Site::new().await;
    let mut token = first(&site).await;
    for _ in 0..60 {
        token = site.refresh(&token).await.member("refresh_token");
    }
    let answer = site.refresh(&token).await;
    assert_eq!(answer.error(), refused(429, "temporarily_unavailable"));
    assert_eq!(answer.headers["retry-after"], "1");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.refresh(&token).await.status, 200);
}
