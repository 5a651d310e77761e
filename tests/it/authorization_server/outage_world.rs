//! A broker whose database a test can take away, and what asks it of everything that it does.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::registered::administer;
use crate::store::database;
use crate::support::product::Product;
use crate::support::raw_http::Request;
use crate::support::relay::{Relay, Way};
use crate::support::until::until;

use super::browser::{Browser, action, hidden};
use super::client::{Asking, REDIRECT, register};
use super::device::{self, Terminal};
use super::flow::{Held, text};

const SETTINGS: &str = r#"
[outbound]
allow_private = ["127.0.0.1"]
[authorization_server]
administrators = { subjects = ["ada"] }
[[authorization_server.client]]
client_id = "terminal"
grants = ["device_code", "refresh_token"]
[[authorization_server.client]]
client_id = "other"
grants = ["device_code"]
[[authorization_server.client]]
client_id = "nightly"
secret = "nightly-secret"
grants = ["client_credentials"]
scopes = ["public:read"]
"#;

/// What is done to the database.
enum Hand {
    Relay(Relay),
    File(PathBuf, Option<rusqlite::Connection>),
}

pub(super) struct World {
    pub(super) product: Product,
    hand: Hand,
    _key: TempDir,
}

impl World {
    pub(super) async fn on_postgres() -> Self {
        Self::on(&database()).await
    }

    pub(super) async fn on(database: &str) -> Self {
        let (relay, url) = Relay::before(database).await;
        let key = tempfile::tempdir().unwrap();
        let path = key.path().join("kek");
        std::fs::write(&path, STANDARD.encode([7; 32])).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        let settings = [
            format!("store.url={url}"),
            format!("store.key_encryption_key=file:{}", path.display()),
        ];
        let product = Product::start_in(tempfile::tempdir().unwrap(), SETTINGS, &settings).await;
        Self { product, hand: Hand::Relay(relay), _key: key }
    }

    pub(super) async fn on_sqlite() -> Self {
        let product = Product::start(SETTINGS).await;
        let path = product.directory.path().join("data/broker.db");
        Self { product, hand: Hand::File(path, None), _key: tempfile::tempdir().unwrap() }
    }

    pub(super) fn relay(&self) -> &Relay {
        let Hand::Relay(relay) = &self.hand else { panic!("it is a file") };
        relay
    }

    pub(super) fn file(&self) -> &PathBuf {
        let Hand::File(path, _) = &self.hand else { panic!("it is a server") };
        path
    }

    /// Takes the lock that every writer needs, and keeps it.
    pub(super) fn lock(&mut self) {
        let Hand::File(path, lock) = &mut self.hand else { panic!("it is a server") };
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        *lock = Some(other);
    }

    /// The database is back.
    pub(super) async fn mend(&mut self) {
        match &mut self.hand {
            Hand::Relay(relay) => relay.set(Way::Open),
            Hand::File(path, lock) => {
                lock.take();
                std::fs::rename(aside(path), path).ok();
            }
        }
        let product = &self.product;
        until("it is ready", async || (product.get("/ready").await.status == 200).then_some(()))
            .await;
    }
}

pub(super) fn aside(path: &std::path::Path) -> PathBuf {
    path.with_extension("aside")
}

/// What must be given to an endpoint so that nothing but the database stands in its way.
pub(super) struct Prepared {
    pub(super) held: Held,
    pub(super) refresh_token: String,
    pub(super) access_token: String,
    terminal: Terminal,
    cookies: String,
    consent: (String, String),
    authorize: String,
    login: String,
    nobody: String,
    administrator: String,
    machine: String,
    /// A token of the machine's own.
    of_machine: String,
    /// Of a registered server, and a token for that.
    api_key: String,
    of_docs: String,
}

fn cookies(browser: &Browser<'_>) -> String {
    let pairs = browser.cookies.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("; ")
}

pub(super) async fn prepare(product: &Product) -> Prepared {
    let mut browser = Browser::of_the_administrator(product).await;
    let earlier = Held::through(&mut browser, product, "public:read openid").await;
    let tokens = earlier.exchange(product).await.json();
    let held = earlier.again(&mut browser).await;
    let terminal = Terminal::asks(product, "public:read").await;
    device::answers(&mut browser, &terminal.user_code, "allow").await;
    let authorize = Asking::new(&register(product, &[REDIRECT]).await).path();
    let page = browser.asked(&authorize).await;
    let fields = [
        ("form", hidden(&page.body, "form")),
        ("request", hidden(&page.body, "request")),
        ("decision", "allow".to_owned()),
    ];
    let consent =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut nobody = Browser::new(product);
    let login = hidden(&nobody.get("/login").await.body, "form");
    let token = text(&tokens, "access_token").to_owned();
    Prepared {
        held,
        refresh_token: text(&tokens, "refresh_token").to_owned(),
        access_token: token.clone(),
        terminal,
        consent: (action(&page.body), consent),
        cookies: cookies(&browser),
        authorize,
        login: format!("form={login}&username=admin&password=correct+horse+battery+staple"),
        nobody: cookies(&nobody),
        administrator: product.token(&["broker:admin"]),
        of_machine: machine(product).await,
        machine: STANDARD.encode(MACHINE),
        of_docs: product
            .token_with(&["docs:read"], |token| token.audience = product.url("/servers/docs/mcp")),
        api_key: api_key(product).await,
    }
}

const MACHINE: &str = "nightly:nightly-secret";

async fn machine(product: &Product) -> String {
    let basic = format!("Basic {}", STANDARD.encode(MACHINE));
    let asked = form("/token", &[("grant_type", "client_credentials")]);
    let answer = product.send(asked.header("authorization", &basic)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    text(&answer.json(), "access_token").to_owned()
}

/// Of a server behind the broker, which may ask about tokens for it.
async fn api_key(product: &Product) -> String {
    let server = json!({ "id": "docs", "url": "http://127.0.0.1:1/mcp", "scope": "docs:read" });
    let added = administer(product, "POST", "/api/servers", &server).await;
    assert_eq!(added.status, 201, "{added:?}");
    let added = administer(product, "POST", "/api/servers/docs/keys", &json!({})).await;
    assert_eq!(added.status, 201, "{added:?}");
    text(&added.json(), "api_key").to_owned()
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(path: &str, fields: &[(&str, &str)]) -> Request {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::new("POST", path).header("content-type", FORM).body(body)
}

impl Prepared {
    fn page(product: &Product, path: &str, body: &str) -> Request {
        Request::new("POST", path)
            .header("content-type", FORM)
            .header("origin", &product.url(""))
            .body(body)
    }

    /// For clients: 503 with an OAuth error.
    pub(super) fn of_clients(&self) -> Vec<(&'static str, Request)> {
        let basic = format!("Basic {}", self.machine);
        let revoke = [("token", self.access_token.as_str()), ("client_id", self.held.client_id())];
        vec![
            ("code", form("/token", &self.held.exchange_fields())),
            ("refresh", form("/token", &self.held.refresh_fields(&self.refresh_token))),
            ("device", form("/token", &self.terminal.fields())),
            ("device begins", form("/device_authorization", &[("client_id", "terminal")])),
            ("par", form("/par", &Asking::new(self.held.client_id()).fields())),
            ("revoke", form("/revoke", &revoke)),
            ("introspect with a key", {
                let key = format!("Bearer {}", self.api_key);
                form("/introspect", &[("token", &self.of_docs)]).header("authorization", &key)
            }),
            ("introspect", {
                let token = [("token", self.of_machine.as_str())];
                form("/introspect", &token).header("authorization", &basic)
            }),
            ("machine", {
                let fields = [("grant_type", "client_credentials")];
                form("/token", &fields).header("authorization", &basic)
            }),
            ("userinfo", {
                let bearer = format!("Bearer {}", self.access_token);
                Request::new("GET", "/userinfo").header("authorization", &bearer)
            }),
            ("register", {
                let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_basic" });
                Request::new("POST", "/register")
                    .header("content-type", "application/json")
                    .body(body.to_string())
            }),
        ]
    }

    /// For people: 503 with a page.
    pub(super) fn of_people(&self, product: &Product) -> Vec<(&'static str, Request)> {
        let own = |request: Request| request.header("cookie", &self.cookies);
        let (action, consent) = &self.consent;
        vec![
            ("authorize", Request::new("GET", &self.authorize)),
            ("login", Self::page(product, "/login", &self.login).header("cookie", &self.nobody)),
            ("account", own(Request::new("GET", "/account"))),
            ("approvals", own(Request::new("GET", "/approvals"))),
            ("device page", own(Request::new("GET", "/device"))),
            ("consent", own(Self::page(product, action, consent))),
            // What is no link by its shape is refused without the store.
            ("link", Request::new("GET", &format!("/login/link/{}", "a".repeat(43)))),
        ]
    }

    pub(super) fn of_administrators(&self) -> Vec<(&'static str, Request)> {
        let own = |request: Request| {
            request.header("authorization", &format!("Bearer {}", self.administrator))
        };
        let user = json!({ "username": "grace" }).to_string();
        vec![
            ("users", own(Request::new("GET", "/api/v1/users"))),
            ("grants", own(Request::new("GET", "/api/v1/grants"))),
            ("add user", {
                let request = Request::new("POST", "/api/v1/users").body(user);
                own(request.header("content-type", "application/json"))
            }),
        ]
    }
}
