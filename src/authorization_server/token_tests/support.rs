//! An authorization server over `SQLite`, with a clock that is moved and people who allowed something.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::audit::{AuditSettings, Auditor, FileSettings, OnFailure, SinkSettings};
use crate::authorization_server::{
    AuthorizationServer, CodeChallenge, Grantable, IdentityProviders, KeyRing,
    NewAuthorizationServer, PersonFacts, ServerSecret, Settings, SigningAlgorithm, SigningKeys,
    UsedAt, introspection_routes, token_routes,
};
use crate::fake_http::loopback_client;
use crate::id::{GrantId, UserId};
use crate::random::SeededRandom;
use crate::scope::Scope;
use crate::store::{
    self, CodeRow, Database, Digest, GrantRow, OwnLogin, ResourceRow, SessionRow, StoreSettings,
    UserRow,
};
use crate::time::{Clock, FixedClock, Timestamp};

pub(super) use super::settings::client;
use super::settings::settings;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const MCP: &str = "https://broker.example/mcp";
pub(super) const CALLBACK: &str = "http://127.0.0.1:3118/callback";
/// RFC 7636 appendix B
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Everything but administration, and but what a test takes away.
#[derive(Debug, Default)]
pub(super) struct Policy(Mutex<Scope>);

impl Grantable for Policy {
    fn grantable(&self, _: &PersonFacts, _: UsedAt<'_>, wanted: &Scope) -> Scope {
        let denied = self.0.lock().unwrap();
        let fine = |token: &&crate::scope::ScopeToken| {
            !token.as_str().starts_with("broker:") && !denied.permits(token)
        };
        wanted.iter().filter(fine).cloned().collect()
    }
}

impl Policy {
    pub(super) fn deny(&self, scopes: &str) {
        *self.0.lock().unwrap() = scopes.parse().unwrap();
    }
}

pub(super) struct Site {
    pub(super) server: AuthorizationServer,
    pub(super) store: Arc<dyn Database>,
    pub(super) clock: Arc<FixedClock>,
    pub(super) policy: Arc<Policy>,
    pub(super) user: UserId,
    pub(super) log: std::path::PathBuf,
    pub(super) router: Router,
    _directory: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Status and `error`, to compare at once.
    pub(super) fn error(&self) -> (u16, String) {
        let error = self.json()["error"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), error)
    }

    pub(super) fn member(&self, name: &str) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {}", self.text)).to_owned()
    }

    pub(super) fn claims(&self) -> Value {
        claims(&self.member("access_token"))
    }
}

pub(super) fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(super) fn claims(token: &str) -> Value {
    part(token, 1)
}

pub(super) fn refused(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// `POST` of a form.
pub(super) fn posting(path: &str, form: &[(&str, &str)]) -> Request<Body> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let random = Arc::new(SeededRandom::new(7));
        let keys = SigningKeys::generate(SigningAlgorithm::Es256);
        let log = directory.path().join("audit.jsonl");
        let audit = AuditSettings {
            queue_length: 1000,
            on_failure: OnFailure::Block,
            limit: Duration::from_secs(10),
            sinks: vec![SinkSettings::File(FileSettings::at(log.clone()))],
            service: "test".into(),
            environment: "dev",
        };
        let path = StoreSettings::Sqlite(directory.path().join("store.db"));
        let store = store::open(&path, clock.clone()).await.unwrap();
        let mut settings = settings();
        change(&mut settings);
        let policy = Arc::new(Policy::default());
        let around: Arc<dyn Clock> = clock.clone();
        let providers = IdentityProviders::new(&settings.public_url, &loopback_client(), &around);
        let server = AuthorizationServer::new(NewAuthorizationServer {
            settings,
            store: Arc::clone(&store),
            keys: Arc::new(KeyRing::new(keys.unwrap())),
            providers,
            secret: ServerSecret::parse(&STANDARD.encode([7; 32]).into()).unwrap(),
            clock: clock.clone(),
            random: random.clone(),
            outbound: loopback_client(),
            to_clients: loopback_client(),
            auditor: Auditor::open(audit, clock.clone(), random.clone()).unwrap(),
            grantable: policy.clone(),
            dpop: None,
        });
        let user = UserId::generate(&*clock, &*random);
        store.add_user(&ada(user)).await.unwrap();
        let router = token_routes().merge(introspection_routes()).with_state(server.clone());
        Self { server, store, clock, policy, user, log, router, _directory: directory }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }

    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_as(path, None, form).await
    }

    /// With an `Authorization` header.
    pub(super) async fn post_as(
        &self,
        path: &str,
        authorization: Option<&str>,
        form: &[(&str, &str)],
    ) -> Answer {
        let mut request = posting(path, form);
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        self.send(request).await
    }

    pub(super) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/token", form).await
    }

    /// What a person allowed `client_id`, as a code.
    pub(super) async fn code(&self, client_id: &str, scopes: &str) -> String {
        self.code_with(client_id, scopes, |_, _| {}).await.0
    }

    pub(super) async fn code_with(
        &self,
        client_id: &str,
        scopes: &str,
        change: impl FnOnce(&mut GrantRow, &mut CodeRow),
    ) -> (String, GrantId) {
        let now = self.clock.now();
        let id = GrantId::generate(&*self.server.clock, &*self.server.random);
        let text = format!("code-{id}");
        let mut grant = GrantRow {
            id,
            user_id: Some(self.user),
            client_id: client_id.parse().unwrap(),
            scopes: scopes.parse().unwrap(),
            resource: MCP.to_owned(),
            redirect_origin: None,
            client_digest: None,
            auth_time: Some(now),
            login: crate::store::LoginOrigin::default(),
            extra: None,
            created_at: now,
            last_used_at: now,
            expires_at: now.plus(Duration::from_hours(24 * 180)),
            revoked_at: None,
            revoke_reason: None,
        };
        let mut code = CodeRow {
            code: Digest::of(&text),
            grant_id: id,
            client_id: client_id.parse().unwrap(),
            redirect_uri: CALLBACK.to_owned(),
            code_challenge: CodeChallenge::of_verifier(VERIFIER).unwrap().as_str().to_owned(),
            nonce: Some("n-0S6_WzA2Mj".to_owned()),
            dpop_jkt: None,
            scopes: scopes.parse().unwrap(),
            expires_at: now.plus(Duration::from_mins(1)),
            used_at: None,
        };
        change(&mut grant, &mut code);
        let session = SessionRow {
            session: Digest::of(&format!("session of {id}")),
            user_id: grant.user_id,
            auth_time: Some(now),
            method: Some("pwd".to_owned()),
            login: grant.login.clone(),
            pending: None,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(Duration::from_hours(12)),
        };
        self.store.add_session(&session).await.unwrap();
        let session = session.session;
        assert!(self.store.add_grant_with_code(&session, &grant, &code, None).await.unwrap());
        self.store.end_session(&session).await.unwrap();
        (text, id)
    }

    /// A resource server that runs elsewhere; its tokens live five minutes.
    pub(super) async fn register(&self, id: &str, uri: &str) -> ResourceRow {
        let row = ResourceRow {
            id: id.to_owned(),
            uri: uri.to_owned(),
            aliases: Vec::new(),
            url: None,
            proxy: None,
            name: id.to_owned(),
            description: None,
            owner: None,
            scopes: Scope::empty(),
            access_token_ttl_seconds: Some(300),
            created_at: self.clock.now(),
            disabled_at: None,
        };
        assert!(self.store.add_resource(&row).await.unwrap());
        row
    }

    /// Redeems a code of the public client `app`.
    pub(super) async fn redeem(&self, code: &str) -> Answer {
        self.token(&redemption(code)).await
    }

    /// The tokens of a new grant to the public client `app`.
    pub(super) async fn tokens(&self, scopes: &str) -> Answer {
        let code = self.code("app", scopes).await;
        self.redeem(&code).await
    }

    pub(super) async fn refresh(&self, token: &str) -> Answer {
        self.token(&refreshing(token)).await
    }

    /// The types of the audit events so far, and the whole log.
    pub(super) async fn events(&self) -> (Vec<String>, String) {
        self.server.auditor.flush().await.unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        let kind = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["event_type"].as_str().unwrap().to_owned()
        };
        (log.lines().map(kind).collect(), log)
    }
}

pub(super) fn redemption(code: &str) -> [(&str, &str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

pub(super) fn refreshing(token: &str) -> [(&str, &str); 3] {
    [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", token)]
}

/// `form` with one value changed, or taken away where it is empty.
pub(super) fn changed<'a>(
    form: &[(&'a str, &'a str)],
    name: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let others = form.iter().filter(|(known, _)| *known != name).copied();
    others.chain((!value.is_empty()).then_some((name, value))).collect()
}

pub(super) fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

pub(super) fn ada(id: UserId) -> UserRow {
    UserRow {
        id,
        username: "ada".to_owned(),
        display_name: Some("Ada Lovelace".to_owned()),
        email: Some("ada@example.com".to_owned()),
        own_login: OwnLogin::Nothing,
        administrator: false,
        groups: vec!["engineers".to_owned()],
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
        created_at: Timestamp::from_unix_seconds(NOW),
        last_login_at: None,
        disabled_at: None,
    }
}
