//! Who gets in: real tokens, the real layer, the real routes on a real store.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::admin::operations::{Actor, Administrators, NewUser, Operations, Settings};
use crate::audit::{AuditSettings, Auditor, Context, OnFailure};
use crate::authorization_server::NewAccessToken;
use crate::id::{RequestId, TraceId, UserId};
use crate::random::SystemRandom;
use crate::resource_server::{IssuerSettings, KeySource, RequireTokenLayer, Verifier};
use crate::secret_text::SecretText;
use crate::store::{StoreSettings, open};
use crate::time::{Clock as _, SystemClock};

use super::routes;

const RESOURCE: &str = "https://broker.example/api";
const ISSUER: &str = "https://idp.example";

fn secret() -> SecretText {
    "32 bytes that only this test knows".to_owned().into()
}

struct Site {
    operations: Operations,
    _directory: TempDir,
}

impl Site {
    /// The settings name `robot` and the group `operators`.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
        let store = StoreSettings::Sqlite(directory.path().join("broker.db"));
        let audit = AuditSettings {
            queue_length: 100,
            on_failure: OnFailure::Block,
            limit: std::time::Duration::from_secs(10),
            sinks: Vec::new(),
            service: "test".into(),
            environment: "dev",
        };
        let operations = Operations {
            settings: Settings {
                public_url: "https://broker.example".parse().unwrap(),
                administrators: Administrators {
                    subjects: vec!["robot".to_owned()],
                    groups: vec!["operators".to_owned()],
                },
            },
            store: open(&store, Arc::<SystemClock>::clone(&clock)).await.unwrap(),
            auditor: Auditor::open(audit, clock.clone(), random.clone()).unwrap(),
            clock,
            random,
        };
        Self { operations, _directory: directory }
    }

    fn actor(&self) -> Actor {
        let operations = &self.operations;
        Actor(Context {
            request_id: RequestId::generate(&*operations.clock, &*operations.random),
            trace_id: TraceId::generate(&*operations.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        })
    }

    async fn person(&self, administrator: bool, groups: &[&str]) -> UserId {
        let new = NewUser {
            username: format!("u{}", self.operations.random.uuid_v7(SystemClock.now())),
            display_name: None,
            email: None,
            administrator,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        self.operations.add_user(&self.actor(), new).await.unwrap().object.id
    }

    async fn status(&self, name: header::HeaderName, value: &str) -> StatusCode {
        let request = Request::get("/api/v1/users").header(name, value);
        self.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    async fn with_token(&self, subject: &str, scope: &str) -> StatusCode {
        self.status(header::AUTHORIZATION, &token(subject, scope)).await
    }

    fn router(&self) -> Router {
        let keys = KeySource::SharedSecret(secret());
        let issuer = IssuerSettings::new(ISSUER.parse().unwrap(), vec![RESOURCE.into()], keys);
        let verifier = Verifier::builder().issuer(issuer).build().unwrap();
        let metadata =
            "https://broker.example/.well-known/oauth-protected-resource".parse().unwrap();
        let layer = RequireTokenLayer::new(Arc::new(verifier), &metadata);
        routes(self.operations.clone()).layer(layer)
    }
}

fn token(subject: &str, scope: &str) -> String {
    let now = SystemClock.now();
    let token = NewAccessToken {
        issuer: ISSUER.parse().unwrap(),
        audience: RESOURCE.to_owned(),
        subject: subject.parse().unwrap(),
        client_id: "console".parse().unwrap(),
        scope: scope.parse().unwrap(),
        issued_at: now,
        expires_at: now.plus_seconds(60),
    };
    let signed = token.sign_shared(&secret(), &SystemRandom::new()).unwrap();
    format!("Bearer {}", signed.0.expose())
}

// RFC 6750 §3.1 — N113, N115
#[tokio::test]
async fn only_the_scope_of_administrators_opens_the_api() {
    let site = Site::new().await;
    for (scope, expected) in [
        ("broker:admin", StatusCode::OK),
        ("broker:*", StatusCode::OK),
        ("graph:* mcp:*", StatusCode::FORBIDDEN),
        ("*", StatusCode::FORBIDDEN),
        ("broker:administrator", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(site.with_token("robot", scope).await, expected, "{scope}");
    }
}

// OWASP ASVS 5 — N115
#[tokio::test]
async fn who_is_no_administrator_any_more_is_refused_whatever_the_token_says() {
    let site = Site::new().await;
    let (ada, bob, eve) = (
        site.person(true, &[]).await,
        site.person(false, &["operators"]).await,
        site.person(false, &["staff"]).await,
    );
    let [ada_name, bob_name, eve_name] = [ada, bob, eve].map(|id| id.to_string());
    let admin = "broker:admin";
    assert_eq!(site.with_token(&ada_name, admin).await, StatusCode::OK);
    assert_eq!(site.with_token(&bob_name, admin).await, StatusCode::OK);
    assert_eq!(site.with_token(&eve_name, admin).await, StatusCode::FORBIDDEN);
    assert_eq!(site.with_token("somebody", admin).await, StatusCode::FORBIDDEN);
    site.operations.store.set_administrator(ada, false).await.unwrap();
    assert_eq!(site.with_token(&ada_name, admin).await, StatusCode::FORBIDDEN);
    site.operations.disable_user(&site.actor(), bob, true).await.unwrap();
    assert_eq!(site.with_token(&bob_name, admin).await, StatusCode::FORBIDDEN);
}

// OWASP ASVS 5 — N113
#[tokio::test]
async fn a_cookie_opens_nothing() {
    let site = Site::new().await;
    let cookie = format!("__Host-session={}", token("robot", "broker:admin"));
    assert_eq!(site.status(header::COOKIE, &cookie).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_the_layer_in_front_everything_is_refused() {
    let site = Site::new().await;
    let router = routes(site.operations.clone());
    let request = Request::get("/api/v1/users")
        .header("authorization", token("robot", "broker:admin"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}
