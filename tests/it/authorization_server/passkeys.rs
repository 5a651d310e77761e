//! Passkeys over sockets: from the account page to what the tokens say, at one replica and at two.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::store::database;
use crate::support::product::Product;
use crate::support::raw_http::Answer;

use super::browser::{Browser, PASSWORD, hidden};
use super::client::{Asking, REDIRECT, VERIFIER, register, told};
use super::flow::{post, text};

#[path = "../../../src/authorization_server/pages_tests/software_passkey.rs"]
pub(super) mod software_passkey;

use software_passkey::{SoftwarePasskey, question};

pub(super) const ORIGIN: &str = "https://broker.example";
pub(super) const SETTINGS: &str =
    "[server]\npublic_url = \"https://broker.example\"\nallowed_hosts = [\"127.0.0.1\"]\n";

pub(super) fn browser(product: &Product) -> Browser<'_> {
    let mut browser = Browser::new(product);
    ORIGIN.clone_into(&mut browser.origin);
    browser
}

/// The form on the page that goes to `action`.
pub(super) fn form<'a>(page: &'a Answer, action: &str) -> &'a str {
    let start = page.body.find(&format!("action=\"{action}\"")).expect(&page.body);
    page.body[start..].split("</form>").next().unwrap()
}

/// The administrator has a password, and now a passkey.
async fn enrolled(product: &Product) -> SoftwarePasskey {
    let mut browser = browser(product);
    browser.chooses_a_password(product.first_link().path()).await;
    let page = browser.get("/account/passkeys").await;
    let token = hidden(form(&page, "/account/passkeys/new"), "form");
    let fields = [("form", &*token), ("name", "key"), ("password", PASSWORD)];
    let page = browser.post("/account/passkeys/new", &fields).await;
    let made = form(&page, "/account/passkeys");
    let asked = question(made);
    let mut passkey = SoftwarePasskey::new(ORIGIN, &asked);
    let (token, challenge) = (hidden(made, "form"), hidden(made, "challenge"));
    let answer = passkey.registers(&asked);
    let fields = [("form", &*token), ("challenge", &*challenge), ("assertion", &*answer)];
    let shown = browser.post("/account/passkeys", &fields).await;
    assert!(shown.status == 200 && shown.body.contains("Keep these codes"), "{shown:?}");
    passkey
}

/// The fields that log in with it on this page.
pub(super) fn signed(page: &Answer, passkey: &mut SoftwarePasskey) -> Vec<(&'static str, String)> {
    let shown = form(page, "/login/passkey");
    let mut fields: Vec<_> =
        ["form", "challenge", "request"].map(|name| (name, hidden(shown, name))).into();
    fields.push(("assertion", passkey.signs(&question(shown))));
    fields
}

pub(super) async fn sends(browser: &mut Browser<'_>, fields: &[(&'static str, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/login/passkey", &fields).await
}

pub(super) fn payload(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

// WebAuthn Level 3 §7.2, RFC 8176 §2, OIDC Core §2
#[tokio::test]
async fn a_login_with_a_passkey_alone_is_two_factors_and_no_password_in_the_tokens() {
    let product = Product::start(SETTINGS).await;
    let mut passkey = enrolled(&product).await;
    let tokens = tokens(&product, &mut passkey, "mfa pwd").await;
    for token in ["id_token", "access_token"] {
        let claims = payload(text(&tokens, token));
        assert_eq!(claims["acr"], "mfa", "{claims}");
        assert_eq!(claims["amr"], json!(["pop", "user", "mfa"]), "{claims}");
    }
    let succeeded = product.audited(|event| event["event_type"] == "person.login.succeeded").await;
    assert_eq!(succeeded["payload"], json!({ "method": "passkey" }));
}

/// What a client gets of a log-in with this passkey that it asked for with these `acr_values`.
pub(super) async fn tokens(product: &Product, passkey: &mut SoftwarePasskey, acr: &str) -> Value {
    let client = register(product, &[REDIRECT]).await;
    let asking = Asking::new(&client).with("scope", "openid public:read").with("acr_values", acr);
    let mut browser = browser(product);
    let mut page = browser.get(&asking.path()).await;
    while page.status == 303 {
        page = browser.get(&page.header("location")).await;
    }
    let fields = signed(&page, passkey);
    let done = sends(&mut browser, &fields).await;
    assert_eq!(done.status, 303, "{done:?}");
    let location = browser.answers(&done.header("location"), "allow").await;
    let code = told(&location)["code"].clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", REDIRECT),
        ("client_id", &*client),
        ("code_verifier", VERIFIER),
    ];
    post(product, "/token", &fields).await.json()
}

/// Two of one store, and the folder with their key.
pub(super) async fn replicas(settings: &str) -> (Product, Product, tempfile::TempDir) {
    let store = format!("store.url={}", database());
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("kek");
    std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    let shared = [store, format!("store.key_encryption_key=file:{}", key.display())];
    let start = async || Product::start_in(tempfile::tempdir().unwrap(), settings, &shared).await;
    (start().await, start().await, keys)
}

// WebAuthn Level 3 §6.1.1, §13.4.3
#[tokio::test]
async fn an_answer_that_one_replica_took_is_refused_by_the_other() {
    let (one, two, _keys) = replicas(SETTINGS).await;
    let mut passkey = enrolled(&one).await;
    let (mut here, mut there) = (browser(&one), browser(&two));
    let page = here.get("/login").await;
    let fields = signed(&page, &mut passkey);
    there.cookies.clone_from(&here.cookies);
    let taken = sends(&mut there, &fields).await;
    assert_eq!(
        taken.header("location"),
        "/account",
        "one replica asks, the other takes: {taken:?}"
    );
    let again = sends(&mut here, &fields).await;
    assert!(again.status == 403 && again.body.contains("sent twice"), "{again:?}");
    passkey.count -= 1;
    let page = here.get("/login").await;
    let cloned = sends(&mut here, &signed(&page, &mut passkey)).await;
    assert_eq!(cloned.status, 403, "{cloned:?}");
    let wanted = json!({ "method": "passkey", "reason": "sign_count" });
    one.audited(|event| event["payload"] == wanted).await;
}

#[tokio::test]
async fn a_host_that_a_request_names_changes_nothing_of_what_is_asked() {
    let product = Product::start(SETTINGS).await;
    let page = browser(&product).get("/login").await;
    let asked = question(form(&page, "/login/passkey"));
    assert_eq!(asked["rpId"], "broker.example");
    assert!(page.header("content-security-policy").contains("script-src https://broker.example/"));
    let plain = Product::dev().await;
    let page = Browser::new(&plain).get("/login").await;
    assert!(!page.body.contains("asskey"), "an address is no RP ID: {page:?}");
}
