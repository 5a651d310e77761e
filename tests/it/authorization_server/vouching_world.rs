//! Two brokers on one database, and the identity provider on a socket of its own at which Bob logs in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock, FixedClock, SystemClock};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::Notify;

use crate::store::database;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};
use crate::support::tokens::SigningKey;

use super::browser::Browser;
use super::client::told;
use super::flow::{Held, text};

pub(super) const KEEP: &str = "standing = { keep_tokens = true }";

/// A provider that knows Bob, and is what a test says.
pub(super) struct Idp {
    pub(super) fake: FakeHttp,
    key: SigningKey,
    issuer: String,
    clock: Arc<FixedClock>,
}

impl Idp {
    async fn start(clock: &Arc<FixedClock>) -> Self {
        let fake = FakeHttp::start(Reply::status(404)).await;
        let issuer = fake.url().as_str().trim_end_matches('/').to_owned();
        let idp = Self { fake, key: SigningKey::ec(), issuer, clock: Arc::clone(clock) };
        idp.describes_itself(&json!({}));
        idp.fake.answers_at("/jwks", Reply::json(idp.key.jwks("k")));
        idp
    }

    /// Its discovery document, with more members.
    fn describes_itself(&self, more: &Value) {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut document = json!({
            "issuer": self.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "id_token_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        let path = "/.well-known/openid-configuration";
        self.fake.answers_at(path, Reply::json(document.to_string()));
    }

    /// What its userinfo endpoint says of Bob.
    pub(super) fn tells(&self, more: &Value) {
        self.describes_itself(&json!({ "userinfo_endpoint": format!("{}/userinfo", self.issuer) }));
        let mut told = json!({ "sub": "1", "name": "Bob", "email": "bob@partner.example" });
        for (name, value) in more.as_object().unwrap() {
            told[name] = value.clone();
        }
        self.fake.answers_at("/userinfo", Reply::json(told.to_string()));
    }

    /// Answers at its token endpoint without an ID token, as it may (OIDC Core §12.2).
    pub(super) fn gives_no_id_token(&self, refresh_token: &str) {
        let answer = json!({
            "access_token": "access-CANARY", "token_type": "Bearer", "refresh_token": refresh_token,
        });
        self.fake.answers_at("/token", Reply::json(answer.to_string()));
    }

    /// Answers at its token endpoint so from now on.
    pub(super) fn gives(&self, refresh_token: &str, claims: &Value) {
        self.fake.answers_at("/token", self.given(refresh_token, claims));
    }

    /// Answers so when the test says.
    pub(super) fn gives_when(&self, gate: &Arc<Notify>, refresh_token: &str, claims: &Value) {
        let answer = Box::new(self.given(refresh_token, claims));
        self.fake.answers_at("/token", Reply::When(Arc::clone(gate), answer));
    }

    fn given(&self, refresh_token: &str, claims: &Value) -> Reply {
        let now = self.clock.now().unix_seconds();
        let mut token = json!({
            "iss": self.issuer, "aud": "broker", "sub": "1", "preferred_username": "bob",
            "iat": now, "exp": now + 300, "groups": ["staff"],
        });
        for (name, value) in claims.as_object().unwrap() {
            token[name] = value.clone();
        }
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k" });
        let answer = json!({
            "access_token": "access-CANARY", "token_type": "Bearer", "id_token": self.key.sign(&header, &token),
            "refresh_token": refresh_token,
        });
        Reply::json(answer.to_string())
    }

    pub(super) fn refuses(&self, status: u16, body: &'static str) {
        let answer = Reply::Answer(status, Vec::new(), body.into());
        self.fake.answers_at("/token", answer.header("content-type", "application/json"));
    }

    /// The refresh tokens that it was asked with, one after the other.
    pub(super) fn asked_with(&self) -> Vec<String> {
        let asked = self.fake.asked();
        let form = |body: &str| {
            let pairs = url::form_urlencoded::parse(body.as_bytes()).into_owned();
            pairs.collect::<BTreeMap<_, _>>()
        };
        let forms = asked.iter().filter(|asked| asked.path == "/token").map(|it| form(&it.body));
        forms.filter_map(|form| form.get("refresh_token").cloned()).collect()
    }

    /// Logs in; gives what the browser was sent with.
    pub(super) async fn logs_in(
        &self,
        browser: &mut Browser<'_>,
        refresh_token: &str,
    ) -> BTreeMap<String, String> {
        self.logs_in_saying(browser, refresh_token, &json!({})).await
    }

    /// The same, with more claims of the ID token.
    pub(super) async fn logs_in_saying(
        &self,
        browser: &mut Browser<'_>,
        refresh_token: &str,
        claims: &Value,
    ) -> BTreeMap<String, String> {
        let sent = told(&browser.get("/login/with/partner").await.header("location"));
        let mut claims = claims.clone();
        claims["nonce"] = json!(sent["nonce"]);
        self.gives(refresh_token, &claims);
        let back = format!("/login/callback/partner?code=x&state={}", sent["state"]);
        let done = browser.get(&back).await;
        assert_eq!(done.status, 303, "{done:?}");
        sent
    }
}

/// Brokers on one database to which time passes alike, and where their people log in.
pub(super) struct World {
    pub(super) idp: Idp,
    pub(super) brokers: [Product; 2],
    pub(super) clock: Arc<FixedClock>,
    database: String,
    /// With which others are started beside them.
    settings: (String, Vec<String>),
}

impl World {
    pub(super) async fn start(standing: &str) -> Self {
        Self::with(standing, |_| String::new()).await
    }

    /// The same with more settings, which may name the provider.
    pub(super) async fn with(standing: &str, more: impl FnOnce(&str) -> String) -> Self {
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let (idp, database) = (Idp::start(&clock).await, database());
        let settings = format!(
            "[outbound]\nallow_private = [\"127.0.0.1\"]\n[store]\n\
             key_encryption_key = \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\"\n\
             [authorization_server.administrators]\nsubjects = [\"ada\"]\n\
             [[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"{}\"\nclient_id = \"broker\"\n{standing}\n",
            idp.issuer
        );
        let settings = settings + &more(&idp.issuer);
        let mut overrides = vec![format!("store.url={database}")];
        let time = || Arc::<FixedClock>::clone(&clock);
        let one = Product::start_over(&settings, &overrides, time()).await;
        // Both are called alike: grants are for that name.
        overrides.push(format!("server.public_url=http://{}", one.authority));
        overrides.push("server.allowed_hosts=[\"127.0.0.1\"]".to_owned());
        let two = Product::start_over(&settings, &overrides, time()).await;
        let settings = (settings, overrides);
        Self { idp, brokers: [one, two], clock, database, settings }
    }

    pub(super) fn here(&self) -> &Product {
        &self.brokers[0]
    }

    pub(super) fn there(&self) -> &Product {
        &self.brokers[1]
    }

    /// One more broker, with other settings.
    pub(super) async fn third(&self, change: impl FnOnce(&str) -> String) -> Product {
        let (settings, overrides) = &self.settings;
        let clock = Arc::<FixedClock>::clone(&self.clock);
        Product::start_over(&change(settings), overrides, clock).await
    }

    /// Does that to the database behind the brokers' backs.
    pub(super) async fn run(&self, sql: &'static str) {
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        connection.execute(sql).await.unwrap();
    }

    /// What the database says to that.
    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Bob's groups, as administrators see them.
    pub(super) async fn groups(&self) -> Value {
        let now = self.clock.now();
        let token = self.here().token_with(&["broker:admin"], |token| {
            (token.issued_at, token.expires_at) = (now, now.plus(Duration::from_mins(10)));
        });
        let request = Request::new("GET", "/api/v1/users");
        let request = request.header("authorization", &format!("Bearer {token}"));
        let users = self.here().send(request).await.json();
        let users = users["items"].as_array().unwrap();
        users.iter().find(|user| user["username"] == "bob").unwrap()["groups"].clone()
    }

    /// What both audit logs have of events of this type.
    pub(super) fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.brokers.iter().flat_map(Product::audit_lines);
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        lines.filter(|line| line["event_type"] == kind).collect()
    }
}

/// A client of Bob's, and the refresh token that it has now.
pub(super) struct Agent {
    held: Held,
    refresh_token: String,
}

impl Agent {
    pub(super) async fn of(browser: &mut Browser<'_>, product: &Product) -> Self {
        let held = Held::through(browser, product, "public:read").await;
        let tokens = held.exchange(product).await.json();
        Self { held, refresh_token: text(&tokens, "refresh_token").to_owned() }
    }

    async fn tries(&self, at: &Product) -> Answer {
        self.held.refresh(at, &self.refresh_token).await
    }

    pub(super) async fn refreshes(&mut self, at: &Product) {
        let answer = self.tries(at).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json(), "refresh_token").clone_into(&mut self.refresh_token);
    }

    pub(super) async fn is_refused(&self, at: &Product, status: u16, error: &str) {
        let answer = self.tries(at).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{answer:?}");
    }
}
