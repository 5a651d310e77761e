//! How far guessing gets, at the bounds themselves.

use std::time::Duration;

use axum::http::StatusCode;

use crate::authorization_server::login::{Attempt, CODE, Guessed, RECOVERY_CODE};
use crate::authorization_server::session::CookieValue;
use crate::store::UserRow;

use super::support::{Browser, PASSWORD, Site};

const ELSEWHERE: &str = "203.0.113.1";

/// A try to log in as the administrator with a browser that nobody knows.
async fn attempt(site: &Site, address: &str) -> Attempt {
    let browser = CookieValue::generate(site.server.random.as_ref());
    let address = Some(address.parse().unwrap());
    Attempt::new(&site.server, "admin", &browser, address).await.unwrap()
}

/// Whether the try was let through; it failed then.
async fn guess(site: &Site, address: &str) -> bool {
    let attempt = attempt(site, address).await;
    let taken = attempt.take(&site.server).await.unwrap().is_none();
    if taken {
        attempt.failed(&site.server).await.unwrap();
    }
    taken
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn no_site_however_patient_locks_an_account_for_everybody() {
    let ipv4 = |host| format!("192.0.2.{host}");
    let ipv6 = |network| format!("2001:db8:1:{network:x}::1");
    for address in [ipv4 as fn(u8) -> String, ipv6] {
        let site = Site::new();
        for _ in 0..40 {
            for number in 0..20 {
                guess(&site, &address(number)).await;
            }
            let owner = attempt(&site, ELSEWHERE).await;
            assert_eq!(owner.take(&site.server).await.unwrap(), None, "{}", address(0));
            site.clock.advance(Duration::from_mins(15));
        }
    }
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn the_networks_of_one_site_share_its_tries_at_an_account() {
    let site = Site::new();
    let mut through = 0;
    for network in 0..200 {
        through += usize::from(guess(&site, &format!("2001:db8:1:{network:x}::1")).await);
    }
    assert_eq!(through, 10);
    assert!(guess(&site, ELSEWHERE).await);
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn tries_at_once_get_no_further_than_one_after_the_other() {
    let site = Site::new();
    let mut through = 0;
    for _ in 0..50 {
        let attempt = attempt(&site, "192.0.2.1").await; // whose password nobody has looked at yet
        through += usize::from(attempt.take(&site.server).await.unwrap().is_none());
    }
    assert_eq!(through, 10);
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn tries_at_once_from_many_sites_get_no_further_either() {
    for (step, most) in [(None, 100), (Some(CODE), 20)] {
        let site = Site::new();
        drop(site.administrator().await);
        let user = site.store.lock().users[0].clone();
        let mut through = Vec::new();
        for host in 0..150 {
            // What was typed is not looked at yet.
            let attempt = attempt_at(&site, step, (&user, &format!("198.51.{host}.1"))).await;
            if attempt.take(&site.server).await.unwrap().is_none() {
                through.push(attempt);
            }
        }
        assert_eq!(through.len(), most);
        let late = attempt_at(&site, step, (&user, ELSEWHERE)).await;
        assert!(late.take(&site.server).await.unwrap().is_some());
        through[0].succeeded(&site.server, user.id).await.unwrap();
        assert!(late.take(&site.server).await.unwrap().is_none(), "who was right counts no more");
    }
}

/// A try at a password, or at what comes after it, with a browser that nobody knows.
async fn attempt_at(
    site: &Site,
    step: Option<Guessed>,
    (user, address): (&UserRow, &str),
) -> Attempt {
    let browser = CookieValue::generate(site.server.random.as_ref());
    let from = (&browser, address.parse().ok());
    let attempt = match step {
        None => Attempt::new(&site.server, &user.username, &browser, from.1).await,
        Some(step) => Attempt::at_second_step(&site.server, step, user, from).await,
    };
    attempt.unwrap()
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn guessing_from_many_sites_is_stopped_for_the_rest_of_the_hour() {
    let site = Site::new();
    let mut through = 0;
    for host in 0..150 {
        through += usize::from(guess(&site, &format!("198.51.{host}.1")).await);
    }
    assert_eq!(through, 100);
    site.clock.advance(Duration::from_mins(59));
    assert!(!guess(&site, ELSEWHERE).await);
    site.clock.advance(Duration::from_mins(1));
    assert!(guess(&site, ELSEWHERE).await);
}

/// Whoever shuts the others out for an hour.
async fn lock(site: &Site) {
    for host in 0..100 {
        guess(site, &format!("198.51.{host}.1")).await;
    }
    assert!(!guess(site, ELSEWHERE).await);
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn logging_out_everywhere_leaves_the_browser_that_asks_for_it_known() {
    let site = Site::new();
    let mut owner = site.administrator().await;
    let mut other = Browser::new(&site);
    assert_eq!(other.log_in(PASSWORD).await.location(), "/account");
    lock(&site).await;
    let page = owner.get("/account").await;
    let token = form_token(&page.body, "everywhere");
    let fields = [("form", token.as_str()), ("everywhere", "yes")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    owner.post("/logout", &fields).await;
    assert_eq!(owner.log_in(PASSWORD).await.location(), "/account");
    assert_eq!(other.log_in(PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn a_browser_in_which_a_password_was_chosen_by_a_link_is_known() {
    let site = Site::new();
    let mut owner = site.administrator().await;
    let page = owner.get("/account").await;
    owner.send("/logout", &page, &[]).await;
    lock(&site).await;
    assert_eq!(owner.log_in(PASSWORD).await.location(), "/account");
}

/// Two clicks on "Log in".
#[tokio::test]
async fn a_browser_that_logs_in_twice_at_once_is_let_in_twice() {
    let site = Site::new();
    let mut owner = Browser::new(&site);
    let user = site.administrator().await;
    drop(user);
    let page = owner.get("/login").await;
    let mut again = Browser::new(&site);
    again.cookies.lock().unwrap().extend(owner.cookies.lock().unwrap().clone());
    let fields = [("username", "admin"), ("password", PASSWORD)];
    let (one, two) =
        tokio::join!(owner.send("/login", &page, &fields), again.send("/login", &page, &fields));
    assert_eq!([one.location(), two.location()], ["/account", "/account"]);
}

/// The hidden token of the form that has this field.
fn form_token(body: &str, field: &str) -> String {
    let at = body.find(&format!("name=\"{field}\"")).unwrap();
    let form = body[..at].rfind("name=\"form\" value=\"").unwrap();
    body[form..].split('"').nth(3).unwrap().to_owned()
}

/// People of one office who mistype once in a while never add up to a lock.
#[tokio::test]
async fn failures_that_are_far_apart_are_not_counted_together() {
    let site = Site::new();
    for _ in 0..300 {
        assert!(guess(&site, "192.0.2.1").await);
        site.clock.advance(Duration::from_mins(5));
    }
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn who_fills_the_bounds_of_passwords_keeps_nobody_from_typing_a_code() {
    let site = Site::new();
    drop(site.link().await);
    lock(&site).await;
    assert!(!guess(&site, ELSEWHERE).await);
    let user = site.store.lock().users[0].clone();
    let browser = CookieValue::generate(site.server.random.as_ref());
    for guessed in [CODE, RECOVERY_CODE] {
        let from = (&browser, Some(ELSEWHERE.parse().unwrap()));
        let attempt = Attempt::at_second_step(&site.server, guessed, &user, from).await.unwrap();
        assert_eq!(attempt.take(&site.server).await.unwrap(), None, "{guessed:?}");
    }
}
