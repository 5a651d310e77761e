//! Passkeys: made, used alone and after a password, refused, removed.

use std::time::Duration;

use axum::http::StatusCode;

use crate::authorization_server::SecondFactor;
use crate::store::PasskeyRow;

use super::software_passkey::{PRESENT, SoftwarePasskey, question};
use super::support::{Browser, PASSWORD, Page, Site, stable};

pub(super) const ORIGIN: &str = "https://broker.example";
pub(super) const ACCOUNT: &str = "/account/passkeys";
pub(super) const NEW: &str = "/account/passkeys/new";
pub(super) const REMOVE: &str = "/account/passkeys/remove";
pub(super) const CODE: &str = "/login/code";
pub(super) const LOGIN: &str = "/login/passkey";

/// The form on `page` that goes to `action`.
pub(super) fn form<'a>(page: &'a Page, action: &str) -> &'a str {
    let start = page.body.find(&format!("action=\"{action}\"")).expect(&page.body);
    page.body[start..].split("</form>").next().unwrap()
}

/// The page on which the browser makes one: what is asked there is done with `fields`.
pub(super) async fn begins(browser: &mut Browser, fields: &[(&str, &str)]) -> Page {
    let page = browser.get(ACCOUNT).await;
    let all: Vec<_> = [("name", "Ada's phone"), ("password", PASSWORD)]
        .into_iter()
        .chain(fields.iter().copied())
        .collect();
    browser.send(NEW, &page, &all).await
}

/// An administrator with a passkey, in a browser that is logged in; and the page that came back.
pub(super) async fn enrolled(site: &Site) -> (Browser, SoftwarePasskey, Page) {
    let mut browser = site.administrator().await;
    let page = begins(&mut browser, &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let asked = question(form(&page, ACCOUNT));
    let mut passkey = SoftwarePasskey::new(ORIGIN, &asked);
    let answer = passkey.registers(&asked);
    let shown = browser.send(ACCOUNT, &page, &[("assertion", &answer)]).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    (browser, passkey, shown)
}

/// Logs in with it alone.
pub(super) async fn logs_in(browser: &mut Browser, passkey: &mut SoftwarePasskey) -> Page {
    let page = browser.get("/login").await;
    let answer = passkey.signs(&question(form(&page, LOGIN)));
    browser.send(LOGIN, &page, &[("assertion", &answer)]).await
}

/// `acr` and `amr` of the session that began last.
fn last_login(site: &Site) -> (String, String) {
    let inner = site.store.lock();
    let last = inner.sessions.iter().rfind(|row| row.login.acr.is_some()).unwrap();
    (last.login.acr.clone().unwrap(), last.login.amr.clone().unwrap())
}

fn only(site: &Site) -> PasskeyRow {
    let inner = site.store.lock();
    let [row] = &*inner.passkeys else { panic!("{:?}", inner.passkeys) };
    row.clone()
}

// WebAuthn Level 3 §7.1, §7.2; RFC 8176 §2
/// Makes of a right answer a wrong one.
type Spoil = fn(&mut SoftwarePasskey);

#[tokio::test]
async fn a_person_makes_a_passkey_and_logs_in_with_it_alone() {
    let site = Site::new();
    let (mut browser, mut passkey, shown) = enrolled(&site).await;
    assert_eq!(shown.body.matches("<li><code>").count(), 10, "recovery codes, the first time");
    assert_eq!(last_login(&site), ("mfa".to_owned(), "pwd pop user mfa".to_owned()));
    let row = only(&site);
    assert_eq!((row.name.as_str(), row.sign_count, row.backed_up), ("Ada's phone", 1, false));
    assert_ne!(row.user_handle, row.user_id.to_string());
    assert!(browser.get("/account").await.body.contains("One: Ada&#39;s phone."));
    let mut other = Browser::new(&site);
    assert_eq!(logs_in(&mut other, &mut passkey).await.location(), "/account");
    assert!(other.get("/account").await.body.contains("Logged in with a passkey"));
    assert_eq!(last_login(&site), ("mfa".to_owned(), "pop user mfa".to_owned()));
    let row = only(&site);
    assert_eq!((row.sign_count, row.last_used_at.is_some()), (2, true));
    let events = site.event_types().await;
    let wanted = ["person.password.set", "person.passkey.added", "person.login.succeeded"];
    assert_eq!(events, wanted);
}

// WebAuthn Level 3 §5.4, §5.5
#[tokio::test]
async fn a_browser_is_asked_for_what_a_login_without_a_name_needs() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let asked = question(form(&begins(&mut browser, &[]).await, ACCOUNT));
    let wanted = serde_json::json!({ "residentKey": "required", "requireResidentKey": true, "userVerification": "required" });
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(asked["authenticatorSelection"][name], *value, "{asked}");
    }
    assert_eq!(asked["rp"]["id"], "broker.example");
    assert_eq!((&asked["user"]["name"], &asked["attestation"]), (&"admin".into(), &"none".into()));
    let page = Browser::new(&site).get("/login").await;
    let asked = question(form(&page, LOGIN));
    assert_eq!(
        (&asked["rpId"], &asked["userVerification"]),
        (&"broker.example".into(), &"required".into())
    );
    assert_eq!(asked["allowCredentials"], serde_json::json!([]));
}

#[tokio::test]
async fn after_the_password_a_passkey_or_a_recovery_code_follows() {
    let site = Site::new();
    let (_, mut passkey, shown) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    assert_eq!(browser.log_in(PASSWORD).await.location(), CODE);
    assert_eq!(browser.get("/account").await.location(), "/login", "a password is no session");
    let page = browser.get(CODE).await;
    assert!(!page.body.contains("authenticator app shows"), "there is none");
    let asked = question(form(&page, CODE));
    assert_eq!(asked["allowCredentials"][0]["id"], only(&site).credential_id);
    // An authenticator that was told whom it is about need not say it (§7.2 step 6).
    let handle = passkey.handle.take();
    let answer = passkey.signs(&asked);
    passkey.handle = handle;
    assert_eq!(browser.send(CODE, &page, &[("assertion", &answer)]).await.location(), "/account");
    assert_eq!(last_login(&site), ("mfa".to_owned(), "pwd pop user mfa".to_owned()));
    let code = super::support::between(&shown.body, "<li><code>");
    let mut lost = Browser::new(&site);
    lost.log_in(PASSWORD).await;
    let page = lost.get(CODE).await;
    assert_eq!(lost.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
}

#[tokio::test]
async fn a_passkey_is_the_second_factor_that_everybody_must_have() {
    let site = Site::new();
    let (_, passkey, _) = enrolled(&site).await;
    let strict = Site::requiring(SecondFactor::Everyone);
    strict.administrator_without_session().await;
    let mut row = only(&site);
    row.user_id = strict.store.lock().users[0].id;
    strict.store.lock().passkeys.push(row);
    let mut browser = Browser::new(&strict);
    let mut passkey = passkey;
    assert_eq!(logs_in(&mut browser, &mut passkey).await.location(), "/account");
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    let mut other = Browser::new(&strict);
    assert_eq!(other.log_in(PASSWORD).await.location(), CODE, "not to set up an app");
    let way_round = other.get("/login/authenticator").await;
    assert_eq!(way_round.location(), "/login", "nor may they set one up with a password alone");
}

// WebAuthn Level 3 §6.1.1 — N110
#[tokio::test]
async fn a_sign_count_that_has_not_grown_is_refused_and_recorded() {
    let site = Site::new();
    let (_, mut passkey, _) = enrolled(&site).await;
    logs_in(&mut Browser::new(&site), &mut passkey).await;
    passkey.count = 2;
    let refused = logs_in(&mut Browser::new(&site), &mut passkey).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("does not open an account here"));
    let log = {
        site.event_types().await;
        std::fs::read_to_string(&site.log).unwrap()
    };
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let wanted = serde_json::json!({ "method": "passkey", "reason": "sign_count" });
    assert_eq!(last["payload"], wanted);
    assert_eq!(last["requester_id"], only(&site).user_id.to_string(), "{last}");
    passkey.count = 9;
    assert_eq!(logs_in(&mut Browser::new(&site), &mut passkey).await.location(), "/account");
}

/// A log-in that goes wrong: what it reads like, without what is new on every page.
async fn wrong(site: &Site, passkey: &mut SoftwarePasskey) -> String {
    let page = logs_in(&mut Browser::new(site), passkey).await;
    assert_eq!((page.status, page.location()), (StatusCode::FORBIDDEN, ""), "{}", page.body);
    stable(&page.body)
}

// WebAuthn Level 3 §7.2 — N108, N110
#[tokio::test]
async fn an_unknown_passkey_and_every_wrong_answer_read_the_same() {
    let site = Site::new();
    let (_, mut passkey, _) = enrolled(&site).await;
    let id = passkey.id.clone();
    passkey.id = vec![7; 32];
    let unknown = wrong(&site, &mut passkey).await;
    passkey.id = id;
    let page = Browser::new(&site).get("/login").await;
    let strange = SoftwarePasskey::new(
        ORIGIN,
        &serde_json::json!({ "user": { "id": "AAAA" }, "rp": { "id": "broker.example" } }),
    );
    let mut forger = strange;
    (forger.id, forger.handle) = (passkey.id.clone(), passkey.handle.clone());
    assert_eq!(wrong(&site, &mut forger).await, unknown, "another key");
    let spoil: [(&str, Spoil); 9] = [
        ("origin", |key| key.origin = "https://broker.example.evil".to_owned()),
        ("scheme", |key| key.origin = "http://broker.example".to_owned()),
        ("port", |key| key.origin = "https://broker.example:8443".to_owned()),
        ("rp id", |key| key.rp_id = "evil.example".to_owned()),
        ("not verified", |key| key.flags = PRESENT),
        ("nobody there", |key| key.flags = super::software_passkey::VERIFIED),
        ("type", |key| key.client_type = Some("webauthn.create")),
        ("no handle", |key| key.handle = None),
        ("frame", |key| key.cross_origin = true),
    ];
    for (name, spoil) in spoil {
        let before = (passkey.origin.clone(), passkey.rp_id.clone(), passkey.handle.clone());
        spoil(&mut passkey);
        assert_eq!(wrong(&site, &mut passkey).await, unknown, "{name}");
        (passkey.origin, passkey.rp_id, passkey.handle) = before;
        (passkey.flags, passkey.client_type, passkey.cross_origin) =
            (PRESENT | super::software_passkey::VERIFIED, None, false);
    }
    passkey.handle = Some(vec![1; 16]);
    assert_eq!(wrong(&site, &mut passkey).await, unknown, "another handle");
    for garbage in ["", "{}", "null", "[", "\u{fffd}"] {
        let mut browser = Browser::new(&site);
        let page = browser.get("/login").await;
        let refused = browser.send(LOGIN, &page, &[("assertion", garbage)]).await;
        assert_eq!(
            (refused.status, stable(&refused.body)),
            (StatusCode::FORBIDDEN, unknown.clone())
        );
    }
    assert_eq!(only(&site).sign_count, 1, "nothing of it counted");
    assert!(page.body.contains("Log in with a passkey"));
}

#[tokio::test]
async fn who_is_disabled_is_refused_like_anybody() {
    let site = Site::new();
    let (_, mut passkey, _) = enrolled(&site).await;
    passkey.id[0] ^= 1;
    let unknown = wrong(&site, &mut passkey).await;
    passkey.id[0] ^= 1;
    site.store.lock().users[0].disabled_at = Some(crate::time::Timestamp::from_unix_seconds(1));
    assert_eq!(wrong(&site, &mut passkey).await, unknown);
}

// WebAuthn Level 3 §13.4.3 — N110
#[tokio::test]
async fn a_question_is_answered_once_in_its_browser_and_in_time() {
    let site = Site::new();
    let (_, mut passkey, _) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await;
    let answer = passkey.signs(&question(form(&page, LOGIN)));
    let fields = [("assertion", &*answer)];
    let mut other = Browser::new(&site);
    other.get("/login").await;
    assert_eq!(other.send(LOGIN, &page, &fields).await.status, StatusCode::FORBIDDEN, "stolen");
    assert_eq!(browser.send(LOGIN, &page, &fields).await.location(), "/account");
    browser.get("/logout").await;
    let again = browser.send(LOGIN, &page, &fields).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(again.body.contains("sent twice"), "{}", again.body);
    let mut late = Browser::new(&site);
    let page = late.get("/login").await;
    let answer = passkey.signs(&question(form(&page, LOGIN)));
    site.clock.advance(Duration::from_mins(10));
    let refused = late.send(LOGIN, &page, &[("assertion", &answer)]).await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.body.contains("waited too long"));
    assert_eq!(logs_in(&mut late, &mut passkey).await.location(), "/account");
}

// WebAuthn Level 3 §13.4.3
#[tokio::test]
async fn a_question_of_one_step_is_none_of_another() {
    let site = Site::new();
    let (_, mut passkey, _) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    let login = browser.get("/login").await;
    browser.log_in(PASSWORD).await;
    let mut step = browser.get(CODE).await;
    let (theirs, ours) = (login.hidden(LOGIN, "challenge"), step.hidden(CODE, "challenge"));
    let answer = passkey.signs(&question(form(&login, LOGIN)));
    step.body = step.body.replace(&ours.unwrap(), &theirs.unwrap());
    let refused = browser.send(CODE, &step, &[("assertion", &answer)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("waited too long"), "{}", refused.body);
}

// N108
#[tokio::test]
async fn many_wrong_answers_slow_the_browser_down_and_nobody_else() {
    let site = Site::new();
    let (_, mut passkey, _) = enrolled(&site).await;
    passkey.flags = PRESENT;
    let mut guesser = Browser::new(&site);
    for _ in 0..20 {
        assert_eq!(logs_in(&mut guesser, &mut passkey).await.status, StatusCode::FORBIDDEN);
    }
    let refused = logs_in(&mut guesser, &mut passkey).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key("retry-after"));
    passkey.flags = PRESENT | super::software_passkey::VERIFIED;
    let mut other = Browser::new(&site);
    other.address = "198.51.100.7".parse().unwrap();
    assert_eq!(logs_in(&mut other, &mut passkey).await.location(), "/account");
}

// CSP Level 3 §6.7.2.8, Subresource Integrity §3.1
#[tokio::test]
async fn the_one_script_is_ours_and_named_to_the_byte() {
    let site = Site::new();
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await;
    let path = super::support::between(&page.body, "<script src=\"");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.ends_with(&format!("; form-action 'self'; script-src {ORIGIN}{path}")),
        "{policy}"
    );
    assert_eq!(page.body.matches("<script").count(), 1);
    let script = browser.get(&path).await;
    assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, script.body.as_bytes());
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    assert_eq!(super::support::between(&page.body, "integrity=\""), format!("sha256-{hash}"));
}

// WebAuthn Level 3 §5.1.2
#[tokio::test]
async fn where_no_browser_gives_a_passkey_nothing_is_said_of_them() {
    let site = Site::with("http://127.0.0.1:8080", Vec::new());
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(!page.body.contains("asskey") && !policy.contains("script"), "{}", page.body);
    let mut browser = site.administrator().await;
    assert!(!browser.get("/account").await.body.contains("asskey"));
    assert_eq!(browser.get(ACCOUNT).await.location(), "/account");
    let sent = browser.post(LOGIN, &[("assertion".to_owned(), "{}".to_owned())]).await;
    assert_eq!(sent.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_removed_passkey_opens_nothing() {
    let site = Site::new();
    let (mut browser, mut passkey, _) = enrolled(&site).await;
    let page = browser.get(ACCOUNT).await;
    let id = only(&site).credential_id;
    let answer = passkey.signs(&question(form(&page, REMOVE)));
    let fields = [("passkey", &*id), ("password", PASSWORD), ("assertion", &answer)];
    assert_eq!(browser.send(REMOVE, &page, &fields).await.location(), ACCOUNT);
    assert!(site.store.lock().passkeys.is_empty());
    let refused = logs_in(&mut Browser::new(&site), &mut passkey).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(site.event_types().await.contains(&"person.passkey.removed".to_owned()));
}
