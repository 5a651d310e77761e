//! A server that was sent a token gets one for the next server.

use std::time::Duration;

use crate::authorization_server::{ExchangeRules, Settings};
use crate::store::{GrantOf, RevokeReason, RevokedToken};
use crate::time::Timestamp;

use super::support::{Answer, MCP, NOW, Site, basic, claims, client, refused};

const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const WEATHER: &str = "https://weather.example/mcp";

/// `gateway` is the server at `MCP`, and may call the one at `WEATHER`; `forecast` is the latter.
fn gateway(settings: &mut Settings) {
    let rules = |from: &str, to: &[&str]| ExchangeRules {
        from: vec![from.to_owned()],
        to: to.iter().map(|to| (*to).to_owned()).collect(),
    };
    for (id, rules) in [("gateway", rules(MCP, &[WEATHER])), ("forecast", rules(WEATHER, &[MCP]))] {
        let scopes = "graph:read weather:read broker:admin";
        let mut server = client(id, Some("s3cret"), GRANT.1, scopes);
        server.exchange = rules;
        settings.clients.push(server);
    }
}

async fn site() -> Site {
    let site = Site::with(gateway).await;
    site.register("weather", WEATHER).await;
    site
}

async fn exchanged(site: &Site, client: &str, subject: &str, more: &[(&str, &str)]) -> Answer {
    let form = [GRANT, ("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
    let form: Vec<_> = form.into_iter().chain(more.iter().copied()).collect();
    site.post_as("/token", Some(&basic(&format!("{client}:s3cret"))), &form).await
}

async fn active(site: &Site, client: &str, token: &str) -> bool {
    let basic = basic(&format!("{client}:s3cret"));
    let answer = site.post_as("/introspect", Some(&basic), &[("token", token)]).await;
    answer.json()["active"] == true
}

// RFC 8693 §2.2.1, §4.1 — N85
#[tokio::test]
async fn a_server_gets_a_token_that_says_for_whom_it_is_and_who_acts() {
    let site = site().await;
    let subject = site.tokens("graph:read weather:read").await.member("access_token");
    let answer = exchanged(&site, "gateway", &subject, &[("resource", WEATHER)]).await;
    assert_eq!(answer.member("issued_token_type"), ACCESS_TOKEN);
    assert!(answer.json().get("refresh_token").is_none());
    let new = answer.claims();
    assert_eq!((&new["aud"], &new["client_id"]), (&WEATHER.into(), &"gateway".into()));
    assert_eq!(
        (&new["sub"], &new["grant_id"]),
        (&claims(&subject)["sub"], &claims(&subject)["grant_id"])
    );
    assert_eq!(new["act"], serde_json::json!({ "sub": "gateway" }));
    assert_eq!(new["exp"], NOW + 300, "as the server is registered");
    let (_, log) = site.events().await;
    assert!(
        log.contains("token_exchange") && log.contains(claims(&subject)["jti"].as_str().unwrap())
    );
}

// RFC 8693 §4.1 — N85
#[tokio::test]
async fn a_chain_names_everybody_and_has_an_end() {
    let site = site().await;
    let mut token = site.tokens("weather:read").await.member("access_token");
    for (acts, to) in
        [("gateway", WEATHER), ("forecast", MCP), ("gateway", WEATHER), ("forecast", MCP)]
    {
        token = exchanged(&site, acts, &token, &[("resource", to)]).await.member("access_token");
    }
    let named = &claims(&token)["act"];
    assert_eq!((&named["sub"], &named["act"]["sub"]), (&"forecast".into(), &"gateway".into()));
    let fifth = exchanged(&site, "gateway", &token, &[("resource", WEATHER)]).await;
    assert_eq!(fifth.error(), refused(400, "invalid_request"));
    let told =
        site.post_as("/introspect", Some(&basic("forecast:s3cret")), &[("token", &token)]).await;
    assert_eq!(told.json()["act"], *named);
}

// RFC 8693 §2.1, RFC 8707 §2 — N85
#[tokio::test]
async fn neither_scope_nor_resource_becomes_wider() {
    let site = site().await;
    site.register("mail", "https://mail.example/mcp").await;
    let subject = site.tokens("graph:read openid").await.member("access_token");
    for (more, error) in [
        (("scope", "weather:read"), "invalid_scope"),
        (("scope", "graph:write"), "invalid_scope"),
        (("scope", "openid"), "invalid_scope"),
        (("scope", "a\"b"), "invalid_scope"),
        (("resource", "https://mail.example/mcp"), "invalid_target"),
        (("resource", "https://nobody.example/mcp"), "invalid_target"),
        (("audience", "https://mail.example/mcp"), "invalid_target"),
    ] {
        let answer = exchanged(&site, "gateway", &subject, &[more]).await;
        assert_eq!(answer.error(), refused(400, error), "{more:?}");
    }
    let both = [("resource", WEATHER), ("audience", MCP)];
    assert_eq!(
        exchanged(&site, "gateway", &subject, &both).await.error(),
        refused(400, "invalid_target")
    );
    let narrowed = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(
        (narrowed.member("scope"), &narrowed.claims()["aud"]),
        ("graph:read".to_owned(), &MCP.into())
    );
}

// RFC 8693 §2.2.2 — N66, N85
#[tokio::test]
async fn what_is_no_live_access_token_of_ours_is_no_subject() {
    let site = site().await;
    let tokens = site.tokens("graph:read openid offline_access").await;
    let (subject, kind) = (tokens.member("access_token"), ("subject_token_type", ACCESS_TOKEN));
    let gateway = basic("gateway:s3cret");
    let no_type =
        site.post_as("/token", Some(&gateway), &[GRANT, ("subject_token", &subject)]).await;
    assert_eq!(no_type.error(), refused(400, "invalid_request"));
    let no_subject = site.post_as("/token", Some(&gateway), &[GRANT, kind]).await;
    assert_eq!(no_subject.error(), refused(400, "invalid_request"));
    let id_token = ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token");
    let form = [GRANT, ("subject_token", subject.as_str()), id_token];
    let other_type = site.post_as("/token", Some(&gateway), &form).await;
    assert_eq!(other_type.error(), refused(400, "invalid_request"));
    for dead in [tokens.member("id_token"), tokens.member("refresh_token"), "x.y.z".to_owned()] {
        let answer = exchanged(&site, "gateway", &dead, &[]).await;
        assert_eq!(answer.error(), refused(400, "invalid_request"), "{dead}");
    }
    let wanted = [("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")];
    let refresh = exchanged(&site, "gateway", &subject, &wanted).await;
    assert_eq!(refresh.error(), refused(400, "invalid_request"));
    site.clock.advance(Duration::from_hours(1));
    let late = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(late.error(), refused(400, "invalid_request"));
    let (types, _) = site.events().await;
    assert!(types.contains(&"oauth.token.refused".to_owned()), "{types:?}");
}

// RFC 8693 §2.1, §5 — N85
#[tokio::test]
async fn a_server_exchanges_only_what_was_sent_to_it() {
    let site = site().await;
    let subject = site.tokens("graph:read").await.member("access_token");
    let stolen = exchanged(&site, "forecast", &subject, &[("resource", WEATHER)]).await;
    assert_eq!(stolen.error(), refused(400, "invalid_request"));
    for stranger in ["nightly", "web"] {
        let answer = exchanged(&site, stranger, &subject, &[]).await;
        assert_eq!(answer.error(), refused(400, "unauthorized_client"), "{stranger}");
    }
    let form = [
        GRANT,
        ("subject_token", &subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("client_id", "app"),
    ];
    assert_eq!(site.post("/token", &form).await.error(), refused(400, "unauthorized_client"));
}

// RFC 8693 §2.1, §4.4 — N85
#[tokio::test]
async fn nobody_acts_in_the_name_of_another() {
    let site = site().await;
    let subject = site.tokens("graph:read").await.member("access_token");
    let machine = [("grant_type", "client_credentials")];
    let nightly = site.post_as("/token", Some(&basic("nightly:s3cret")), &machine).await;
    let nightly = nightly.member("access_token");
    let kind = ("actor_token_type", ACCESS_TOKEN);
    for actor in [nightly.as_str(), subject.as_str(), "x"] {
        let answer = exchanged(&site, "gateway", &subject, &[("actor_token", actor), kind]).await;
        assert_eq!(answer.error(), refused(400, "invalid_request"), "{actor}");
    }
    let untyped = exchanged(&site, "gateway", &subject, &[("actor_token", &nightly)]).await;
    assert_eq!(untyped.error(), refused(400, "invalid_request"));
    assert_eq!(
        exchanged(&site, "gateway", &subject, &[kind]).await.error(),
        refused(400, "invalid_request")
    );
}

// RFC 8693 §5, RFC 7009 §2.1 — N81, N85
#[tokio::test]
async fn what_ends_the_first_token_ends_all_that_was_made_from_it() {
    for ends_the_grant in [true, false] {
        let site = site().await;
        let subject = site.tokens("weather:read").await.member("access_token");
        let first = exchanged(&site, "gateway", &subject, &[("resource", WEATHER)]).await;
        let first = first.member("access_token");
        let second = exchanged(&site, "forecast", &first, &[("resource", MCP)]).await;
        let second = second.member("access_token");
        assert!(active(&site, "forecast", &second).await);
        let told = claims(&subject);
        if ends_the_grant {
            let id = told["grant_id"].as_str().unwrap().parse().unwrap();
            site.store
                .revoke_grant(id, RevokeReason::Person, site.server.clock.now())
                .await
                .unwrap();
        } else {
            let jti = told["jti"].as_str().unwrap().to_owned();
            let expires_at = Timestamp::from_unix_seconds(NOW + 3600);
            site.store.revoke_access_token(&RevokedToken { jti, expires_at }).await.unwrap();
        }
        assert!(
            !active(&site, "gateway", &first).await && !active(&site, "forecast", &second).await
        );
        let dead = exchanged(&site, "gateway", &second, &[]).await;
        assert_eq!(dead.error(), refused(400, "invalid_request"));
    }
}

/// As a broker leaves it that has yet to end the rows, and as every other one reads it within a second.
fn all_end(site: &Site, whose: &str) {
    let file = rusqlite::Connection::open(site.log.with_file_name("store.db")).unwrap();
    let sql = "INSERT INTO revocations (ending, ended_before, ending_reason, expires_at) VALUES (?1, ?2, 'person', ?3)";
    let (before, until) = ((NOW + 1) * 1000, (NOW + 86_400) * 1000);
    assert_eq!(file.execute(sql, (whose, before, until)).unwrap(), 1);
}

// RFC 8693 §5 — N81, N85
#[tokio::test]
async fn while_very_many_grants_end_what_was_made_from_their_tokens_has_ended() {
    for of_the_client in [true, false] {
        let site = site().await;
        let subject = site.tokens("weather:read").await.member("access_token");
        let told = claims(&subject);
        let first = exchanged(&site, "gateway", &subject, &[("resource", WEATHER)]).await;
        let first = first.member("access_token");
        assert!(active(&site, "gateway", &first).await);
        let (user, client) = (site.user, told["client_id"].as_str().unwrap());
        let whose = if of_the_client {
            format!("user:{user} client:{client}")
        } else {
            format!("resource:{MCP}")
        };
        all_end(&site, &whose);
        let id = told["grant_id"].as_str().unwrap().parse().unwrap();
        let user = user.to_string();
        let of = GrantOf { user: &user, client, resource: MCP };
        while !site.store.are_all_revoked(id, &of) {
            tokio::task::yield_now().await;
        }
        assert!(!active(&site, "gateway", &first).await, "{whose}");
    }
}

// RFC 8693 §2.2.1 — N85
#[tokio::test]
async fn no_token_outlives_the_one_it_is_made_from() {
    let site = site().await;
    let subject = site.tokens("graph:read").await.member("access_token");
    site.clock.advance(Duration::from_mins(59));
    let answer = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(
        (&answer.claims()["exp"], &answer.json()["expires_in"]),
        (&(NOW + 3600).into(), &60.into())
    );
}

// RFC 8693 §5, MCP scope minimisation — N115
#[tokio::test]
async fn policy_and_the_clients_limit_count_at_the_exchange_too() {
    let site = site().await;
    let subject = site.tokens("graph:read mail:read weather:read").await.member("access_token");
    let answer = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(answer.member("scope"), "graph:read weather:read", "mail:read is beyond the client");
    site.policy.deny("graph:read");
    let answer = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(answer.member("scope"), "weather:read");
    site.store.disable_user(site.user, Some(site.server.clock.now())).await.unwrap();
    let answer = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(answer.error(), refused(400, "invalid_request"));
}

// RFC 8693 §1.1 — N115
#[tokio::test]
async fn a_machines_token_is_exchanged_without_the_brokers_own_scopes() {
    let named = |settings: &mut Settings| {
        gateway(settings);
        settings.administrators.subjects.push("nightly".to_owned());
    };
    let site = Site::with(named).await;
    let machine = [("grant_type", "client_credentials"), ("scope", "graph:read broker:admin")];
    let subject = site.post_as("/token", Some(&basic("nightly:s3cret")), &machine).await;
    assert_eq!(subject.member("scope"), "broker:admin graph:read");
    let subject = subject.member("access_token");
    let answer = exchanged(&site, "gateway", &subject, &[]).await;
    assert_eq!(
        (answer.member("scope"), &answer.claims()["sub"]),
        ("graph:read".to_owned(), &"nightly".into())
    );
    let administration = exchanged(&site, "gateway", &subject, &[("scope", "broker:admin")]).await;
    assert_eq!(administration.error(), refused(400, "invalid_scope"));
}

// RFC 6749 §5.2, RFC 8414 §2 — N53
#[tokio::test]
async fn where_no_client_is_set_up_for_it_there_is_no_such_grant() {
    let site = Site::new().await;
    let answer = exchanged(&site, "nightly", "x", &[]).await;
    assert_eq!(answer.error(), refused(400, "unsupported_grant_type"));
}

// RFC 8693 §5
#[tokio::test]
async fn one_token_is_not_exchanged_without_end() {
    let site = site().await;
    let subject = site.tokens("graph:read").await.member("access_token");
    for _ in 0..600 {
        assert_eq!(exchanged(&site, "gateway", &subject, &[]).await.status, 200);
    }
    assert_eq!(exchanged(&site, "gateway", &subject, &[]).await.status, 429);
}
