//! What every request to the token endpoint must be, and who must send it.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};

use super::support::{Site, basic, client, redemption, refused};

const MACHINE: [(&str, &str); 1] = [("grant_type", "client_credentials")];

// RFC 6749 §3.2 — N38
#[tokio::test]
async fn only_a_posted_form_is_a_request() {
    let site = Site::new().await;
    let get = Request::get("/token?grant_type=client_credentials").body(Body::empty()).unwrap();
    assert_eq!(site.send(get).await.status, StatusCode::METHOD_NOT_ALLOWED);
    for (kind, body) in [
        ("application/json", r#"{"grant_type":"client_credentials"}"#),
        ("multipart/form-data; boundary=x", "--x--"),
        ("application/json, application/x-www-form-urlencoded", "grant_type=client_credentials"),
        ("", "grant_type=client_credentials"),
    ] {
        let request = Request::builder().method(Method::POST).uri("/token");
        let request = request.header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap();
        let answer = site.send(request).await;
        assert_eq!(answer.error(), refused(400, "invalid_request"), "{kind}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

// RFC 6749 §3.2 — N39
#[tokio::test]
async fn a_parameter_that_comes_twice_is_refused_before_anything_else() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    for name in ["code", "client_id", "grant_type", "code_verifier"] {
        let mut form = redemption(&code).to_vec();
        form.push((name, "again"));
        assert_eq!(site.token(&form).await.error(), refused(400, "invalid_request"), "{name}");
    }
    assert_eq!(site.redeem(&code).await.status, 200);
}

// RFC 6749 §5.2 — N53
#[tokio::test]
async fn other_grants_are_not_supported() {
    let site = Site::new().await;
    for grant in ["password", "implicit", "urn:ietf:params:oauth:grant-type:unknown"] {
        let answer = site.token(&[("grant_type", grant), ("client_id", "app")]).await;
        assert_eq!(answer.error(), refused(400, "unsupported_grant_type"), "{grant}");
    }
    let answer = site.token(&[("grant_type", ""), ("client_id", "app")]).await;
    assert_eq!(answer.error(), refused(400, "invalid_request"));
}

// RFC 6749 §5.2 — N41, N42, N43
#[tokio::test]
async fn whoever_does_not_prove_who_they_are_is_told_so_alike() {
    let site = Site::new().await;
    let mut texts = std::collections::HashSet::new();
    for authorization in ["nightly:wrong", "unknown:s3cret", "app:s3cret", ":", "nightly:"] {
        let answer = site.post_as("/token", Some(&basic(authorization)), &MACHINE).await;
        assert_eq!(answer.error(), refused(401, "invalid_client"), "{authorization}");
        assert!(answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
        texts.insert(without_its_id(&answer.text));
    }
    for form in [
        vec![MACHINE[0]],
        vec![MACHINE[0], ("client_id", "nightly")],
        vec![MACHINE[0], ("client_id", "unknown")],
    ] {
        let answer = site.token(&form).await;
        assert_eq!(answer.error(), refused(401, "invalid_client"));
        texts.insert(without_its_id(&answer.text));
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}

/// The id of a request is all that differs.
fn without_its_id(text: &str) -> String {
    let mut told: serde_json::Value = serde_json::from_str(text).unwrap();
    let uri = told.as_object_mut().unwrap().remove("error_uri").unwrap();
    assert!(uri.as_str().unwrap().starts_with("https://broker.example/explain/"), "{uri}");
    told.to_string()
}

// RFC 6749 §2.3 — N40
#[tokio::test]
async fn two_ways_to_authenticate_are_refused() {
    let site = Site::new().await;
    let form = [MACHINE[0], ("client_id", "nightly"), ("client_secret", "s3cret")];
    let answer = site.post_as("/token", Some(&basic("nightly:s3cret")), &form).await;
    assert_eq!(answer.error(), refused(400, "invalid_request"));
}

// RFC 6749 §10.10 — N57, AS-29
#[tokio::test]
async fn whoever_guesses_a_short_secret_is_told_to_wait_and_nobody_else() {
    let site = Site::new().await;
    for _ in 0..21 {
        let answer = site.post_as("/token", Some(&basic("nightly:wrong")), &MACHINE).await;
        assert_eq!(answer.error(), refused(401, "invalid_client"));
    }
    let answer = site.post_as("/token", Some(&basic("nightly:s3cret")), &MACHINE).await;
    assert_eq!(answer.error(), refused(429, "temporarily_unavailable"));
    assert_eq!(answer.headers["retry-after"], "3");
    assert_eq!(site.tokens("graph:read").await.status, 200);
    site.clock.advance(std::time::Duration::from_secs(3));
    let answer = site.post_as("/token", Some(&basic("nightly:s3cret")), &MACHINE).await;
    assert_eq!(answer.status, 200);
}

// RFC 7662 §2.1 — N77
#[tokio::test]
async fn whoever_names_another_client_each_time_is_told_to_wait_and_who_is_right_goes_on() {
    const LONG: &str = "one secret of a client, as good as another";
    let machine = || client("machine", Some(LONG), "client_credentials", "graph:read");
    let site = Site::with(|settings| settings.clients.push(machine())).await;
    for number in 0..301 {
        let made_up = basic(&format!("nobody-{number}:wrong"));
        let answer = site.post_as("/token", Some(&made_up), &MACHINE).await;
        assert_eq!(answer.error(), refused(401, "invalid_client"), "{number}");
    }
    for (path, made_up) in [
        ("/token", basic("nobody:wrong")),
        ("/introspect", basic("weather:mak_0123456789abcdef_wrong")),
    ] {
        let form = [MACHINE[0], ("token", "x")];
        let answer = site.post_as(path, Some(&made_up), &form).await;
        assert_eq!(answer.error(), refused(429, "temporarily_unavailable"), "{path}");
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    let right = basic(&format!("machine:{}", LONG.replace(' ', "+")));
    assert_eq!(site.post_as("/token", Some(&right), &MACHINE).await.status, 200);
    site.clock.advance(std::time::Duration::from_secs(1));
    let answer = site.post_as("/token", Some(&basic("nobody:wrong")), &MACHINE).await;
    assert_eq!(answer.error(), refused(401, "invalid_client"));
}

/// A replica that was not told of a new secret goes on with the old one: the others, at the same address, must not wait for it.
#[tokio::test]
async fn a_stale_secret_keeps_nobody_out_who_has_the_right_one() {
    const LONG: &str = "one secret of a client, as good as another";
    let machine = || client("machine", Some(LONG), "client_credentials", "graph:read");
    let site = Site::with(|settings| settings.clients.push(machine())).await;
    for _ in 0..21 {
        let answer = site.post_as("/token", Some(&basic("machine:stale")), &MACHINE).await;
        assert_eq!(answer.error(), refused(401, "invalid_client"));
    }
    let stale = site.post_as("/token", Some(&basic("machine:stale")), &MACHINE).await;
    assert_eq!(stale.error(), refused(429, "temporarily_unavailable"), "who is wrong waits");
    assert_eq!(stale.headers["retry-after"], "3");
    let right = basic(&format!("machine:{}", LONG.replace(' ', "+")));
    for path in ["/token", "/introspect"] {
        let form = [MACHINE[0], ("token", "x")];
        assert_eq!(site.post_as(path, Some(&right), &form).await.status, 200, "{path}");
    }
}

// RFC 9700 §4.3 — N58
#[tokio::test]
async fn no_secret_is_in_the_log() {
    let site = Site::new().await;
    site.post_as("/token", Some(&basic("nightly:canary-secret")), &MACHINE).await;
    let code = site.code("app", "graph:read offline_access").await;
    let answer = site.redeem(&code).await;
    let (_, log) = site.events().await;
    let secrets = [answer.member("access_token"), answer.member("refresh_token"), code];
    assert!(secrets.iter().all(|secret| !log.contains(secret.as_str())));
    assert!(!log.contains("canary") && log.contains("oauth.token.refused"));
}

// RFC 6749 §5.2
#[tokio::test]
async fn the_log_says_who_a_refused_client_claims_to_be_and_that_it_is_a_claim() {
    let site = Site::new().await;
    let grant = [("grant_type", "client_credentials")];
    site.post_as("/token", Some(&basic("nightly:wrong")), &grant).await;
    site.post_as("/introspect", Some(&basic("nightly:wrong")), &[("token", "x")]).await;
    let (_, log) = site.events().await;
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["payload"]["unverified_client_id"], "nightly", "{line}");
        assert!(event["client_id"].is_null(), "{line}");
    }
    assert_eq!(log.lines().count(), 2, "{log}");
}
