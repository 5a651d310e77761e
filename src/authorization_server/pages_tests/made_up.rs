//! Session cookies that nobody was given, and those of versions that marked none.

use axum::http::StatusCode;

use crate::store::{Digest, SessionRow};

use super::support::{Browser, Site};

const COOKIE: &str = "__Host-broker_session";

// N108
#[tokio::test]
async fn cookies_that_nobody_was_given_cost_so_many_looks_and_keep_nobody_out() {
    let site = Site::new();
    let (mut owner, mut stranger) = (site.administrator().await, Browser::new(&site));
    let before = site.store.lock().session_looks;
    for n in 0..1000 {
        stranger.cookies.lock().unwrap().insert(COOKIE.to_owned(), format!("{n:043}"));
        assert_eq!(stranger.get("/account").await.location(), "/login");
    }
    assert_eq!(site.store.lock().session_looks - before, 600);
    assert_eq!(owner.get("/account").await.status, StatusCode::OK);
}

/// While replicas are upgraded, and for the half day that such a session lives.
#[tokio::test]
async fn a_session_of_a_version_that_marked_none_goes_on() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let value = "A".repeat(43);
    let digest = Digest::of(&format!("cookie|broker_session|{value}"));
    let is_login = |row: &&mut SessionRow| row.method.as_deref() == Some("pwd");
    site.store.lock().sessions.iter_mut().find(is_login).unwrap().session = digest;
    browser.cookies.lock().unwrap().insert(COOKIE.to_owned(), value);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
}
