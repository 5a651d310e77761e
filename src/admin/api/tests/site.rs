//! A broker's administration on a real store, without what serves beside it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::admin::api::routes;
use crate::admin::operations::{
    Actor, Administrators, BoundTokens, CertificatesAsked, KeyControl, KeyFault, LogControl,
    LogLevel, LogLevelView, NewUser, Operations, PolicyControl, PolicyView, ProviderControl,
    ProviderFault, ReloadFault, Serving, Settings,
};
use crate::audit::{AuditSettings, Auditor, Context, FileSettings, OnFailure, SinkSettings};
use crate::authorization_server::NewAccessToken;
use crate::broker::Approvals;
use crate::id::{RequestId, TraceId, UserId};
use crate::login_provider::AdministratorGroups;
use crate::random::SystemRandom;
use crate::resource_server::{IssuerSettings, KeySource, RequireTokenLayer, Verifier};
use crate::secret_text::SecretText;
use crate::store::{SigningKeyRow, StoreSettings, open};
use crate::time::{Clock as _, SystemClock, Timestamp};

const RESOURCE: &str = "https://broker.example/api";
const ISSUER: &str = "https://idp.example";

fn secret() -> SecretText {
    "32 bytes that only this test knows".to_owned().into()
}

/// Rules that nobody changes.
#[derive(Debug)]
struct Rules;

#[async_trait::async_trait]
impl PolicyControl for Rules {
    fn view(&self) -> PolicyView {
        PolicyView {
            policy_version: "t".to_owned(),
            shadow_policy_version: None,
            shadow_differences: None,
            shadow_kinds: None,
            fault: None,
        }
    }

    async fn reload(&self, _: &Context) -> Result<PolicyView, ReloadFault> {
        Ok(self.view())
    }
}

#[derive(Debug)]
struct Logs;

impl LogControl for Logs {
    fn list(&self) -> Vec<LogLevelView> {
        vec![LogLevelView { module: "all", level: LogLevel::Info }]
    }

    fn modules(&self) -> &'static [&'static str] {
        &["all"]
    }

    fn set(&self, _: &str, _: Option<LogLevel>) {}
}

/// Keys that nobody makes.
#[derive(Debug)]
struct NoKeys;

#[async_trait::async_trait]
impl KeyControl for NoKeys {
    async fn rotate(&self, _: bool) -> Result<Vec<SigningKeyRow>, KeyFault> {
        Ok(Vec::new())
    }

    fn retire_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(0)
    }
}

/// Every provider is as it should be.
#[derive(Debug)]
pub(super) struct Providers;

#[async_trait::async_trait]
impl ProviderControl for Providers {
    async fn look_at(&self, _: &crate::store::IdentityProviderRow) -> Result<(), ProviderFault> {
        Ok(())
    }

    async fn follow(&self) {}
}

fn serving(operations: &Operations) -> Serving {
    Serving {
        approvals: Approvals {
            store: Arc::clone(&operations.store) as _,
            clock: Arc::clone(&operations.clock),
            random: Arc::clone(&operations.random),
            auditor: operations.auditor.clone(),
            seal: Arc::new(str::to_owned),
            open: Arc::new(|text| Some(text.to_owned())),
            pages: "https://broker.example/approvals".to_owned(),
            notices: None,
            rules: Arc::new(|| None),
        },
        issuer: ISSUER.parse().unwrap(),
        policy: Arc::new(Rules),
        logs: Arc::new(Logs),
        keys: Arc::new(NoKeys),
        providers: Arc::new(Providers),
        explainer: None,
    }
}

pub(super) struct Site {
    pub(super) operations: Operations,
    _directory: TempDir,
}

impl Site {
    /// The settings name `robot` and the group `operators`.
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
        let store = StoreSettings::Sqlite(directory.path().join("broker.db"));
        let audit = AuditSettings {
            queue_length: 100,
            on_failure: OnFailure::Block,
            limit: std::time::Duration::from_secs(10),
            sinks: vec![SinkSettings::File(FileSettings::at(directory.path().join("audit")))],
            service: "test".into(),
            environment: "dev",
        };
        let operators = AdministratorGroups::new(&["operators".to_owned()]);
        operators.leave_out([]);
        let operations = Operations {
            settings: Settings {
                public_url: "https://broker.example".parse().unwrap(),
                names: vec!["https://broker.example".parse().unwrap()],
                configured_servers: vec!["weather-of-settings".to_owned()],
                identity_providers: Vec::new(),
                provider_secrets: Vec::new(),
                client_certificates: CertificatesAsked::default(),
                client_hosts: None,
                named_credentials: Vec::new(),
                bound_tokens: BoundTokens::default(),
                administrators: Administrators {
                    subjects: vec!["robot".to_owned()],
                    groups: operators,
                },
            },
            store: open(&store, Arc::<SystemClock>::clone(&clock)).await.unwrap(),
            auditor: Auditor::open(audit, clock.clone(), random.clone()).unwrap(),
            clock,
            random,
            serving: None,
        };
        let operations = Operations { serving: Some(serving(&operations)), ..operations };
        Self { operations, _directory: directory }
    }

    pub(super) fn actor(&self) -> Actor {
        let operations = &self.operations;
        Actor::new(Context {
            request_id: RequestId::generate(&*operations.clock, &*operations.random),
            trace_id: TraceId::generate(&*operations.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        })
    }

    pub(super) async fn person(&self, administrator: bool, groups: &[&str]) -> UserId {
        let new = NewUser {
            username: format!("u{}", self.operations.random.uuid_v7(SystemClock.now())),
            display_name: None,
            email: None,
            administrator,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        };
        self.operations.add_user(&self.actor(), new).await.unwrap().object.id
    }

    pub(super) async fn status(&self, name: header::HeaderName, value: &str) -> StatusCode {
        let request = Request::get("/api/v1/users").header(name, value);
        self.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    pub(super) async fn with_token(&self, subject: &str, scope: &str) -> StatusCode {
        self.status(header::AUTHORIZATION, &token(subject, scope)).await
    }

    pub(super) fn router(&self) -> Router {
        let keys = KeySource::SharedSecret(secret().into());
        let issuer = IssuerSettings::new(ISSUER.parse().unwrap(), vec![RESOURCE.into()], keys);
        let verifier = Verifier::builder().issuer(issuer).build().unwrap();
        let metadata =
            "https://broker.example/.well-known/oauth-protected-resource".parse().unwrap();
        let layer = RequireTokenLayer::new(Arc::new(verifier), &metadata);
        routes(self.operations.clone(), axum::Router::new()).layer(layer)
    }
}

pub(super) fn token(subject: &str, scope: &str) -> String {
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
