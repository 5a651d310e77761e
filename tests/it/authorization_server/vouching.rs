//! Identity providers that are asked again about people whose clients refresh: two brokers on one database, and a provider on a
//! socket of its own.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock, FixedClock, SystemClock};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

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
    fake: FakeHttp,
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
    fn tells(&self, more: &Value) {
        self.describes_itself(&json!({ "userinfo_endpoint": format!("{}/userinfo", self.issuer) }));
        let mut told = json!({ "sub": "1", "name": "Bob", "email": "bob@partner.example" });
        for (name, value) in more.as_object().unwrap() {
            told[name] = value.clone();
        }
        self.fake.answers_at("/userinfo", Reply::json(told.to_string()));
    }

    /// Answers at its token endpoint without an ID token, as it may (OIDC Core §12.2).
    fn gives_no_id_token(&self, refresh_token: &str) {
        let answer = json!({
            "access_token": "access-CANARY", "token_type": "Bearer", "refresh_token": refresh_token,
        });
        self.fake.answers_at("/token", Reply::json(answer.to_string()));
    }

    /// Answers at its token endpoint so from now on.
    pub(super) fn gives(&self, refresh_token: &str, claims: &Value) {
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
        self.fake.answers_at("/token", Reply::json(answer.to_string()));
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
            pairs.collect::<std::collections::BTreeMap<_, _>>()
        };
        let forms = asked.iter().filter(|asked| asked.path == "/token").map(|it| form(&it.body));
        forms.filter_map(|form| form.get("refresh_token").cloned()).collect()
    }

    /// Logs in; gives what the browser was sent with.
    pub(super) async fn logs_in(
        &self,
        browser: &mut Browser<'_>,
        refresh_token: &str,
    ) -> std::collections::BTreeMap<String, String> {
        let sent = told(&browser.get("/login/with/partner").await.header("location"));
        self.gives(refresh_token, &json!({ "nonce": sent["nonce"] }));
        let back = format!("/login/callback/partner?code=x&state={}", sent["state"]);
        let done = browser.get(&back).await;
        assert_eq!(done.status, 303, "{done:?}");
        sent
    }
}

/// Brokers on one database to which time passes alike, and where their people log in.
pub(super) struct World {
    pub(super) idp: Idp,
    brokers: [Product; 2],
    pub(super) clock: Arc<FixedClock>,
    database: String,
}

impl World {
    async fn start(standing: &str) -> Self {
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
        Self { idp, brokers: [one, two], clock, database }
    }

    pub(super) fn here(&self) -> &Product {
        &self.brokers[0]
    }

    /// Does that to the database behind the brokers' backs.
    async fn run(&self, sql: &'static str) {
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        connection.execute(sql).await.unwrap();
    }

    /// Bob's groups, as administrators see them.
    async fn groups(&self) -> Value {
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
    fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.brokers.iter().flat_map(Product::audit_lines);
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        lines.filter(|line| line["event_type"] == kind).collect()
    }
}

/// A client of Bob's, and the refresh token that it has now.
struct Agent {
    held: Held,
    refresh_token: String,
}

impl Agent {
    async fn of(browser: &mut Browser<'_>, product: &Product) -> Self {
        let held = Held::through(browser, product, "public:read").await;
        let tokens = held.exchange(product).await.json();
        Self { held, refresh_token: text(&tokens, "refresh_token").to_owned() }
    }

    async fn tries(&self, at: &Product) -> Answer {
        self.held.refresh(at, &self.refresh_token).await
    }

    async fn refreshes(&mut self, at: &Product) {
        let answer = self.tries(at).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json(), "refresh_token").clone_into(&mut self.refresh_token);
    }

    async fn is_refused(&self, at: &Product, status: u16, error: &str) {
        let answer = self.tries(at).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{answer:?}");
    }
}

// RFC 6749 §5.2, §10.4 — N51
#[tokio::test]
async fn who_is_gone_there_is_refused_here_and_what_they_had_ends_once_over_two_replicas() {
    let world = World::start(KEEP).await;
    let [here, there] = &world.brokers;
    let mut browser = Browser::new(here);
    let sent = world.idp.logs_in(&mut browser, "rt-CANARY-1").await;
    assert_eq!(sent["scope"], "email offline_access openid profile");
    let mut one = Agent::of(&mut browser, here).await;
    let two = Agent::of(&mut browser, here).await;
    one.refreshes(there).await;
    assert_eq!(world.idp.asked_with(), [""; 0], "its word is not an hour old");
    world.clock.advance(Duration::from_hours(1));
    world.idp.refuses(400, r#"{"error":"invalid_grant","error_description":"gone-CANARY"}"#);
    tokio::join!(
        one.is_refused(here, 400, "invalid_grant"),
        two.is_refused(there, 400, "invalid_grant"),
    );
    assert_eq!(world.idp.asked_with(), ["rt-CANARY-1"], "one asks");
    let ended = world.events("person.disowned_elsewhere");
    assert_eq!(ended.len(), 1, "{ended:?}");
    let said = &ended[0]["payload"];
    let said = (&said["provider"], &said["sessions"], &said["grants"]);
    assert_eq!(said, (&json!("partner"), &json!(1), &json!(2)), "{ended:?}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    let logs = world.brokers.iter().flat_map(Product::audit_lines).collect::<String>();
    assert!(!logs.contains("CANARY"), "{logs}");
}

// RFC 6749 §5.2
#[tokio::test]
async fn while_a_provider_is_away_people_go_on_for_a_time_and_no_longer() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    for (status, body) in [(503, ""), (401, r#"{"error":"invalid_client"}"#), (200, "{}")] {
        world.idp.refuses(status, body);
        agent.refreshes(world.here()).await;
        world.clock.advance(Duration::from_secs(30));
        agent.refreshes(&world.brokers[1]).await;
        world.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(world.idp.asked_with(), ["one"; 3], "once a minute, whoever asks");
    world.clock.advance(Duration::from_hours(23));
    world.idp.refuses(503, "");
    agent.is_refused(world.here(), 503, "temporarily_unavailable").await;
    agent.is_refused(&world.brokers[1], 503, "temporarily_unavailable").await;
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("two", &json!({}));
    agent.refreshes(world.here()).await;
    assert_eq!(world.events("person.disowned_elsewhere"), [Value::Null; 0]);
}

// OIDC Core §12.2 — N109
#[tokio::test]
async fn who_changed_groups_there_has_changed_them_here_at_the_next_refresh() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    assert_eq!(world.groups().await, json!(["staff"]));
    for (given, groups) in [("two", json!(["leads"])), ("three", json!([]))] {
        world.clock.advance(Duration::from_hours(1));
        world.idp.gives(given, &json!({ "groups": groups }));
        agent.refreshes(&world.brokers[1]).await;
        assert_eq!(world.groups().await, groups);
    }
    // What is about somebody else says nothing of Bob; what came with it is what it is asked with from then on.
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("four", &json!({ "sub": "2", "groups": ["admins"] }));
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!([]));
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("five", &json!({}));
    agent.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), ["one", "two", "three", "four"]);
}

// OIDC Core §12.2
#[tokio::test]
async fn what_userinfo_alone_does_not_say_is_no_word_on_groups() {
    let world = World::start(KEEP).await;
    world.idp.tells(&json!({}));
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives_no_id_token("two");
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!(["staff"]));
    world.clock.advance(Duration::from_mins(1));
    world.idp.tells(&json!({ "groups": ["leads"] }));
    world.idp.gives_no_id_token("three");
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!(["leads"]));
    assert_eq!(world.idp.asked_with(), ["one", "two"]);
}

// RFC 9700 §4.14.2
#[tokio::test]
async fn a_new_log_in_takes_the_place_of_the_one_before() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.idp.logs_in(&mut Browser::new(&world.brokers[1]), "two").await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("three", &json!({}));
    agent.refreshes(world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.refuses(400, r#"{"error":"interaction_required"}"#);
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    world.idp.logs_in(&mut browser, "four").await;
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    let mut next = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("five", &json!({}));
    next.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), ["two", "three", "four"]);
}

// RFC 9700 §4.14.2
#[tokio::test]
async fn whoever_has_not_logged_in_for_too_long_does_so_again() {
    let world = World::start("standing = { max_login_age_seconds = 86400 }").await;
    let mut browser = Browser::new(world.here());
    let sent = world.idp.logs_in(&mut browser, "one").await;
    assert_eq!(sent["scope"], "email openid profile", "nothing is asked for that is not kept");
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_secs(86_399));
    agent.refreshes(world.here()).await;
    world.clock.advance(Duration::from_secs(1));
    agent.is_refused(&world.brokers[1], 400, "invalid_grant").await;
    world.idp.logs_in(&mut browser, "two").await;
    agent.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), [""; 0]);
}

#[tokio::test]
async fn who_has_nothing_to_be_asked_with_goes_on_as_long_as_with_a_provider_that_is_away() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    // As after a log-in before tokens were kept.
    world.run("DELETE FROM provider_tokens").await;
    world.clock.advance(Duration::from_secs(86_399));
    agent.refreshes(world.here()).await;
    world.clock.advance(Duration::from_secs(1));
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    assert_eq!(world.idp.asked_with(), [""; 0]);
}
