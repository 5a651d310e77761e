//! What becomes of tokens after they were given: introspected, given back, and used to ask who somebody is.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;

use crate::api_key::ApiKey;
use crate::store::{ApiKeyRow, ClientKind, ClientRow, Digest};
use crate::time::Timestamp;

use super::support::{Answer, MCP, NOW, Site, basic, claims, part, redemption, refused};

const MACHINE: [(&str, &str); 1] = [("grant_type", "client_credentials")];
const INACTIVE: &str = r#"{"active":false}"#;

/// A resource server with a key.
async fn resource(site: &Site, id: &str, uri: &str) -> String {
    site.register(id, uri).await;
    let key = ApiKey::generate(&*site.server.random);
    let row = ApiKeyRow {
        prefix: key.prefix().to_owned(),
        key: Digest::of(key.text().expose()),
        resource_id: id.to_owned(),
        name: None,
        created_at: Timestamp::from_unix_seconds(NOW),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    assert!(site.store.add_api_key(&row).await.unwrap());
    key.text().expose().to_owned()
}

async fn introspect(site: &Site, key: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    site.post_as("/introspect", Some(&bearer), &[("token", token)]).await
}

async fn userinfo(site: &Site, authorization: &str) -> Answer {
    let request = Request::get("/userinfo").header(header::AUTHORIZATION, authorization);
    site.send(request.body(Body::empty()).unwrap()).await
}

// RFC 7662 §2.2 — N77
#[tokio::test]
async fn a_resource_server_learns_whose_token_it_was_sent() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let token = site.tokens("graph:read").await.member("access_token");
    let answer = introspect(&site, &key, &token).await.json();
    let expected = json!({
        "active": true, "sub": site.user.to_string(), "username": "ada", "client_id": "app",
        "scope": "graph:read", "aud": MCP, "iss": "https://broker.example", "exp": NOW + 3600,
        "iat": NOW, "jti": super::support::claims(&token)["jti"], "token_type": "Bearer",
        "auth_time": NOW,
    });
    assert_eq!(answer, expected);
    let pair = basic(&format!("mcp:{key}"));
    let by_basic = site.post_as("/introspect", Some(&pair), &[("token", &token)]).await;
    assert_eq!(by_basic.json(), expected);
}

// RFC 7662 §2.2
#[tokio::test]
async fn a_token_that_a_client_got_for_itself_ends_when_the_client_is_disabled() {
    const SECRET: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let now = Timestamp::from_unix_seconds(NOW);
    let metadata = r#"{"scope":"graph:read","grant_types":["client_credentials"]}"#;
    let row = ClientRow {
        id: "robot".parse().unwrap(),
        kind: ClientKind::Static,
        metadata: metadata.to_owned(),
        metadata_digest: Digest::of(metadata),
        secret: Some(Digest::of(SECRET)),
        previous_secret: None,
        registration_token: None,
        created_at: now,
        last_used_at: now,
        expires_at: None,
        disabled_at: None,
    };
    assert!(site.store.add_client(&row).await.unwrap());
    let form = [("grant_type", "client_credentials")];
    let token = site.post_as("/token", Some(&basic(&format!("robot:{SECRET}"))), &form).await;
    let token = token.member("access_token");
    assert_eq!(introspect(&site, &key, &token).await.json()["active"], true);
    assert!(site.store.disable_client(&row.id, Some(now)).await.unwrap());
    assert_eq!(introspect(&site, &key, &token).await.text, INACTIVE);
}

// RFC 7662 §2.2, §4 — N78, N79, N52
#[tokio::test]
async fn everything_else_is_inactive_in_the_same_bytes() {
    let site = Site::new().await;
    let ours = resource(&site, "mcp", MCP).await;
    let others = resource(&site, "weather", "https://weather.example/mcp").await;
    let tokens = site.tokens("openid graph:read").await;
    let token = tokens.member("access_token");
    assert_eq!(introspect(&site, &others, &token).await.text, INACTIVE);
    // The signature's first character: of its last one only two bits count.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{signed}.{other}{}", &signature[1..]);
    let refresh = tokens.member("refresh_token");
    for other in
        [&tampered, "x", "a.b.c", &refresh, &tokens.member("id_token"), &"a".repeat(20_000)]
    {
        let answer = introspect(&site, &ours, other).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, INACTIVE), "{other}");
    }
    site.clock.advance(Duration::from_hours(1));
    assert_eq!(introspect(&site, &ours, &token).await.text, INACTIVE);
}

// RFC 7662 §2.1, RFC 7009 §2.1 — N79
#[tokio::test]
async fn a_wrong_hint_changes_no_answer() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let tokens = site.tokens("graph:read offline_access").await;
    let (token, refresh) = (tokens.member("access_token"), tokens.member("refresh_token"));
    let bearer = format!("Bearer {key}");
    for hint in ["refresh_token", "access_token", "x", ""] {
        let asked = async |token| {
            let form = [("token", token), ("token_type_hint", hint)];
            site.post_as("/introspect", Some(&bearer), &form).await
        };
        assert_eq!(asked(&token).await.json(), introspect(&site, &key, &token).await.json());
        for other in [&*refresh, "x"] {
            assert_eq!(asked(other).await.text, INACTIVE, "{hint}");
        }
    }
    let wrong = [("token", &*refresh), ("token_type_hint", "access_token"), ("client_id", "app")];
    assert_eq!(site.post("/revoke", &wrong).await.status, 200);
    assert_eq!(site.refresh(&refresh).await.error(), refused(400, "invalid_grant"));
    assert_eq!(introspect(&site, &key, &token).await.text, INACTIVE);
}

// RFC 7662 §2.1 — N77
#[tokio::test]
async fn nobody_introspects_without_proving_who_they_are() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let token = site.tokens("graph:read").await.member("access_token");
    let form = [("token", token.as_str())];
    let other_server = basic(&format!("weather:{key}"));
    let last = if key.ends_with('0') { '1' } else { '0' };
    let damaged = format!("Bearer {}{last}", &key[..key.len() - 1]);
    for authorization in
        [None, Some("Bearer x"), Some(&other_server), Some(&damaged), Some(&basic("web:wrong"))]
    {
        let answer = site.post_as("/introspect", authorization, &form).await;
        assert_eq!(answer.error(), refused(401, "invalid_client"), "{authorization:?}");
    }
    let public = site.post("/introspect", &[form[0], ("client_id", "app")]).await;
    assert_eq!(public.error(), refused(401, "invalid_client"));
    // A client that proves itself hears of its own tokens alone.
    let answer = site.post_as("/introspect", Some(&basic("web:s3cret")), &form).await;
    assert_eq!(answer.text, INACTIVE);
    let machine = [("grant_type", "client_credentials")];
    let own = site.post_as("/token", Some(&basic("nightly:s3cret")), &machine).await;
    let own = [("token", own.member("access_token"))];
    let own = [(own[0].0, own[0].1.as_str())];
    let answer = site.post_as("/introspect", Some(&basic("nightly:s3cret")), &own).await;
    assert_eq!((&answer.json()["active"], answer.json().get("username")), (&json!(true), None));
}

// RFC 7662 §4 — N77
#[tokio::test]
async fn whoever_tries_keys_is_told_to_wait() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let damaged =
        format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    for _ in 0..21 {
        assert_eq!(introspect(&site, &damaged, "x").await.status, 401);
    }
    assert_eq!(introspect(&site, &damaged, "x").await.status, 429);
    assert_eq!(introspect(&site, &key, "x").await.text, INACTIVE, "whose key it is goes on");
    let other = resource(&site, "weather", "https://weather.example/mcp").await;
    assert_eq!(introspect(&site, &other, "x").await.text, INACTIVE);
}

// RFC 7009 §2.1 — N81
#[tokio::test]
async fn a_refresh_token_that_is_given_back_takes_its_whole_grant_along() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let tokens = site.tokens("graph:read offline_access").await;
    let (token, refresh) = (tokens.member("access_token"), tokens.member("refresh_token"));
    let answer = site.post("/revoke", &[("token", &refresh), ("client_id", "app")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(site.refresh(&refresh).await.error(), refused(400, "invalid_grant"));
    assert_eq!(introspect(&site, &key, &token).await.text, INACTIVE);
    let (events, _) = site.events().await;
    assert!(events.contains(&"oauth.token.revoked".to_owned()), "{events:?}");
}

// RFC 7009 §2.1 — N81
#[tokio::test]
async fn a_token_that_was_just_rotated_can_still_be_given_back() {
    let site = Site::new().await;
    let first = site.tokens("graph:read offline_access").await.member("refresh_token");
    let second = site.refresh(&first).await.member("refresh_token");
    site.post("/revoke", &[("token", &first), ("client_id", "app")]).await;
    assert_eq!(site.refresh(&second).await.error(), refused(400, "invalid_grant"));
}

// RFC 7009 §2.1 — N81
#[tokio::test]
async fn an_access_token_that_is_given_back_goes_alone() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let tokens = site.tokens("graph:read offline_access").await;
    let token = tokens.member("access_token");
    site.post("/revoke", &[("token", &token), ("client_id", "app")]).await;
    assert_eq!(introspect(&site, &key, &token).await.text, INACTIVE);
    assert_eq!(site.refresh(&tokens.member("refresh_token")).await.status, 200);
}

// RFC 7009 §2.1, §2.2 — N80
#[tokio::test]
async fn nobody_gives_back_what_is_anothers() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let tokens = site.tokens("graph:read offline_access").await;
    let (token, refresh) = (tokens.member("access_token"), tokens.member("refresh_token"));
    let injected = format!("{refresh}') OR ('1'='1");
    for foreign in [&token, &refresh] {
        let answer = site.post("/revoke", &[("token", foreign), ("client_id", "other")]).await;
        assert_eq!(answer.error(), refused(400, "invalid_grant"), "{foreign}");
    }
    for unknown in [injected.as_str(), "unknown", "a.b.c"] {
        let answer = site.post("/revoke", &[("token", unknown), ("client_id", "other")]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "{}"), "{unknown}");
    }
    assert_eq!(introspect(&site, &key, &token).await.json()["active"], true);
    assert_eq!(site.refresh(&refresh).await.status, 200);
    let (types, _) = site.events().await;
    let refused_ones = types.iter().filter(|name| *name == "oauth.token.refused").count();
    assert_eq!(refused_ones, 2, "a token in the wrong hands is worth a line: {types:?}");
    let unproven = site.post("/revoke", &[("token", &refresh), ("client_id", "web")]).await;
    assert_eq!(unproven.error(), refused(401, "invalid_client"));
}

// RFC 9470 §6.2
#[tokio::test]
async fn a_resource_server_learns_that_a_step_up_has_happened() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let (code, _) = site
        .code_with("app", "graph:read", |grant, _| {
            grant.login.acr = Some("phr".to_owned());
            grant.auth_time = Some(Timestamp::from_unix_seconds(NOW - 60));
        })
        .await;
    let token = site.redeem(&code).await.member("access_token");
    let answer = introspect(&site, &key, &token).await.json();
    assert_eq!((&answer["acr"], &answer["auth_time"]), (&json!("phr"), &json!(NOW - 60)));
}

// RFC 7662 §4, RFC 7009 §2.1
#[tokio::test]
async fn what_was_for_a_server_that_is_deleted_is_inactive_though_it_comes_again() {
    let site = Site::new().await;
    let uri = "https://weather.example/mcp";
    let key = resource(&site, "weather", uri).await;
    let machine = basic("nightly:s3cret");
    let asked = [("grant_type", "client_credentials"), ("resource", uri), ("scope", "graph:read")];
    let token = site.post_as("/token", Some(&machine), &asked).await.member("access_token");
    assert_eq!(introspect(&site, &key, &token).await.json()["active"], true);
    site.store.delete_resource("weather", false, site.server.clock.now()).await.unwrap();
    assert_eq!(introspect(&site, &key, &token).await.error(), refused(401, "invalid_client"));
    let own = site.post_as("/introspect", Some(&machine), &[("token", &token)]).await;
    assert_eq!(own.text, INACTIVE, "to its own client");
    site.clock.advance(std::time::Duration::from_secs(2));
    let new_key = resource(&site, "weather", uri).await;
    assert_eq!(introspect(&site, &new_key, &token).await.text, INACTIVE, "another server now");
}

// OIDC Core §5.3, §5.4
#[tokio::test]
async fn userinfo_tells_what_the_scopes_allow() {
    let site = Site::new().await;
    let sub = site.user.to_string();
    for (scopes, told) in [
        ("openid", json!({"sub": sub})),
        ("openid email", json!({"sub": sub, "email": "ada@example.com"})),
        (
            "openid profile",
            json!({"sub": sub, "preferred_username": "ada", "name": "Ada Lovelace"}),
        ),
    ] {
        let token = site.tokens(scopes).await.member("access_token");
        let answer = userinfo(&site, &format!("bearer {token}")).await;
        assert_eq!(answer.json(), told, "{scopes}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

// RFC 6750 §2.3, §3.1 — N52, N58, N65
#[tokio::test]
async fn userinfo_takes_a_live_access_token_with_openid_in_the_header_alone() {
    let site = Site::new().await;
    let tokens = site.tokens("openid graph:read").await;
    let token = tokens.member("access_token");
    let query =
        Request::builder().method(Method::POST).uri(format!("/userinfo?access_token={token}"));
    let nothing = site.send(query.body(Body::empty()).unwrap()).await;
    assert_eq!((nothing.status.as_u16(), nothing.text.as_str()), (401, ""));
    assert_eq!(nothing.headers[header::WWW_AUTHENTICATE], r#"Bearer scope="openid""#);
    for bad in [&tokens.member("id_token"), &tokens.member("refresh_token"), "x"] {
        let answer = userinfo(&site, &format!("Bearer {bad}")).await;
        assert_eq!(answer.error(), refused(401, "invalid_token"));
        let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with(r#"Bearer error="invalid_token""#), "{challenge}");
    }
    let without = site.tokens("graph:read").await.member("access_token");
    let answer = userinfo(&site, &format!("Bearer {without}")).await;
    assert_eq!(answer.error(), refused(403, "insufficient_scope"));
    site.store.disable_user(site.user, Some(site.server.clock.now())).await.unwrap();
    let answer = userinfo(&site, &format!("Bearer {token}")).await;
    assert_eq!(answer.error(), refused(401, "invalid_token"));
}

// RFC 6749 §4.1.2 — N29
#[tokio::test]
async fn tokens_of_a_code_that_came_twice_are_inactive() {
    let site = Site::new().await;
    let key = resource(&site, "mcp", MCP).await;
    let code = site.code("app", "graph:read").await;
    let token = site.token(&redemption(&code)).await.member("access_token");
    assert_eq!(introspect(&site, &key, &token).await.json()["active"], true);
    site.redeem(&code).await;
    assert_eq!(introspect(&site, &key, &token).await.text, INACTIVE);
}

// RFC 9701 §4, §5, §8.1 — N79
#[tokio::test]
async fn who_asks_for_a_signed_answer_gets_one_that_is_for_nobody_else_and_no_token() {
    let site = Site::new().await;
    let token = site.post_as("/token", Some(&basic("nightly:s3cret")), &MACHINE).await;
    let token = token.member("access_token");
    for (asked, active) in [(token.as_str(), true), ("unknown", false)] {
        let nightly = basic("nightly:s3cret");
        let plain = site.post_as("/introspect", Some(&nightly), &[("token", asked)]).await.json();
        let request = Request::post("/introspect")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, basic("nightly:s3cret"))
            .header(header::ACCEPT, "application/token-introspection+jwt")
            .body(Body::from(format!("token={asked}")))
            .unwrap();
        let answer = site.send(request).await;
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/token-introspection+jwt");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        let (head, claims) = (part(&answer.text, 0), claims(&answer.text));
        assert_eq!(
            (&head["typ"], &head["alg"]),
            (&"token-introspection+jwt".into(), &"ES256".into())
        );
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&"https://broker.example".into(), &"nightly".into())
        );
        assert_eq!((&claims["token_introspection"], &plain["active"]), (&plain, &active.into()));
        assert!(claims.get("sub").is_none() && claims.get("exp").is_none(), "{claims}");
        let shown = [("token", answer.text.as_str())];
        let as_token = site.post_as("/introspect", Some(&nightly), &shown).await.json();
        assert_eq!(as_token["active"], false, "it is no access token");
    }
}

// RFC 9701 §5 — N77
#[tokio::test]
async fn nobody_who_did_not_prove_who_they_are_gets_a_signed_answer() {
    let site = Site::new().await;
    let request = Request::post("/introspect")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/token-introspection+jwt")
        .body(Body::from("token=x&client_id=app"))
        .unwrap();
    assert_eq!(site.send(request).await.error(), refused(401, "invalid_client"));
}
