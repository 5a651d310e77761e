//! Logging in at a provider that is honest, and at one that lies.

mod away;
mod freshness;
mod logged_out;
mod userinfo;

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::authorization_server::keys::TokenType;
use crate::authorization_server::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings, SigningAlgorithm, SigningKeys,
};
use crate::time::Timestamp;

use super::support::{Browser, NOW, Page, Site};

/// What the provider says next, and what it was told.
#[derive(Debug)]
struct Script {
    issuer: String,
    /// Members of the ID token; `null` leaves one out.
    claims: Value,
    states_issuer: bool,
    keys: SigningKeys,
    asked: Vec<(HeaderMap, String)>,
    /// With which the token endpoint answers.
    status: StatusCode,
    /// Where the metadata says that it is, instead of where it is.
    token_at: Option<String>,
    /// What userinfo answers, if the metadata names it.
    more: Option<Value>,
}

type Shared = Arc<Mutex<Script>>;

struct Provider {
    script: Shared,
    issuer: String,
    server: JoinSet<()>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let keys = SigningKeys::generate(SigningAlgorithm::Es256);
        let script = Arc::new(Mutex::new(Script {
            issuer: issuer.clone(),
            claims: json!({ "sub": "1", "preferred_username": "ada" }),
            states_issuer: false,
            keys: keys.unwrap(),
            asked: Vec::new(),
            status: StatusCode::OK,
            token_at: None,
            more: None,
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/user", get(user))
            .route("/userinfo", get(userinfo))
            .with_state(Arc::clone(&script));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, issuer, server }
    }

    fn settings(&self) -> IdentityProviderSettings {
        IdentityProviderSettings {
            id: "idp".to_owned(),
            name: "Contoso".to_owned(),
            issuer: self.issuer.clone(),
            client_id: "broker".parse().unwrap(),
            client_secret: Some("s3cret".to_owned().into()),
            scopes: "openid profile".parse().unwrap(),
            endpoints: Endpoints::Discovered,
            claims: ClaimMap::default(),
            require: std::collections::BTreeMap::new(),
            stored: false,
            standing: crate::login_provider::Standing::default(),
        }
    }

    fn says(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }
}

async fn discovery(State(script): State<Shared>) -> Json<Value> {
    let script = script.lock().unwrap();
    let at = |path: &str| format!("{}{path}", script.issuer);
    Json(json!({
        "issuer": script.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": script.token_at.clone().unwrap_or_else(|| at("/token")),
        "jwks_uri": at("/jwks"), "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        "authorization_response_iss_parameter_supported": script.states_issuer,
        "userinfo_endpoint": script.more.as_ref().map(|_| at("/userinfo")),
    }))
}

async fn jwks(State(script): State<Shared>) -> Json<Value> {
    Json(serde_json::to_value(script.lock().unwrap().keys.jwks()).unwrap())
}

async fn token(
    State(script): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    let mut script = script.lock().unwrap();
    script.asked.push((headers, body));
    let mut claims = json!({ "iss": script.issuer, "aud": "broker", "iat": NOW, "exp": NOW + 300 });
    for (name, value) in script.claims.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let key = script.keys.signing().unwrap();
    let token = key.jwt(TokenType::IdToken, &claims).unwrap();
    let answer = json!({ "access_token": "upstream-token", "token_type": "Bearer", "id_token": token.expose() });
    (script.status, Json(answer))
}

async fn userinfo(State(script): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let mut script = script.lock().unwrap();
    script.asked.push((headers, String::new()));
    Json(script.more.clone().unwrap_or_default())
}

async fn user(State(script): State<Shared>, headers: HeaderMap) -> Json<Value> {
    script.lock().unwrap().asked.push((headers, String::new()));
    Json(json!({ "id": 583_231, "login": "ada", "name": "Ada" }))
}

/// Presses the button; gives where the browser is sent and the `state` it carries.
async fn leave(browser: &mut Browser, provider: &Provider) -> (Url, String) {
    leave_for(browser, provider, "/login/with/idp").await
}

async fn leave_for(browser: &mut Browser, provider: &Provider, path: &str) -> (Url, String) {
    let sent: Url = browser.get(path).await.location().parse().unwrap();
    let parameter = |name: &str| {
        let found = sent.query_pairs().find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned())
    };
    let nonce = parameter("nonce");
    provider.says(|script| {
        if script.claims.get("nonce").is_none() {
            script.claims["nonce"] = json!(nonce);
        }
    });
    (sent.clone(), parameter("state").unwrap())
}

async fn come_back(browser: &mut Browser, query: &str) -> Page {
    browser.get(&format!("/login/callback/idp?{query}")).await
}

async fn start() -> (Provider, Site, Browser) {
    let provider = Provider::start().await;
    let site = Site::with("https://broker.example", vec![provider.settings()]);
    let browser = Browser::new(&site);
    (provider, site, browser)
}

// OIDC Core §3.1.2.1, RFC 7636 §4.3 — N109
#[tokio::test]
async fn a_login_elsewhere_carries_state_nonce_and_pkce_and_never_a_resource() {
    let (provider, site, mut browser) = start().await;
    let (sent, state) = leave(&mut browser, &provider).await;
    let query = sent.query().unwrap();
    for part in ["response_type=code", "code_challenge_method=S256", "nonce=", "code_challenge="] {
        assert!(query.contains(part), "{part} in {query}");
    }
    assert!(query.contains("redirect_uri=https%3A%2F%2Fbroker.example%2Flogin%2Fcallback%2Fidp"));
    let done = come_back(&mut browser, &format!("code=c&state={state}")).await;
    assert_eq!(done.location(), "/account");
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    let (headers, body) = provider.script.lock().unwrap().asked[0].clone();
    assert!(body.contains("code_verifier=") && body.contains("grant_type=authorization_code"));
    assert!(!body.contains("resource") && !query.contains("resource"));
    assert!(!body.contains("s3cret"), "the secret goes into the header");
    assert!(headers[header::AUTHORIZATION].to_str().unwrap().starts_with("Basic "));
    assert_eq!(site.event_types().await, ["person.login.succeeded"]);
}

// RFC 7636 §7.1 — N109
#[tokio::test]
async fn the_store_alone_has_neither_nonce_nor_verifier_of_a_login_under_way() {
    let (provider, site, mut browser) = start().await;
    let (sent, state) = leave(&mut browser, &provider).await;
    let pending = site.store.lock().sessions.iter().find_map(|row| row.pending.clone()).unwrap();
    come_back(&mut browser, &format!("code=c&state={state}")).await;
    let body = provider.script.lock().unwrap().asked[0].1.clone();
    let of = |pairs: &str, name: &str| {
        let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
        pairs.find(|(known, _)| known == name).unwrap().1.into_owned()
    };
    let secrets = [of(&body, "code_verifier"), of(sent.query().unwrap(), "nonce"), state];
    for secret in secrets {
        assert!(secret.len() > 20 && !pending.contains(&secret), "{pending}");
    }
}

// OIDC Core §3.1.3.7 — N109
#[tokio::test]
async fn an_id_token_that_is_not_for_this_login_is_refused() {
    for wrong in [
        json!({ "nonce": "of another login" }),
        json!({ "aud": "somebody else" }),
        json!({ "aud": ["broker", "somebody else"] }),
        json!({ "azp": "somebody else" }),
        json!({ "iss": "https://evil.example" }),
        json!({ "exp": NOW - 3600 }),
        json!({ "sub": "" }),
    ] {
        let (provider, site, mut browser) = start().await;
        provider.says(|script| {
            for (name, value) in wrong.as_object().unwrap() {
                script.claims[name] = value.clone();
            }
        });
        let (_, state) = leave(&mut browser, &provider).await;
        let refused = come_back(&mut browser, &format!("code=c&state={state}")).await;
        assert_eq!(refused.status, StatusCode::BAD_GATEWAY, "{wrong}");
        assert!(browser.cookie("session").is_none(), "{wrong}");
        assert_eq!(site.event_types().await, ["person.login.failed"]);
    }
}

// RFC 6749 §10.12 — N109, CD-6
#[tokio::test]
async fn a_callback_counts_once_in_the_browser_that_left() {
    let (provider, site, mut browser) = start().await;
    let (_, state) = leave(&mut browser, &provider).await;
    let query = format!("code=c&state={state}");
    let mut victim = Browser::new(&site);
    assert_eq!(come_back(&mut victim, &query).await.status, StatusCode::BAD_REQUEST);
    victim.get("/login").await; // a browser of its own now
    assert_eq!(come_back(&mut victim, &query).await.status, StatusCode::BAD_REQUEST);
    for query in ["code=c", "code=c&state=guess", &format!("{query}&state={state}")] {
        assert_eq!(come_back(&mut browser, query).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(come_back(&mut browser, &query).await.location(), "/account");
    assert_eq!(come_back(&mut browser, &query).await.status, StatusCode::BAD_REQUEST);
}

// MCP authorization, confused deputy — CD-6
#[tokio::test]
async fn a_login_elsewhere_must_be_finished_in_ten_minutes() {
    let (provider, site, mut browser) = start().await;
    let (_, state) = leave(&mut browser, &provider).await;
    site.clock.advance(std::time::Duration::from_mins(10));
    let late = come_back(&mut browser, &format!("code=c&state={state}")).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
}

// RFC 9207 §2.4 — N109
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_and_a_promised_one_must_be_there() {
    let issuer = |text: &str| {
        format!(
            "&iss={}",
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
        )
    };
    let (provider, _site, mut browser) = start().await;
    let (_, state) = leave(&mut browser, &provider).await;
    let mixed = format!("code=c&state={state}{}", issuer("https://evil.example"));
    assert_eq!(come_back(&mut browser, &mixed).await.status, StatusCode::BAD_GATEWAY);

    let (provider, _site, mut browser) = start().await;
    provider.says(|script| script.states_issuer = true);
    let (_, state) = leave(&mut browser, &provider).await;
    let without = come_back(&mut browser, &format!("code=c&state={state}")).await;
    assert_eq!(without.status, StatusCode::BAD_GATEWAY);
    let (_, state) = leave(&mut browser, &provider).await;
    let stated = format!("error=access_denied&state={state}{}", issuer(&provider.issuer));
    assert_eq!(come_back(&mut browser, &stated).await.status, StatusCode::FORBIDDEN);
}

// RFC 6749 §10.14
#[tokio::test]
async fn what_the_provider_says_in_an_error_is_not_repeated() {
    let (provider, _site, mut browser) = start().await;
    let (_, state) = leave(&mut browser, &provider).await;
    let query = format!("error=access_denied&error_description=Call+0900+12345&state={state}");
    let page = come_back(&mut browser, &query).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(!page.body.contains("0900") && page.body.contains("You were not logged in"));
}

// OIDC Core §5.7 — N109
#[tokio::test]
async fn accounts_are_linked_by_subject_never_by_address() {
    let (provider, site, mut browser) = start().await;
    for (subject, email) in
        [("1", "ada@contoso.example"), ("2", "ada@contoso.example"), ("1", "new@contoso.example")]
    {
        provider.says(|script| script.claims = json!({ "sub": subject, "email": email }));
        let (_, state) = leave(&mut browser, &provider).await;
        let done = come_back(&mut browser, &format!("code=c&state={state}")).await;
        assert_eq!(done.location(), "/account");
    }
    assert_eq!(site.store.lock().users.len(), 2);
}

// OIDC Discovery §4.3 — N109
#[tokio::test]
async fn a_discovery_document_of_another_issuer_or_of_every_tenant_is_refused() {
    for issuer in ["https://evil.example", "https://login.microsoftonline.com/{tenantid}/v2.0"] {
        let (provider, _site, mut browser) = start().await;
        provider.says(|script| issuer.clone_into(&mut script.issuer));
        assert_eq!(
            browser.get("/login/with/idp").await.status,
            StatusCode::BAD_GATEWAY,
            "{issuer}"
        );
    }
}

/// The same as GitHub does it.
fn plain_oauth(provider: &Provider) -> IdentityProviderSettings {
    let at = |path: &str| format!("{}{path}", provider.issuer).parse().unwrap();
    IdentityProviderSettings {
        issuer: "https://github.example".to_owned(),
        endpoints: Endpoints::Explicit(Box::new(ExplicitEndpoints {
            authorization: at("/authorize"),
            token: at("/token"),
            userinfo: at("/user"),
        })),
        claims: ClaimMap {
            subject: "id".to_owned(),
            username: "login".to_owned(),
            ..ClaimMap::default()
        },
        ..provider.settings()
    }
}

#[tokio::test]
async fn a_provider_that_is_plain_oauth_says_who_it_is_at_userinfo() {
    let provider = Provider::start().await;
    let site = Site::with("https://broker.example", vec![plain_oauth(&provider)]);
    let mut browser = Browser::new(&site);
    let (sent, state) = leave(&mut browser, &provider).await;
    assert!(!sent.query().unwrap().contains("nonce="));
    let done = come_back(&mut browser, &format!("code=c&state={state}")).await;
    assert_eq!(done.location(), "/account");
    let asked = provider.script.lock().unwrap().asked[1].0[header::AUTHORIZATION].clone();
    assert_eq!(asked, "Bearer upstream-token");
    assert!(
        site.store
            .lock()
            .identities
            .contains_key(&("https://github.example".to_owned(), "583231".to_owned()))
    );
}

#[tokio::test]
async fn a_disabled_account_is_not_let_in() {
    let (provider, site, mut browser) = start().await;
    let (_, state) = leave(&mut browser, &provider).await;
    come_back(&mut browser, &format!("code=c&state={state}")).await;
    site.store.lock().users[0].disabled_at = Some(Timestamp::from_unix_seconds(NOW));
    assert_eq!(browser.get("/account").await.location(), "/login", "its session is over, too");
    provider.says(|script| script.claims = json!({ "sub": "1" }));
    let (_, state) = leave(&mut browser, &provider).await;
    let refused = come_back(&mut browser, &format!("code=c&state={state}")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn one_network_cannot_begin_logins_without_end_and_keeps_nobody_else_out() {
    let (_provider, site, _) = start().await;
    let begins = async |address: &str| {
        let mut browser = Browser::new(&site);
        browser.address = address.parse().unwrap();
        browser.get("/login/with/idp").await
    };
    for number in 0..120 {
        let begun = begins(&format!("192.0.2.{}", number % 250)).await;
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{number}");
    }
    let refused = begins("192.0.2.7").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers[header::RETRY_AFTER], "60");
    assert_eq!(begins("198.51.100.1").await.status, StatusCode::SEE_OTHER);
    site.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(begins("192.0.2.7").await.status, StatusCode::SEE_OTHER);
}
