//! Workloads bring what their platform says of them (RFC 7523 §2.1).

use std::time::Duration;

use serde_json::{Value, json};

use crate::authorization_server::Settings;

use super::assertions::{JOB, Trusting};
use super::support::{MCP, refused};

// MCP workload identity federation, RFC 7523 §2.1 — N86
#[tokio::test]
async fn a_workload_gets_its_own_token_by_what_its_platform_says() {
    let trusting = Trusting::new().await;
    let answer = trusting.brings_as(None, &trusting.job(|_| {}), &[("resource", MCP)]).await;
    let claims = answer.claims();
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("job"), &json!("job")));
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(MCP), &json!("graph:read")));
    let again = trusting.brings_as(None, &trusting.job(|_| {}), &[]).await;
    assert_eq!(again.error(), refused(400, "invalid_grant"));
    let stranger = |claims: &mut Value| claims["sub"] = json!("repo:evil/app:ref:refs/heads/main");
    let stranger = trusting.brings_as(None, &trusting.job(stranger), &[]).await;
    assert_eq!(stranger.error(), refused(400, "invalid_grant"));
    let (types, log) = trusting.site.events().await;
    assert!(types.contains(&"oauth.token.refused".to_owned()) && log.contains("\"job\""), "{log}");
}

// MCP workload identity federation
#[tokio::test]
async fn one_that_may_come_again_is_taken_until_its_end() {
    let reused = |settings: &mut Settings| {
        settings.clients.retain(|known| known.client_id.as_str() != "job");
    };
    let trusting = Trusting::with(reused).await;
    let token = trusting.job(|claims| {
        claims.as_object_mut().unwrap().remove("jti");
    });
    for _ in 0..2 {
        assert_eq!(trusting.brings_as(None, &token, &[]).await.claims()["sub"], "pod");
    }
    let named = trusting.job(|claims| claims["jti"] = json!("of-the-pod"));
    for _ in 0..2 {
        let answer = trusting.brings_as(None, &named, &[]).await;
        assert_eq!(answer.member("resource"), MCP);
    }
    let (_, log) = trusting.site.events().await;
    let issued: Vec<_> = log.lines().filter(|line| line.contains("token.issued")).collect();
    let subject = format!("\"workload_subject\":\"{JOB}\"");
    assert!(issued.iter().all(|line| line.contains(&subject)), "{log}");
    let name = "\"subject_token\":\"of-the-pod\"";
    assert_eq!(issued.iter().filter(|line| line.contains(name)).count(), 2, "{log}");
    trusting.site.clock.advance(Duration::from_mins(6));
    let late = trusting.brings_as(None, &token, &[]).await;
    assert_eq!(late.error(), refused(400, "invalid_grant"));
}

/// Entra writes tokens for an application, not for a token endpoint.
// MCP workload identity federation — N86
#[tokio::test]
async fn one_with_an_audience_of_its_own_is_for_that_and_not_for_the_token_endpoint() {
    let audience = "api://broker";
    let entra = |settings: &mut Settings| {
        settings.clients.retain(|known| known.client_id.as_str() != "pod");
        for client in &mut settings.clients {
            if let Some(workload) = &mut client.workload {
                workload.audience = Some(audience.to_owned());
            }
        }
    };
    let trusting = Trusting::with(entra).await;
    for aud in ["https://broker.example/token", "api://other", "https://broker.example"] {
        let other = trusting.job(|claims| claims["aud"] = json!(aud));
        let answer = trusting.brings_as(None, &other, &[]).await;
        assert_eq!(answer.error(), refused(400, "invalid_grant"), "{aud}");
    }
    let own = trusting.job(|claims| claims["aud"] = json!(audience));
    assert_eq!(trusting.brings_as(None, &own, &[]).await.claims()["sub"], "job");
}
