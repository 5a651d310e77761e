//! An authenticator app after the password: set up, asked for, guessed at, lost, removed.

use std::time::Duration;

use axum::http::StatusCode;

use crate::authorization_server::login::{Attempt, CODE as GUESSED, one_time_link};
use crate::authorization_server::second_factor::Authenticator;
use crate::authorization_server::session::CookieValue;
use crate::store::{LinkPurpose, PersonStore as _, SessionRow};
use crate::time::Clock as _;

use super::support::{Browser, PASSWORD, Page, Site};

const STEP: Duration = Duration::from_secs(30);
const CODE: &str = "/login/code";
const ACCOUNT: &str = "/account/authenticator";

/// An administrator with an app that nobody has used since, in a browser that is logged in.
async fn enrolled(site: &Site) -> (Browser, Authenticator, Vec<String>) {
    let mut browser = site.administrator().await;
    let page = browser.get(ACCOUNT).await;
    let (app, codes) = browser.sets_up(site, &page).await;
    site.clock.advance(STEP * 2);
    (browser, app, codes)
}

/// The page that asks for a code, in a browser whose password was right.
async fn half_way(browser: &mut Browser) -> Page {
    assert_eq!(browser.log_in(PASSWORD).await.location(), CODE);
    assert_eq!(browser.get("/account").await.location(), "/login", "a password is no session");
    browser.get(CODE).await
}

/// `acr` and `amr` of the session that began last.
fn last_login(site: &Site) -> (String, String) {
    let inner = site.store.lock();
    let last = inner.sessions.iter().rfind(|row| row.login.acr.is_some()).unwrap();
    (last.login.acr.clone().unwrap(), last.login.amr.clone().unwrap())
}

// RFC 6238 §5.2, RFC 8176 §2
#[tokio::test]
async fn a_person_sets_up_an_app_and_is_asked_for_its_code_from_then_on() {
    let site = Site::new();
    let (mut browser, app, codes) = enrolled(&site).await;
    assert_eq!(codes.len(), 10);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK, "this session goes on");
    assert_eq!(last_login(&site), ("mfa".to_owned(), "pwd otp mfa".to_owned()));
    let mut other = Browser::new(&site);
    let page = half_way(&mut other).await;
    let code = app.code_at(site.clock.now());
    assert_eq!(other.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
    assert_eq!(other.get("/account").await.status, StatusCode::OK);
    assert_eq!(last_login(&site), ("mfa".to_owned(), "pwd otp mfa".to_owned()));
    let events = site.event_types().await;
    assert_eq!(
        events,
        [
            "person.password.set",
            "person.second_factor.set",
            "person.login.continued",
            "person.login.succeeded"
        ]
    );
}

// RFC 6238 §5.2
#[tokio::test]
async fn a_code_counts_once_and_the_one_that_set_the_app_up_not_again() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = browser.get(ACCOUNT).await;
    let (app, _) = browser.sets_up(&site, &page).await;
    let first = app.code_at(site.clock.now());
    let mut other = Browser::new(&site);
    let page = half_way(&mut other).await;
    let again = other.send(CODE, &page, &[("code", &first)]).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "it set the app up");
    assert!(again.body.contains("was used before"));
    site.clock.advance(STEP);
    let second = app.code_at(site.clock.now());
    assert_eq!(other.send(CODE, &again, &[("code", &second)]).await.location(), "/account");
    let mut thief = Browser::new(&site);
    let page = half_way(&mut thief).await;
    let replayed = thief.send(CODE, &page, &[("code", &second)]).await;
    assert_eq!(replayed.status, StatusCode::FORBIDDEN, "seen over a shoulder");
    assert_eq!(
        thief.send(CODE, &replayed, &[("code", &first)]).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_wrong_code_at_set_up_keeps_the_same_secret_and_stores_nothing() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = browser.get(ACCOUNT).await;
    let secret = |page: &Page| super::support::between(&page.body, "<code class=\"secret\">");
    let fields = [("password", PASSWORD), ("code", "000000")];
    let again = browser.send(ACCOUNT, &page, &fields).await;
    assert_eq!((again.status, secret(&again)), (StatusCode::BAD_REQUEST, secret(&page)));
    let wrong = [("password", "a wrong password"), ("code", "000000")];
    assert_eq!(browser.send(ACCOUNT, &again, &wrong).await.status, StatusCode::FORBIDDEN);
    assert!(site.store.lock().authenticators.is_empty());
    assert_ne!(secret(&browser.get(ACCOUNT).await), secret(&page), "each look has another one");
}

// RFC 6749 §10.12 — N103
#[tokio::test]
async fn an_offered_secret_is_good_in_the_session_that_it_was_offered_to() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let offered = browser.get(ACCOUNT).await;
    let mut other = Browser::new(&site);
    other.log_in(PASSWORD).await;
    let fields = [("password", PASSWORD), ("code", "000000")];
    assert_eq!(other.send(ACCOUNT, &offered, &fields).await.status, StatusCode::FORBIDDEN);
    let mut mixed = other.get(ACCOUNT).await;
    let (mine, theirs) = (mixed.hidden(ACCOUNT, "secret"), offered.hidden(ACCOUNT, "secret"));
    mixed.body = mixed.body.replace(&mine.unwrap(), &theirs.unwrap());
    assert_eq!(other.send(ACCOUNT, &mixed, &fields).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_recovery_code_opens_once_and_says_so_in_the_login() {
    let site = Site::new();
    let (_, _, codes) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    let page = half_way(&mut browser).await;
    let typed = codes[3].to_lowercase().replace('-', " ");
    assert_eq!(browser.send(CODE, &page, &[("code", &typed)]).await.location(), "/account");
    assert_eq!(last_login(&site), ("mfa".to_owned(), "pwd mfa".to_owned()));
    assert!(browser.get("/account").await.body.contains("9 recovery codes left"));
    let mut again = Browser::new(&site);
    let page = half_way(&mut again).await;
    let refused = again.send(CODE, &page, &[("code", &codes[3])]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_second_step_belongs_to_the_browser_and_the_login_of_the_first() {
    let site = Site::new();
    let (_, app, _) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    let page = half_way(&mut browser).await;
    let mut thief = Browser::new(&site);
    thief.get("/login").await;
    assert_eq!(thief.get(CODE).await.location(), "/login");
    let code = app.code_at(site.clock.now());
    let stolen = thief.send(CODE, &page, &[("code", &code)]).await;
    assert_eq!(stolen.location(), "/login", "another browser's form");
    half_way(&mut thief).await;
    let stolen = thief.send(CODE, &page, &[("code", &code)]).await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN, "another log-in's form");
    site.clock.advance(Duration::from_mins(10));
    let code = app.code_at(site.clock.now());
    assert_eq!(
        browser.send(CODE, &page, &[("code", &code)]).await.location(),
        "/login",
        "too late"
    );
    let page = half_way(&mut browser).await;
    assert_eq!(browser.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
    assert_eq!(browser.get(CODE).await.location(), "/login", "used up");
}

/// Of a browser that others use, too: they have seen every cookie that was in it before.
#[tokio::test]
async fn who_saw_the_cookies_of_a_browser_before_does_not_get_to_the_second_step() {
    let site = Site::new();
    let (_, app, _) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    half_way(&mut browser).await; // an older one that was left there
    let mut thief = Browser::new(&site);
    thief.cookies.lock().unwrap().extend(browser.cookies.lock().unwrap().clone());
    let page = half_way(&mut browser).await;
    assert_eq!(thief.get(CODE).await.location(), "/login");
    let code = app.code_at(site.clock.now());
    assert_eq!(thief.send(CODE, &page, &[("code", &code)]).await.location(), "/login");
    assert_eq!(browser.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
}

#[tokio::test]
async fn a_password_that_is_set_anew_while_it_is_looked_at_is_no_first_step() {
    let site = Site::new();
    let _ = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await;
    site.store.lock().set_meanwhile = Some("$2".to_owned());
    let fields = [("username", "admin"), ("password", PASSWORD)];
    assert_eq!(browser.send("/login", &page, &fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get(CODE).await.location(), "/login");
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn a_password_that_leads_no_further_counts_and_makes_no_browser_known() {
    let site = Site::new();
    let (_, app, _) = enrolled(&site).await;
    site.store.lock().sessions.clear();
    let mut through = 0;
    for _ in 0..12 {
        let answer = Browser::new(&site).log_in(PASSWORD).await;
        through += usize::from(answer.location() == CODE);
    }
    assert_eq!(through, 10);
    let is_device = |row: &SessionRow| row.method.as_deref() == Some("device");
    assert!(!site.store.lock().sessions.iter().any(is_device));
    let mut owner = Browser::new(&site);
    owner.address = "203.0.113.1".parse().unwrap();
    let page = half_way(&mut owner).await;
    let code = app.code_at(site.clock.now());
    assert_eq!(owner.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
    let known = site.store.lock().sessions.iter().filter(|row| is_device(row)).count();
    assert_eq!(known, 2, "at passwords, and at codes");
}

#[tokio::test]
async fn a_new_password_ends_a_first_step() {
    let site = Site::new();
    let (_, app, _) = enrolled(&site).await;
    let mut browser = Browser::new(&site);
    let page = half_way(&mut browser).await;
    let id = site.store.lock().users[0].id;
    site.store.set_password(id, "$2", None, site.clock.now()).await.unwrap();
    let code = app.code_at(site.clock.now());
    assert_eq!(browser.send(CODE, &page, &[("code", &code)]).await.location(), "/login");
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn guessing_codes_is_stopped_sooner_than_passwords_and_locks_nobody_out() {
    let site = Site::new();
    let (_, app, codes) = enrolled(&site).await;
    let mut owner = Browser::new(&site);
    let page = half_way(&mut owner).await;
    let code = app.code_at(site.clock.now());
    owner.send(CODE, &page, &[("code", &code)]).await; // this browser is known from here on
    let mut refused = 0;
    for host in 1..=10 {
        let mut thief = Browser::new(&site);
        thief.address = format!("198.51.{host}.1").parse().unwrap();
        let mut page = half_way(&mut thief).await;
        for _ in 0..6 {
            page = thief.send(CODE, &page, &[("code", "000000")]).await;
            refused += usize::from(page.status == StatusCode::TOO_MANY_REQUESTS);
        }
    }
    assert_eq!(60 - refused, 20, "five from one site, twenty from all of them");
    site.clock.advance(STEP);
    let code = app.code_at(site.clock.now());
    let mut elsewhere = Browser::new(&site);
    elsewhere.address = "203.0.113.1".parse().unwrap();
    let page = half_way(&mut elsewhere).await;
    let locked = elsewhere.send(CODE, &page, &[("code", &code)]).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(locked.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    let opened = elsewhere.send(CODE, &locked, &[("code", &codes[0])]).await;
    assert_eq!(opened.location(), "/account", "a recovery code opens all the same");
    owner.cookies.lock().unwrap().retain(|name, _| !name.contains("session"));
    let page = half_way(&mut owner).await;
    assert_eq!(owner.send(CODE, &page, &[("code", &code)]).await.location(), "/account");
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn a_new_password_by_link_leaves_a_browser_known_for_codes_that_was_and_makes_no_other_so() {
    let site = Site::new();
    let (mut owner, app, _) = enrolled(&site).await;
    let user = site.store.lock().users[0].clone();
    for host in 0..20 {
        let browser = CookieValue::generate(site.server.random.as_ref());
        let from = (&browser, format!("198.51.{host}.1").parse().ok());
        let thief = Attempt::at_second_step(&site.server, GUESSED, &user, from).await.unwrap();
        assert_eq!(thief.take(&site.server).await.unwrap(), None);
        thief.failed(&site.server).await.unwrap();
    }
    for (browser, known) in [(&mut owner, true), (&mut Browser::new(&site), false)] {
        let (lives, purpose) = (Duration::from_hours(1), LinkPurpose::Reset);
        let link = one_time_link(&site.server, user.id, purpose, lives).await.unwrap();
        let page = browser.get(link.path()).await;
        let fields = [("password", PASSWORD), ("again", PASSWORD)];
        assert_eq!(browser.send(link.path(), &page, &fields).await.location(), CODE);
        let page = browser.get(CODE).await;
        let code = app.code_at(site.clock.now());
        let answer = browser.send(CODE, &page, &[("code", &code)]).await;
        let wanted = if known { StatusCode::SEE_OTHER } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(answer.status, wanted);
    }
}

#[tokio::test]
async fn removing_and_new_recovery_codes_want_the_password_and_a_code() {
    let site = Site::new();
    let (mut browser, app, codes) = enrolled(&site).await;
    let (other_codes, remove) = (format!("{ACCOUNT}/codes"), format!("{ACCOUNT}/remove"));
    let page = browser.get(ACCOUNT).await;
    let code = app.code_at(site.clock.now());
    for fields in
        [[("password", "wrong"), ("code", &code)], [("password", PASSWORD), ("code", "000000")]]
    {
        for action in [&other_codes, &remove] {
            let refused = browser.send(action, &page, &fields).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{action} {fields:?}");
        }
    }
    let new = browser.send(&other_codes, &page, &[("password", PASSWORD), ("code", &code)]).await;
    assert!(new.status == StatusCode::OK && !new.body.contains(&codes[0]));
    let old = browser.send(&remove, &page, &[("password", PASSWORD), ("code", &codes[0])]).await;
    assert_eq!(old.status, StatusCode::FORBIDDEN, "they count no more");
    site.clock.advance(STEP);
    let code = app.code_at(site.clock.now());
    let done = browser.send(&remove, &page, &[("password", PASSWORD), ("code", &code)]).await;
    assert_eq!(done.location(), ACCOUNT);
    assert!(site.store.lock().recovery_codes.is_empty());
    assert_eq!(Browser::new(&site).log_in(PASSWORD).await.location(), "/account");
}

#[tokio::test]
async fn a_secret_is_sealed_and_in_no_event() {
    let site = Site::new();
    let (_, app, codes) = enrolled(&site).await;
    let sealed = site.store.lock().authenticators[0].sealed.clone();
    let secret = app.in_groups().replace(' ', "");
    let log = std::fs::read_to_string(&site.log).unwrap();
    for kept in [&sealed, &log] {
        assert!(!kept.contains(&secret) && !codes.iter().any(|code| kept.contains(code)));
    }
    site.store.lock().authenticators[0].sealed = sealed.replace("nonce", "nonse");
    let mut browser = Browser::new(&site);
    let page = half_way(&mut browser).await;
    let code = app.code_at(site.clock.now());
    let broken = browser.send(CODE, &page, &[("code", &code)]).await;
    assert_eq!(broken.status, StatusCode::SERVICE_UNAVAILABLE, "never open for that");
}
