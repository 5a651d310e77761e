//! A server around the fake store, and a browser that keeps cookies and sends the forms it is shown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine as _;
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::audit::{AuditSettings, Auditor, FileSettings, OnFailure, SinkSettings};
use crate::authorization_server::ordinary_settings::ordinary;
use crate::authorization_server::second_factor::Authenticator;
use crate::authorization_server::{
    AuthorizationServer, Grantable, IdentityProviderSettings, IdentityProviders, KeyRing,
    NewAuthorizationServer, Pending, PeopleSettings, PersonFacts, Prompt, SecondFactor,
    ServerSecret, Settings, SigningAlgorithm, SigningKeys, UsedAt, first_administrator_link,
    people_routes,
};
use crate::host_trust::{HostTrust, HostTrusts};
use crate::id::ClientAddress;
use crate::outbound::{Outbound, OutboundSettings};
use crate::random::SeededRandom;
use crate::scope::Scope;
use crate::store::{AuthorizationRequestRow, Digest};
use crate::time::{Clock, FixedClock, Timestamp};

use super::fake_store::FakeStore;

pub(super) const PASSWORD: &str = "correct horse battery staple";
pub(super) const NOW: i64 = 1_800_000_000;

/// Everything but administration.
#[derive(Debug)]
struct Ordinary;

impl Grantable for Ordinary {
    fn grantable(&self, _: &PersonFacts, _: UsedAt<'_>, wanted: &Scope) -> Scope {
        wanted.iter().filter(|token| !token.as_str().starts_with("broker:")).cloned().collect()
    }
}

pub(super) struct Site {
    pub(super) server: AuthorizationServer,
    pub(super) store: Arc<FakeStore>,
    pub(super) clock: Arc<FixedClock>,
    pub(super) router: Router,
    pub(super) log: std::path::PathBuf,
    _directory: TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        Self::with("https://broker.example", Vec::new())
    }

    pub(super) fn with(public_url: &str, providers: Vec<IdentityProviderSettings>) -> Self {
        Self::built(ordinary(public_url), providers)
    }

    /// One that asks these people for a second factor.
    pub(super) fn requiring(second_factor: SecondFactor) -> Self {
        Self::built(Settings { second_factor, ..ordinary("https://broker.example") }, Vec::new())
    }

    /// One where this becomes of clients of every host.
    pub(super) fn trusting(others: HostTrust) -> Self {
        let hosts = Some(HostTrusts { rules: Vec::new(), others });
        let settings = ordinary("https://broker.example");
        Self::built(Settings { client_metadata_documents: hosts, ..settings }, Vec::new())
    }

    fn built(settings: Settings, providers: Vec<IdentityProviderSettings>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let random = Arc::new(SeededRandom::new(7));
        let keys = SigningKeys::generate(SigningAlgorithm::Es256);
        let log = directory.path().join("audit.jsonl");
        let sinks = vec![SinkSettings::File(FileSettings::at(log.clone()))];
        let audit = AuditSettings {
            queue_length: 100,
            on_failure: OnFailure::Block,
            limit: Duration::from_secs(10),
            sinks,
            service: "test".into(),
            environment: "dev",
        };
        let secret = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let allow_private = vec!["127.0.0.1".parse().unwrap()];
        let outbound = OutboundSettings { allow_private, ..OutboundSettings::default() };
        let store = Arc::new(FakeStore::default());
        let outbound = Outbound::new(&outbound).unwrap();
        let around: Arc<dyn Clock> = clock.clone();
        let known = IdentityProviders::new(&settings.public_url, &outbound, &around);
        known.replace(providers);
        let server = AuthorizationServer::new(NewAuthorizationServer {
            settings,
            providers: known.clone(),
            store: store.clone(),
            keys: Arc::new(KeyRing::new(keys.unwrap())),
            secret: ServerSecret::parse(&secret.into()).unwrap(),
            clock: clock.clone(),
            random: random.clone(),
            outbound,
            to_clients: Outbound::new(&OutboundSettings::default()).unwrap(),
            auditor: Auditor::open(audit, clock.clone(), random).unwrap(),
            grantable: Arc::new(Ordinary),
            dpop: None,
        });
        let people = PeopleSettings::of(known);
        let router = people_routes(&server, people);
        Self { server, store, clock, router, log, _directory: directory }
    }

    /// The path of the first administrator's link.
    pub(super) async fn link(&self) -> String {
        let url = first_administrator_link(&self.server).await.unwrap().unwrap();
        url.path().to_owned()
    }

    /// A browser in which the first administrator has just chosen a password.
    pub(super) async fn administrator(&self) -> Browser {
        let (mut browser, link) = (Browser::new(self), self.link().await);
        let page = browser.get(&link).await;
        let answer =
            browser.send(&link, &page, &[("password", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/account"));
        browser
    }

    /// The first administrator has a password, and nobody is logged in.
    pub(super) async fn administrator_without_session(&self) {
        let (mut browser, link) = (Browser::new(self), self.link().await);
        let page = browser.get(&link).await;
        let chosen = browser.send(&link, &page, &[("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!(chosen.await.location(), "/login/authenticator");
    }

    /// Puts an authorization request into the store, as `/authorize` does; gives its handle.
    pub(super) fn request(&self, change: impl FnOnce(&mut Pending)) -> String {
        let mut pending = Pending {
            client_id: "https://claude.ai/oauth/client.json".parse().unwrap(),
            redirect_uri: "https://claude.ai/api/mcp/auth_callback".to_owned(),
            state: Some("af0ifjsldkj".to_owned()),
            scope: "graph:read offline_access".parse().unwrap(),
            limit: None,
            resource: self.server.settings.resources[0].uri.clone(),
            code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(),
            nonce: None,
            login_hint: None,
            prompt: Prompt::default(),
            max_age: None,
            acr_values: Vec::new(),
            requested_at: self.clock.now().unix_seconds(),
            client_digest: None,
            trusted_client: false,
            dpop_jkt: None,
            hinted: None,
            refresh: true,
        };
        change(&mut pending);
        let handle = format!("handle-{}", self.store.lock().requests.len());
        let row = AuthorizationRequestRow {
            handle: Digest::of(&handle),
            client_id: pending.client_id.clone(),
            parameters: serde_json::to_string(&pending).unwrap(),
            session: None,
            expires_at: self.clock.now().plus(Duration::from_mins(10)),
        };
        self.store.lock().requests.push(row);
        handle
    }

    pub(super) async fn event_types(&self) -> Vec<String> {
        self.server.auditor.flush().await.unwrap();
        let text = std::fs::read_to_string(&self.log).unwrap();
        let lines =
            text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| line["event_type"].as_str().unwrap().to_owned()).collect()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Page {
    pub(super) fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the hidden field `name` of the form that goes to `action`.
    pub(super) fn hidden(&self, action: &str, name: &str) -> Option<String> {
        let start = self.body.find(&format!("action=\"{action}\""))?;
        let form = &self.body[start..];
        let form = &form[..form.find("</form>")?];
        let field = &form[form.find(&format!("name=\"{name}\" value=\""))?..];
        field.split('"').nth(3).map(str::to_owned)
    }
}

/// A browser: cookies, an address, and what it says of itself with forms.
pub(super) struct Browser {
    router: Router,
    pub(super) cookies: Mutex<BTreeMap<String, String>>,
    pub(super) address: IpAddr,
    pub(super) with_forms: Vec<(&'static str, &'static str)>,
}

impl Browser {
    pub(super) fn new(site: &Site) -> Self {
        Self {
            router: site.router.clone(),
            cookies: Mutex::default(),
            address: "192.0.2.1".parse().unwrap(),
            with_forms: vec![("origin", "null"), ("sec-fetch-site", "same-origin")],
        }
    }

    pub(super) fn cookie(&self, part: &str) -> Option<String> {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().find(|(name, _)| name.contains(part)).map(|(_, value)| value.clone())
    }

    pub(super) async fn get(&mut self, path: &str) -> Page {
        self.exchange(Method::GET, path, &[], String::new()).await
    }

    /// Sends the form on `page` that goes to `action`, with its hidden fields and these.
    pub(super) async fn send(
        &mut self,
        action: &str,
        page: &Page,
        fields: &[(&str, &str)],
    ) -> Page {
        let hidden =
            ["form", "request", "request_form", "client", "everywhere", "secret", "challenge"]
                .into_iter()
                .filter_map(|name| Some((name, page.hidden(action, name)?)));
        let mut all: Vec<(String, String)> =
            hidden.map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in fields {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.post(action, &all).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(String, String)]) -> Page {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        let body = body.extend_pairs(fields).finish();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(self.with_forms.iter().copied());
        self.exchange(Method::POST, path, &headers, body).await
    }

    pub(super) async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Page {
        let cookies = self.cookies.lock().unwrap().clone();
        let cookies: Vec<_> =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder().method(method).uri(path);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.extension(ClientAddress(self.address)).body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        for line in parts.headers.get_all(header::SET_COOKIE) {
            self.keep(line.to_str().unwrap());
        }
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        Page { status: parts.status, headers: parts.headers, body }
    }

    fn keep(&self, line: &str) {
        let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
        let mut cookies = self.cookies.lock().unwrap();
        if line.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets up an authenticator app on the page that offers it; gives the app and the recovery codes.
    pub(super) async fn sets_up(
        &mut self,
        site: &Site,
        page: &Page,
    ) -> (Authenticator, Vec<String>) {
        let app = Authenticator::typed_in(&between(&page.body, "<code class=\"secret\">"));
        let action = between(&page.body, "method=\"post\" action=\"").replace('"', "");
        let code = app.code_at(site.clock.now());
        let shown = self.send(&action, page, &[("password", PASSWORD), ("code", &code)]).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
        let codes = shown.body.split("<li><code>").skip(1);
        (app, codes.map(|rest| rest.split('<').next().unwrap().to_owned()).collect())
    }

    /// Logs in as the first administrator with this password.
    pub(super) async fn log_in(&mut self, password: &str) -> Page {
        let page = self.get("/login").await;
        self.send("/login", &page, &[("username", "admin"), ("password", password)]).await
    }
}

/// What stands after `start`, up to the next `<` or `"`.
pub(super) fn between(html: &str, start: &str) -> String {
    let rest = html.split_once(start).unwrap_or_else(|| panic!("no {start} in {html}")).1;
    rest.split(['<', '"']).next().unwrap().to_owned()
}

/// Without what is new on every page: tokens and questions.
pub(super) fn stable(body: &str) -> String {
    let without = |text: &str, start: &str| {
        let mut pieces = text.split(start);
        let first = pieces.next().unwrap().to_owned();
        pieces.fold(first, |kept, piece| kept + piece.split_once('"').unwrap().1)
    };
    without(&without(body, "value=\""), "data-question=\"")
}
