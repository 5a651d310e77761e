//! Passkeys in the hands of who should have none: what they may send, and what it opens.

use axum::http::StatusCode;
use serde_json::json;

use super::passkeys::LOGIN;
use super::support::{Browser, Site};

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
