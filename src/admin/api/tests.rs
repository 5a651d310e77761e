//! Who gets in: real tokens, the real layer, a handler that says that it was reached.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::middleware::from_fn;
use axum::routing::get;
use tower::ServiceExt as _;

use crate::authorization_server::NewAccessToken;
use crate::random::SystemRandom;
use crate::resource_server::{IssuerSettings, KeySource, RequireTokenLayer, Verifier};
use crate::secret_text::SecretText;
use crate::time::{Clock as _, SystemClock};

use super::access::administrators_only;

const RESOURCE: &str = "https://broker.example/api";

fn secret() -> SecretText {
    "32 bytes that only this test knows".to_owned().into()
}

fn token(scope: &str) -> String {
    let now = SystemClock.now();
    let token = NewAccessToken {
        issuer: "https://idp.example".parse().unwrap(),
        audience: RESOURCE.to_owned(),
        subject: "ada".parse().unwrap(),
        client_id: "console".parse().unwrap(),
        scope: scope.parse().unwrap(),
        issued_at: now,
        expires_at: now.plus_seconds(60),
    };
    let signed = token.sign_shared(&secret(), &SystemRandom::new()).unwrap();
    format!("Bearer {}", signed.0.expose())
}

async fn status(name: header::HeaderName, value: &str) -> StatusCode {
    let keys = KeySource::SharedSecret(secret());
    let issuer =
        IssuerSettings::new("https://idp.example".parse().unwrap(), vec![RESOURCE.into()], keys);
    let verifier = Verifier::builder().issuer(issuer).build().unwrap();
    let metadata = "https://broker.example/.well-known/oauth-protected-resource".parse().unwrap();
    let router = Router::new()
        .route("/api/v1/users", get(async || "reached"))
        .layer(from_fn(administrators_only))
        .layer(RequireTokenLayer::new(Arc::new(verifier), &metadata));
    let request = Request::get("/api/v1/users").header(name, value);
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
}

// RFC 6750 §3.1 — N113, N115
#[tokio::test]
async fn only_the_scope_of_administrators_opens_the_api() {
    for (scope, expected) in [
        ("broker:admin", StatusCode::OK),
        ("broker:*", StatusCode::OK),
        ("graph:* mcp:*", StatusCode::FORBIDDEN),
        ("*", StatusCode::FORBIDDEN),
        ("broker:administrator", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(status(header::AUTHORIZATION, &token(scope)).await, expected, "{scope}");
    }
}

// OWASP ASVS 5 — N113
#[tokio::test]
async fn a_cookie_opens_nothing() {
    let cookie = format!("__Host-session={}", token("broker:admin"));
    assert_eq!(status(header::COOKIE, &cookie).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_the_layer_in_front_everything_is_refused() {
    let router = Router::new()
        .route("/api/v1/users", get(async || "reached"))
        .layer(from_fn(administrators_only));
    let request = Request::get("/api/v1/users").header("authorization", token("broker:admin"));
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
