//! An authenticator app, from the account page to what policy makes of the token.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use crate::store::database;
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Answer;

use super::browser::{Browser, PASSWORD, action, hidden};
use super::client::{Asking, REDIRECT, VERIFIER, register, told};
use super::flow::{post, text};

/// What an app has read from the page.
struct App(Totp);

impl App {
    fn of(page: &Answer) -> Self {
        let rest = page.body.split_once("<code class=\"secret\">").unwrap().1;
        let secret = rest.split('<').next().unwrap().replace(' ', "");
        let secret = Secret::try_from_base32(secret).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    /// The code that it shows so many seconds from now.
    fn code(&self, seconds: i64) -> String {
        let at = SystemClock.now().plus_seconds(seconds).unix_seconds();
        self.0.generate(at.unsigned_abs()).to_string()
    }
}

/// Sets up the app that this page offers.
async fn sets_up(browser: &mut Browser<'_>, page: &Answer) -> App {
    let app = App::of(page);
    let (form, secret, code) =
        (hidden(&page.body, "form"), hidden(&page.body, "secret"), app.code(0));
    let fields = [("form", &*form), ("secret", &*secret), ("password", PASSWORD), ("code", &*code)];
    let shown = browser.post(&action(&page.body), &fields).await;
    assert!(shown.status == 200 && shown.body.contains("Keep these codes"), "{shown:?}");
    app
}

/// Types password and code; gives the answer to the code.
async fn logs_in(browser: &mut Browser<'_>, path: &str, code: &str) -> Answer {
    let page = browser.get(path).await;
    let (form, request) = (hidden(&page.body, "form"), hidden(&page.body, "request"));
    let fields =
        [("form", &*form), ("request", &*request), ("username", "admin"), ("password", PASSWORD)];
    let asked = browser.post("/login", &fields).await;
    assert!(asked.header("location").starts_with("/login/code"), "{asked:?}");
    let page = browser.get(&asked.header("location")).await;
    let (form, request) = (hidden(&page.body, "form"), hidden(&page.body, "request"));
    let fields = [("form", &*form), ("request", &*request), ("code", code)];
    browser.post("/login/code", &fields).await
}

const RULES: &str = "[[rule]]\nid = \"strong\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n\
    scopes = [\"public:read\"]\nprincipals = { assurance = [\"mfa\"] }\n";

// RFC 9470 §3, §5
#[tokio::test]
async fn a_rule_that_wants_two_factors_is_met_by_a_login_with_a_code() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), RULES).unwrap();
    let product = Product::start_in(directory, "[policy]\nfile = \"policy.toml\"\n", &[]).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.get("/account/authenticator").await;
    let app = sets_up(&mut browser, &page).await;
    let mut other = Browser::new(&product);
    let client = register(&product, &[REDIRECT]).await;
    let asking = Asking::new(&client).with("scope", "public:read").with("acr_values", "mfa");
    let mut page = other.get(&asking.path()).await;
    while page.header("location").starts_with("/consent") {
        page = other.get(&page.header("location")).await;
    }
    // The code of the next half minute counts already; the one of this one set the app up.
    let done = logs_in(&mut other, &page.header("location"), &app.code(30)).await;
    let location = other.answers(&done.header("location"), "allow").await;
    let code = told(&location)["code"].clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", REDIRECT),
        ("client_id", &*client),
        ("code_verifier", VERIFIER),
    ];
    let tokens = post(&product, "/token", &fields).await.json();
    let call = json!({ "name": "get_public_info", "arguments": {} });
    let token = text(&tokens, "access_token");
    let called = product.send(mcp(Wire::Modern, Some(token), "tools/call", call.clone())).await;
    assert_eq!(called.status, 200, "{called:?}");
    let weak = product.token(&["public:read"]);
    let refused = product.send(mcp(Wire::Modern, Some(&weak), "tools/call", call)).await;
    assert!(refused.header("www-authenticate").contains("acr_values=\"mfa\""), "{refused:?}");
}

// RFC 6238 §5.2
#[tokio::test]
async fn a_code_that_one_replica_took_is_refused_by_the_other() {
    let store = format!("store.url={}", database());
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("kek");
    std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    let shared = [store, format!("store.key_encryption_key=file:{}", key.display())];
    let start = async || Product::start_in(tempfile::tempdir().unwrap(), "", &shared).await;
    let (one, two) = (start().await, start().await);
    let mut browser = Browser::of_the_administrator(&one).await;
    let page = browser.get("/account/authenticator").await;
    let app = sets_up(&mut browser, &page).await;
    let code = app.code(30);
    let taken = logs_in(&mut Browser::new(&one), "/login", &code).await;
    assert_eq!((taken.status, &*taken.header("location")), (303, "/account"), "{taken:?}");
    let replayed = logs_in(&mut Browser::new(&two), "/login", &code).await;
    assert_eq!(replayed.status, 403, "{replayed:?}");
    let failed = two.audited(|event| event["event_type"] == "person.login.failed").await;
    let wanted = json!({ "method": "password_and_code", "reason": "second_factor" });
    assert_eq!(failed["payload"], wanted);
}

#[tokio::test]
async fn where_everybody_must_have_one_the_first_login_sets_it_up() {
    let settings = "[authorization_server]\nsecond_factor = \"everyone\"\n";
    let product = Product::start(settings).await;
    let mut browser = Browser::new(&product);
    let link = product.first_link().path().to_owned();
    let page = browser.get(&link).await;
    let form = hidden(&page.body, "form");
    let fields = [("form", &*form), ("password", PASSWORD), ("again", PASSWORD)];
    let chosen = browser.post(&link, &fields).await;
    assert_eq!(chosen.header("location"), "/login/authenticator", "{chosen:?}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    let page = browser.get("/login/authenticator").await;
    sets_up(&mut browser, &page).await;
    assert_eq!(browser.get("/account").await.status, 200);
    let types = product.event_types();
    assert!(types.iter().any(|kind| kind == "person.second_factor.set"), "{types:?}");
}
