//! Accounts that are set up with a passkey, and have no password.

use std::time::Duration;

use axum::http::StatusCode;

use super::passkeys::{ACCOUNT, CODE, LOGIN, NEW, ORIGIN, REMOVE, enrolled, form, logs_in};
use super::software_passkey::{SoftwarePasskey, question};
use super::support::{Browser, PASSWORD, Page, Site, between, stable};
use crate::authorization_server::{SecondFactor, one_time_link};
use crate::store::{LinkPurpose, OwnLogin};

const CHOOSE: &str = "/account/password";

/// What the browser is asked to make, by this link and with these fields beside the name.
async fn begins(browser: &mut Browser, link: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.get(link).await;
    let action = format!("{link}/passkey");
    let all: Vec<_> = [("name", "work laptop")].into_iter().chain(fields.iter().copied()).collect();
    browser.send(&action, &page, &all).await
}

/// Makes it; gives the passkey, and the page that came back.
async fn makes(browser: &mut Browser, link: &str, page: &Page) -> (SoftwarePasskey, Page) {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let action = format!("{link}/passkey/made");
    let asked = question(form(page, &action));
    let mut passkey = SoftwarePasskey::new(ORIGIN, &asked);
    let answer = passkey.registers(&asked);
    (passkey, browser.send(&action, page, &[("assertion", &answer)]).await)
}

/// The first administrator with a passkey and no password, in a browser that is logged in; and the page that came back.
async fn set_up(site: &Site) -> (Browser, SoftwarePasskey, Page) {
    let (mut browser, link) = (Browser::new(site), site.link().await);
    let page = begins(&mut browser, &link, &[]).await;
    let (passkey, shown) = makes(&mut browser, &link, &page).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    (browser, passkey, shown)
}

/// A link that an administrator made for the first one.
async fn reset(site: &Site) -> String {
    let id = site.store.lock().users[0].id;
    let lives = Duration::from_hours(1);
    let url = one_time_link(&site.server, id, LinkPurpose::Reset, lives).await.unwrap();
    url.path().to_owned()
}

fn own_login(site: &Site) -> OwnLogin {
    site.store.lock().users[0].own_login.clone()
}

fn first_code(shown: &Page) -> String {
    between(&shown.body, "<li><code>")
}

#[tokio::test]
async fn an_account_is_set_up_with_a_passkey_alone() {
    for required in [SecondFactor::Optional, SecondFactor::Everyone] {
        let site = Site::requiring(required);
        let (mut browser, mut passkey, shown) = set_up(&site).await;
        assert_eq!(shown.body.matches("<li><code>").count(), 10);
        assert!(shown.body.contains("You have no password"), "{}", shown.body);
        assert!(matches!(own_login(&site), OwnLogin::Passkeys(_)));
        let account = browser.get("/account").await;
        assert_eq!(account.status, StatusCode::OK, "two factors, where they are required");
        assert!(account.body.contains("None: you log in with a passkey."), "{}", account.body);
        assert!(account.body.contains("Logged in with a passkey"));
        assert!(!account.body.contains("Authenticator app"), "nothing would ask for it");
        let mut other = Browser::new(&site);
        assert_eq!(logs_in(&mut other, &mut passkey).await.location(), "/account");
        let wanted = ["person.passkey.set", "person.login.succeeded"];
        assert_eq!(site.event_types().await, wanted);
    }
}

#[tokio::test]
async fn the_page_offers_both_and_a_link_works_once() {
    let site = Site::new();
    let link = site.link().await;
    let page = Browser::new(&site).get(&link).await;
    assert!(page.body.contains("Set up with a passkey") && page.body.contains("Save and log in"));
    assert!(!page.body.contains("<script"), "nothing is asked of a browser yet");
    let (mut browser, mut late) = (Browser::new(&site), Browser::new(&site));
    let page = begins(&mut browser, &link, &[]).await;
    let other = begins(&mut late, &link, &[]).await;
    makes(&mut browser, &link, &page).await;
    let (_, refused) = makes(&mut late, &link, &other).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.body);
    assert_eq!(late.get(&link).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.store.lock().passkeys.len(), 1);
}

#[tokio::test]
async fn where_no_browser_gives_a_passkey_the_link_offers_none() {
    let site = Site::with("http://127.0.0.1:8080", Vec::new());
    let (mut browser, link) = (Browser::new(&site), site.link().await);
    let page = browser.get(&link).await;
    assert!(!page.body.contains("asskey") && page.body.contains("Welcome. Choose a password"));
    let action = format!("{link}/passkey");
    let sent = browser.post(&action, &[("name".to_owned(), "x".to_owned())]).await;
    assert_eq!(sent.status, StatusCode::FORBIDDEN);
    assert!(site.store.lock().passkeys.is_empty());
}

// RFC 6749 §10.12; WebAuthn Level 3 §13.4.3 — N103
#[tokio::test]
async fn what_a_link_is_to_make_belongs_to_the_link_and_its_browser() {
    let site = Site::new();
    let (mut browser, link) = (Browser::new(&site), site.link().await);
    let page = begins(&mut browser, &link, &[]).await;
    let made = format!("{link}/passkey/made");
    let asked = question(form(&page, &made));
    let answer = SoftwarePasskey::new(ORIGIN, &asked).registers(&asked);
    let fields = [("assertion", &*answer)];
    let mut thief = Browser::new(&site);
    thief.get(&link).await;
    assert_eq!(thief.send(&made, &page, &fields).await.status, StatusCode::FORBIDDEN);
    let another = reset(&site).await;
    let moved = Page { body: page.body.replace(&link, &another), ..page.clone() };
    let elsewhere = format!("{another}/passkey/made");
    let refused = browser.send(&elsewhere, &moved, &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    site.clock.advance(Duration::from_mins(10));
    let late = browser.send(&made, &page, &fields).await;
    assert!(late.status == StatusCode::FORBIDDEN && late.body.contains("waited too long"));
    let nameless = begins(&mut browser, &link, &[("name", " \u{202e} ")]).await;
    assert_eq!(nameless.status, StatusCode::BAD_REQUEST);
    assert!(site.store.lock().passkeys.is_empty());
    let page = begins(&mut browser, &link, &[]).await;
    let none = browser.send(&made, &page, &[("assertion", "{}")]).await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    assert!(none.body.contains("cannot be used here"), "{}", none.body);
    assert_eq!(browser.get(&made).await.location(), link, "of who reloads it");
    assert_eq!(makes(&mut browser, &link, &page).await.1.status, StatusCode::FORBIDDEN, "once");
}

// N108
#[tokio::test]
async fn a_password_for_such_an_account_reads_like_any_wrong_one() {
    let site = Site::new();
    set_up(&site).await;
    let refused = async |name: &str, password: &str| {
        let mut browser = Browser::new(&site);
        let page = browser.get("/login").await;
        let fields = [("username", name), ("password", password)];
        let page = browser.send("/login", &page, &fields).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}");
        stable(&page.body)
    };
    let unknown = refused("nobody", PASSWORD).await;
    let OwnLogin::Passkeys(mark) = own_login(&site) else { panic!() };
    for typed in [PASSWORD, "", &mark] {
        assert_eq!(refused("admin", typed).await, unknown, "{typed}");
    }
}

#[tokio::test]
async fn another_is_added_and_the_last_one_stays() {
    let site = Site::new();
    let (mut browser, mut passkey, _) = set_up(&site).await;
    let page = browser.get(ACCOUNT).await;
    assert!(page.body.contains("This one stays"), "{}", page.body);
    assert!(!page.body.contains("type=\"password\""), "there is none to be asked for");
    let answer = passkey.signs(&question(form(&page, NEW)));
    let fields = [("name", "second"), ("assertion", &*answer)];
    let made = browser.send(NEW, &page, &fields).await;
    let asked = question(form(&made, ACCOUNT));
    let answer = SoftwarePasskey::new(ORIGIN, &asked).registers(&asked);
    assert_eq!(browser.send(ACCOUNT, &made, &[("assertion", &answer)]).await.location(), ACCOUNT);
    let amr = site.store.lock().sessions.iter().rev().find_map(|row| row.login.amr.clone());
    assert_eq!(amr.as_deref(), Some("pop user mfa"), "no password was typed");
    let ids: Vec<_> =
        site.store.lock().passkeys.iter().map(|row| row.credential_id.clone()).collect();
    let page = browser.get(ACCOUNT).await;
    let token = page.hidden(REMOVE, "form").unwrap();
    let answer = passkey.signs(&question(form(&page, REMOVE)));
    let fields = [("passkey", &*ids[1]), ("assertion", &*answer)];
    assert_eq!(browser.send(REMOVE, &page, &fields).await.location(), ACCOUNT);
    // There is no such form any more; who sends one all the same is told.
    let page = browser.get(ACCOUNT).await;
    assert_eq!(page.hidden(REMOVE, "form"), None);
    let answer = passkey.signs(&question(form(&page, NEW)));
    let challenge = page.hidden(NEW, "challenge").unwrap();
    let fields = [
        ("form", token),
        ("challenge", challenge),
        ("passkey", ids[0].clone()),
        ("assertion", answer),
    ];
    let refused = browser.post(REMOVE, &fields.map(|(name, value)| (name.to_owned(), value))).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(
        refused.body.contains("you have no password, and no other passkey"),
        "{}",
        refused.body
    );
    assert_eq!(site.store.lock().passkeys.len(), 1);
    let removed = site.event_types().await.iter().filter(|kind| kind.ends_with("removed")).count();
    assert_eq!(removed, 1);
}

#[tokio::test]
async fn a_change_wants_a_passkey_or_a_recovery_code_and_nothing_less() {
    let site = Site::new();
    let (mut browser, mut passkey, shown) = set_up(&site).await;
    let page = browser.get(ACCOUNT).await;
    passkey.id[0] ^= 1;
    let strange = passkey.signs(&question(form(&page, NEW)));
    passkey.id[0] ^= 1;
    for wrong in [("code", ""), ("code", "0000-0000-0000-0000"), ("assertion", &*strange)] {
        let page = browser.get(ACCOUNT).await;
        let refused = browser.send(NEW, &page, &[("name", "x"), wrong]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{wrong:?}");
    }
    let page = browser.get(ACCOUNT).await;
    let code = first_code(&shown);
    let begun = browser.send(NEW, &page, &[("name", "x"), ("code", &code)]).await;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.body);
    let again = browser.send(NEW, &page, &[("name", "x"), ("code", &code)]).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "it was used");
    assert_eq!(browser.get("/account/authenticator").await.location(), "/account");
    site.event_types().await;
    let log = std::fs::read_to_string(&site.log).unwrap();
    let failed = log.lines().filter(|line| line.contains("person.login.failed"));
    assert!(failed.clone().count() == 4 && !log.contains("password_and"), "{log}");
}

#[tokio::test]
async fn a_password_can_be_chosen_later_and_ends_nothing() {
    let site = Site::new();
    let (mut browser, mut passkey, shown) = set_up(&site).await;
    let code = first_code(&shown);
    let page = browser.get(CHOOSE).await;
    let typed = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.send(CHOOSE, &page, &typed).await.status, StatusCode::FORBIDDEN);
    let weak = [("password", "short"), ("again", "short"), ("code", &*code)];
    assert_eq!(browser.send(CHOOSE, &page, &weak).await.status, StatusCode::BAD_REQUEST);
    assert!(matches!(own_login(&site), OwnLogin::Passkeys(_)));
    let answer = passkey.signs(&question(form(&page, CHOOSE)));
    let fields = [typed[0], typed[1], ("assertion", &*answer)];
    assert_eq!(browser.send(CHOOSE, &page, &fields).await.location(), "/account");
    assert!(own_login(&site).password_hash().is_some());
    assert_eq!(browser.get("/account").await.status, StatusCode::OK, "logged in as before");
    assert_eq!(browser.get(CHOOSE).await.location(), "/account", "they have one");
    assert_eq!(logs_in(&mut Browser::new(&site), &mut passkey).await.location(), "/account");
    let mut other = Browser::new(&site);
    assert_eq!(other.log_in(PASSWORD).await.location(), CODE, "a second factor follows it");
    let page = other.get(CODE).await;
    assert_eq!(other.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
}

#[tokio::test]
async fn who_has_a_password_or_none_of_ours_has_nothing_to_choose() {
    let site = Site::new();
    assert_eq!(Browser::new(&site).get(CHOOSE).await.location(), "/login");
    let mut browser = site.administrator().await;
    assert_eq!(browser.get(CHOOSE).await.location(), "/account");
    assert!(!browser.get("/account").await.body.contains(CHOOSE));
}

#[tokio::test]
async fn a_reset_by_a_passkey_takes_the_old_password_away() {
    let site = Site::new();
    let mut before = site.administrator().await;
    let (mut browser, link) = (Browser::new(&site), reset(&site).await);
    let page = browser.get(&link).await;
    assert!(page.body.contains("Everybody who is logged in as you is logged out."));
    let page = begins(&mut browser, &link, &[]).await;
    let (mut passkey, shown) = makes(&mut browser, &link, &page).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    assert_eq!(before.get("/account").await.location(), "/login");
    let refused = Browser::new(&site).log_in(PASSWORD).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(logs_in(&mut Browser::new(&site), &mut passkey).await.location(), "/account");
}

// N51
#[tokio::test]
async fn a_link_alone_makes_no_passkey_beside_a_second_factor() {
    let site = Site::new();
    let (_, mut old, shown) = enrolled(&site).await;
    let link = reset(&site).await;
    let mut browser = Browser::new(&site);
    for wrong in [vec![], vec![("code", "0000-0000-0000-0000")], vec![("assertion", "{}")]] {
        let refused = begins(&mut browser, &link, &wrong).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{wrong:?}");
        assert!(!refused.body.contains("Make the passkey"));
    }
    let code = first_code(&shown);
    let page = begins(&mut browser, &link, &[("code", &code)]).await;
    let (mut new, shown) = makes(&mut browser, &link, &page).await;
    assert_eq!(shown.location(), "/account", "the codes are those that they have");
    let refused = logs_in(&mut Browser::new(&site), &mut old).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "it may be a thief's");
    assert_eq!(logs_in(&mut Browser::new(&site), &mut new).await.location(), "/account");
    // Nothing is shown beside it on the account page, so it changes nothing there, and opens no more than before.
    let page = browser.get(ACCOUNT).await;
    let asked = question(form(&page, NEW));
    assert_eq!(asked["allowCredentials"].as_array().map(Vec::len), Some(1), "it is not asked for");
    let mut thief = browser; // or who finds it open
    let answer = old.signs(&asked);
    let refused = thief.send(NEW, &page, &[("name", "x"), ("assertion", &*answer)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let refused = logs_in(&mut Browser::new(&site), &mut old).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let page = thief.get(ACCOUNT).await;
    let answer = new.signs(&question(form(&page, NEW)));
    let fields = [("name", "x"), ("assertion", &*answer)];
    assert_eq!(thief.send(NEW, &page, &fields).await.status, StatusCode::OK);
    site.event_types().await;
    let log = std::fs::read_to_string(&site.log).unwrap();
    assert!(!log.contains("sign_count"), "no clone: {log}");
}

#[tokio::test]
async fn a_passkey_confirms_a_new_one_by_a_link_as_well() {
    let site = Site::new();
    let (_, mut old, _) = set_up(&site).await;
    let (mut browser, link) = (Browser::new(&site), reset(&site).await);
    let page = browser.get(&link).await;
    let action = format!("{link}/passkey");
    let login = browser.get("/login").await;
    let elsewhere = old.signs(&question(form(&login, LOGIN)));
    let fields = [("name", "new"), ("assertion", &*elsewhere)];
    let refused = browser.send(&action, &page, &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "it answers another question");
    let page = browser.get(&link).await;
    let answer = old.signs(&question(form(&page, &action)));
    let page = browser.send(&action, &page, &[("name", "new"), ("assertion", &answer)]).await;
    let (_, shown) = makes(&mut browser, &link, &page).await;
    assert_eq!(shown.location(), "/account", "{}", shown.body);
    assert_eq!(site.store.lock().passkeys.len(), 2);
}

// N51
#[tokio::test]
async fn a_password_by_a_link_does_not_stand_for_the_passkey() {
    let site = Site::new();
    let (_, mut passkey, shown) = set_up(&site).await;
    let (mut browser, link) = (Browser::new(&site), reset(&site).await);
    let page = browser.get(&link).await;
    let typed = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.send(&link, &page, &typed).await.location(), CODE);
    assert_eq!(browser.get("/account").await.location(), "/login");
    let refused = logs_in(&mut Browser::new(&site), &mut passkey).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "not before it was shown beside it");
    let page = browser.get(CODE).await;
    let code = first_code(&shown);
    assert_eq!(browser.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
}
