//! What an ID-JAG changes about its person, and when; and for which server its token is.

use serde_json::{Value, json};

use crate::authorization_server::Settings;
use crate::resource_server::Algorithm;
use crate::store::ExternalIdentity;
use crate::time::Clock as _;

use super::assertions::{GRANT, ISSUER, Trusting};
use super::support::{MCP, Site, basic, refused};

// RFC 7523 §3 — N86
#[tokio::test]
async fn an_assertion_that_gives_nothing_changes_nobody() {
    let trusting = Trusting::new().await;
    let site = &trusting.site;
    let of = |jti: &str, groups: Value| {
        trusting.id_jag(|claims| {
            claims["jti"] = json!(jti);
            claims["groups"] = groups;
        })
    };
    let known = || site.store.find_user_of_identity(ISSUER, "ada-at-idp");
    site.policy.deny("graph:read mail:read");
    let nothing = trusting.brings(&of("j0", json!(["admins"])), &[]).await;
    assert_eq!(nothing.error(), refused(400, "invalid_scope"));
    assert!(known().await.unwrap().is_none(), "nobody is made for an assertion in vain");
    site.policy.deny("");
    let (first, left) = (of("j1", json!(["admins"])), of("j2", json!([])));
    assert_eq!(trusting.brings(&first, &[]).await.claims()["groups"], json!(["admins"]));
    assert_eq!(trusting.brings(&left, &[]).await.status, 200);
    assert_eq!(trusting.brings(&first, &[]).await.error(), refused(400, "invalid_grant"));
    assert!(known().await.unwrap().unwrap().groups.is_empty(), "they have left the group");
}

// MCP Enterprise-Managed Authorization §5.1 — N86
#[tokio::test]
async fn one_that_names_no_server_is_for_the_only_one_and_the_answer_says_which() {
    let trusting = Trusting::new().await;
    let mut number = 0;
    let mut unsaid = || {
        number += 1;
        trusting.id_jag(|claims| {
            claims["jti"] = json!(format!("u{number}"));
            claims.as_object_mut().unwrap().remove("resource");
        })
    };
    let answer = trusting.brings(&unsaid(), &[]).await;
    assert_eq!((answer.member("resource"), &answer.claims()["aud"]), (MCP.to_owned(), &json!(MCP)));
    assert_eq!(trusting.brings(&unsaid(), &[("resource", MCP)]).await.member("resource"), MCP);
    let said = trusting.brings(&trusting.id_jag(|_| {}), &[]).await;
    assert_eq!(said.member("resource"), MCP);
    let weather = "https://weather.example/mcp";
    trusting.site.register("weather", weather).await;
    for more in [&[][..], &[("resource", MCP)], &[("resource", weather)]] {
        let answer = trusting.brings(&unsaid(), more).await;
        assert_eq!(answer.error(), refused(400, "invalid_grant"), "of several it is none");
        assert!(answer.json()["error_description"].as_str().unwrap().contains("names no resource"));
    }
    let null = trusting.id_jag(|claims| {
        claims["jti"] = json!("null");
        claims["resource"] = Value::Null;
    });
    assert_eq!(trusting.brings(&null, &[]).await.error(), refused(400, "invalid_grant"));
}

// RFC 8725 §3.1 — N86
#[tokio::test]
async fn what_is_signed_by_another_algorithm_than_its_issuers_is_refused() {
    let pinned = |algorithm| {
        move |settings: &mut Settings| {
            settings.identity_assertions[0].from.algorithms = vec![algorithm];
            for client in &mut settings.clients {
                if let Some(workload) = &mut client.workload {
                    workload.from.algorithms = vec![algorithm];
                }
            }
        }
    };
    // The same good signature of the same key, by ES256.
    for (algorithm, status) in [(Algorithm::ES256, 200), (Algorithm::RS256, 400)] {
        let trusting = Trusting::with(pinned(algorithm)).await;
        let id_jag = trusting.brings(&trusting.id_jag(|_| {}), &[]).await;
        let job = trusting
            .brings_as(None, &trusting.job(|claims| claims["jti"] = json!("j2")), &[])
            .await;
        for answer in [id_jag, job] {
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            assert_eq!(answer.json()["error"] == "invalid_grant", status == 400, "{answer:?}");
        }
    }
}

// RFC 7523 §3 — N86
#[tokio::test]
async fn roles_that_an_assertion_does_not_speak_of_stay_as_the_last_log_in_said() {
    let asked = |settings: &mut Settings| {
        settings.identity_assertions[0].provider.claims.roles = "roles".to_owned();
    };
    let trusting = Trusting::with(asked).await;
    let (site, mut number) = (&trusting.site, 0);
    let mut with = |change: fn(&mut Value)| {
        number += 1;
        trusting.id_jag(|claims| {
            claims["jti"] = json!(number.to_string());
            change(claims);
        })
    };
    let (new, said) = (with(|_| {}), with(|claims| claims["roles"] = json!(["lead"])));
    let new = trusting.brings(&new, &[]).await.claims();
    assert_eq!((new.get("roles"), &new["hasroles"]), (None, &json!(true)), "nobody said which");
    let said = trusting.brings(&said, &[]).await.claims();
    assert_eq!((&said["roles"], said.get("hasroles")), (&json!(["lead"]), None));
    let silent = with(|claims| claims["groups"] = json!(["staff"]));
    let silent = trusting.brings(&silent, &[]).await.claims();
    assert_eq!((&silent["roles"], &silent["groups"]), (&json!(["lead"]), &json!(["staff"])));
    let known = ExternalIdentity {
        issuer: ISSUER.to_owned(),
        subject: "ada-at-idp".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: true,
    };
    let id = crate::id::UserId::generate(&*site.server.clock, &*site.server.random);
    site.store.user_of_identity(&known, id, site.clock.now()).await.unwrap();
    let silent = trusting.brings(&with(|_| {}), &[]).await.claims();
    assert_eq!((silent.get("roles"), &silent["hasroles"]), (None, &json!(true)));
}

// RFC 6749 §5.2, RFC 8414 §2 — N53
#[tokio::test]
async fn where_nobody_is_trusted_there_is_no_such_grant() {
    let site = Site::new().await;
    let form = [("grant_type", GRANT), ("assertion", "x.y.z")];
    let answer = site.post_as("/token", Some(&basic("web:s3cret")), &form).await;
    assert_eq!(answer.error(), refused(400, "unsupported_grant_type"));
    assert_eq!(site.post("/token", &form).await.error(), refused(401, "invalid_client"));
}
