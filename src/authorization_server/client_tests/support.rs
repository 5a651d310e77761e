//! An authorization server over `SQLite`, with a clock that is moved.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::audit::{AuditSettings, Auditor, FileSettings, OnFailure, SinkSettings};
use crate::authorization_server::ordinary_settings::{configured, ordinary};
use crate::authorization_server::{
    AuthorizationServer, Client, ClientError, Form, Grantable, IdentityProviders, KeyRing,
    NewAuthorizationServer, OAuthError, PersonFacts, Registration, Sender, ServerSecret, Settings,
    SigningAlgorithm, SigningKeys, UsedAt, authenticate, find_client, registration_routes,
};
use crate::fake_http::loopback_client;
use crate::outbound::{Outbound, OutboundSettings};
use crate::random::SeededRandom;
use crate::scope::Scope;
use crate::store::{self, Database, StoreSettings};
use crate::time::{Clock, FixedClock, Timestamp};

pub(super) const NOW: i64 = 1_800_000_000;

#[derive(Debug)]
struct Nothing;

impl Grantable for Nothing {
    fn grantable(&self, _: &PersonFacts, _: UsedAt<'_>, _: &Scope) -> Scope {
        Scope::empty()
    }
}

pub(super) struct Site {
    pub(super) server: AuthorizationServer,
    pub(super) store: Arc<dyn Database>,
    pub(super) clock: Arc<FixedClock>,
    router: Router,
    _directory: TempDir,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// An operator allowed loopback for calls to what the operator names, and nothing for clients.
    pub(super) async fn with_outbound(outbound: Outbound) -> Self {
        let to_clients = Outbound::new(&OutboundSettings::default()).unwrap();
        Self::made_of(outbound, to_clients, |_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::made_of(loopback_client(), loopback_client(), change).await
    }

    async fn made_of(
        outbound: Outbound,
        to_clients: Outbound,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let random = Arc::new(SeededRandom::new(7));
        let keys = SigningKeys::generate(SigningAlgorithm::Es256);
        let audit = AuditSettings {
            queue_length: 100,
            on_failure: OnFailure::Block,
            limit: Duration::from_secs(10),
            sinks: vec![SinkSettings::File(FileSettings::at(directory.path().join("audit")))],
            service: "test".into(),
            environment: "dev",
        };
        let path = StoreSettings::Sqlite(directory.path().join("store.db"));
        let store = store::open(&path, clock.clone()).await.unwrap();
        let mut settings = settings();
        change(&mut settings);
        let around: Arc<dyn Clock> = clock.clone();
        let providers = IdentityProviders::new(&settings.public_url, &outbound, &around);
        let server = AuthorizationServer::new(NewAuthorizationServer {
            settings,
            store: Arc::clone(&store),
            keys: Arc::new(KeyRing::new(keys.unwrap())),
            providers,
            secret: ServerSecret::parse(&STANDARD.encode([7; 32]).into()).unwrap(),
            clock: clock.clone(),
            random: random.clone(),
            outbound,
            to_clients,
            auditor: Auditor::open(audit, clock.clone(), random).unwrap(),
            grantable: Arc::new(Nothing),
            dpop: None,
        });
        let router = registration_routes().with_state(server.clone());
        Self { server, store, clock, router, _directory: directory }
    }

    pub(super) async fn find(&self, id: &str) -> Result<Client, ClientError> {
        self.find_from("192.0.2.1", id).await
    }

    pub(super) async fn find_from(&self, address: &str, id: &str) -> Result<Client, ClientError> {
        let address = address.parse().ok();
        find_client(&self.server, address, &id.parse().unwrap()).await
    }

    /// Posts a registration; gives status, headers and the JSON of the answer.
    pub(super) async fn register(&self, body: impl Into<String>) -> (StatusCode, HeaderMap, Value) {
        let request = Request::post("/register")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.into()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, serde_json::from_slice(&body).unwrap())
    }

    /// A request about a registration with this token; gives status and the JSON of the answer, or null.
    pub(super) async fn manage(
        &self,
        method: &str,
        (id, token): (&str, &str),
        body: &Value,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/register/{id}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        assert_eq!(head.headers[header::CACHE_CONTROL], "no-store");
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The id of a client that registered with these redirect URIs.
    pub(super) async fn registered(&self, uris: &str) -> String {
        let body = format!(
            r#"{{"client_name":"App","redirect_uris":{uris},"token_endpoint_auth_method":"none"}}"#
        );
        let (status, _, answer) = self.register(body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer["client_id"].as_str().unwrap().to_owned()
    }

    /// Authenticates with a form, and with Basic where a pair is given.
    pub(super) async fn authenticate(
        &self,
        basic: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<Client, OAuthError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        if let Some(pair) = basic {
            let value = format!("Basic {}", STANDARD.encode(pair));
            headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let form = Form::parse(&headers, body.as_bytes()).unwrap();
        authenticate(&self.server, Sender::default(), &headers, &form).await
    }
}

fn settings() -> Settings {
    Settings {
        clients: vec![configured(
            "nightly:report",
            Some("s3cret+x"),
            "client_credentials",
            "graph:read",
        )],
        registration: Registration::Limited,
        ..ordinary("https://broker.example")
    }
}
