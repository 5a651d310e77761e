//! How far guessing gets, at the bounds themselves.

use std::time::Duration;

use crate::authorization_server::login::Attempt;
use crate::authorization_server::session::CookieValue;

use super::support::Site;

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

/// People of one office who mistype once in a while never add up to a lock.
#[tokio::test]
async fn failures_that_are_far_apart_are_not_counted_together() {
    let site = Site::new();
    for _ in 0..300 {
        assert!(guess(&site, "192.0.2.1").await);
        site.clock.advance(Duration::from_mins(5));
    }
}
