//! Passkeys in the hands of who should have none: what they may send, and what it opens.

use axum::http::StatusCode;
use serde_json::json;

use super::passkeys::{ACCOUNT, CODE, LOGIN, ORIGIN, begins, enrolled, form, logs_in};
use super::software_passkey::{SoftwarePasskey, question};
use super::support::{Browser, PASSWORD, Site};
use crate::store::PersonStore as _;
use crate::time::Clock as _;

/// What opens nothing, of a credential that nobody has.
fn assertion(number: u32) -> String {
    let id = format!("AAAAAAAAAAAA{number:04}");
    let response = json!({
        "authenticatorData": "AA", "clientDataJSON": "AA", "signature": "AA", "userHandle": null,
    });
    json!({ "id": id, "rawId": id, "type": "public-key", "extensions": {}, "response": response })
        .to_string()
}

// N108
#[tokio::test]
async fn who_names_another_credential_each_time_is_stopped_like_who_guesses_passwords() {
    let site = Site::new();
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await;
    for number in 0..200 {
        // The same page each time: what it asked was answered by the first.
        let sent = browser.send(LOGIN, &page, &[("assertion", &assertion(number))]).await;
        assert_eq!(sent.status, StatusCode::FORBIDDEN, "{number}");
    }
    let counted = || site.store.lock().attempts.len();
    let before = counted();
    for number in 200..210 {
        let sent = browser.send(LOGIN, &page, &[("assertion", &assertion(number))]).await;
        assert_eq!(sent.status, StatusCode::TOO_MANY_REQUESTS, "{number}");
        assert!(sent.headers.contains_key("retry-after"));
    }
    assert_eq!(counted(), before, "nothing more is stored");
}

// N51
#[tokio::test]
async fn since_a_new_password_a_passkey_opens_nothing_alone_until_it_was_shown_beside_it() {
    let site = Site::new();
    // Whoever knew the old password may have made it.
    let (_, mut passkey, _) = enrolled(&site).await;
    let (id, hash) = {
        let inner = site.store.lock();
        (inner.users[0].id, inner.users[0].own_login.password_hash().unwrap().to_owned())
    };
    site.store.set_password(id, &hash, None, site.clock.now()).await.unwrap();
    let refused = logs_in(&mut Browser::new(&site), &mut passkey).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("does not open an account here"), "{}", refused.body);
    let mut browser = Browser::new(&site);
    assert_eq!(browser.log_in(PASSWORD).await.location(), CODE, "it is a second factor still");
    let page = browser.get(CODE).await;
    let answer = passkey.signs(&question(form(&page, CODE)));
    assert_eq!(browser.send(CODE, &page, &[("assertion", &answer)]).await.location(), "/account");
    assert_eq!(logs_in(&mut Browser::new(&site), &mut passkey).await.location(), "/account");
}

#[tokio::test]
async fn what_was_begun_before_there_was_a_second_factor_adds_no_passkey_beside_it() {
    let site = Site::new();
    let mut thief = site.administrator().await;
    let begun = begins(&mut thief, &[]).await;
    let mut owner = Browser::new(&site);
    assert_eq!(owner.log_in(PASSWORD).await.location(), "/account");
    let page = owner.get("/account/authenticator").await;
    owner.sets_up(&site, &page).await;
    let asked = question(form(&begun, ACCOUNT));
    let answer = SoftwarePasskey::new(ORIGIN, &asked).registers(&asked);
    let refused = thief.send(ACCOUNT, &begun, &[("assertion", &answer)]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("is not added"), "{}", refused.body);
    assert!(site.store.lock().passkeys.is_empty());
}
