//! Who may add or remove a passkey, and what is none.

use std::time::Duration;

use axum::http::StatusCode;

use super::passkeys::{ACCOUNT, CODE, NEW, ORIGIN, REMOVE, begins, enrolled, form};
use super::software_passkey::{PRESENT, SoftwarePasskey, question};
use super::support::{Browser, PASSWORD, Site, between};

/// Registers one more, with what `spoil` makes of it; gives the answer's status and words.
async fn registers(
    browser: &mut Browser,
    fields: &[(&str, &str)],
    spoil: impl Fn(&mut SoftwarePasskey),
) -> (StatusCode, String) {
    let page = begins(browser, fields).await;
    if page.status != StatusCode::OK {
        return (page.status, page.body);
    }
    let asked = question(form(&page, ACCOUNT));
    let mut passkey = SoftwarePasskey::new(ORIGIN, &asked);
    spoil(&mut passkey);
    let answer = passkey.registers(&asked);
    let shown = browser.send(ACCOUNT, &page, &[("assertion", &answer)]).await;
    (shown.status, shown.body)
}

// WebAuthn Level 3 §7.1
/// Makes of a right answer a wrong one.
type Spoil = fn(&mut SoftwarePasskey);

#[tokio::test]
async fn what_is_no_passkey_of_ours_is_not_added() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let spoil: [(&str, Spoil); 9] = [
        ("origin", |key| key.origin = "https://evil.example".to_owned()),
        ("rp id", |key| key.rp_id = "evil.example".to_owned()),
        ("not verified", |key| key.flags = PRESENT),
        ("nobody there", |key| key.flags = 0x04),
        ("type", |key| key.client_type = Some("webauthn.get")),
        ("frame", |key| key.cross_origin = true),
        ("algorithm", |key| key.algorithm = -8),
        ("backed up without being eligible", |key| key.flags |= 0x10),
        ("long id", |key| key.id = vec![7; 1024]),
    ];
    for (name, spoil) in spoil {
        let (status, body) = registers(&mut browser, &[], spoil).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {body}");
        assert!(body.contains("cannot be used here"), "{name}");
    }
    let page = begins(&mut browser, &[]).await;
    let refused = browser.send(ACCOUNT, &page, &[("assertion", "{}")]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(site.store.lock().passkeys.is_empty());
    assert_eq!(registers(&mut browser, &[], |_| {}).await.0, StatusCode::OK);
}

// WebAuthn Level 3 §13.4.3; RFC 6749 §10.12 — N103
#[tokio::test]
async fn what_is_to_be_made_belongs_to_the_session_and_is_made_once() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = begins(&mut browser, &[]).await;
    let asked = question(form(&page, ACCOUNT));
    let answer = SoftwarePasskey::new(ORIGIN, &asked).registers(&asked);
    let fields = [("assertion", &*answer)];
    let mut other = Browser::new(&site);
    other.log_in(PASSWORD).await;
    assert_eq!(other.send(ACCOUNT, &page, &fields).await.status, StatusCode::FORBIDDEN);
    site.clock.advance(Duration::from_mins(10));
    let late = browser.send(ACCOUNT, &page, &fields).await;
    assert!(late.status == StatusCode::FORBIDDEN && late.body.contains("waited too long"));
    assert!(site.store.lock().passkeys.is_empty());
}

#[tokio::test]
async fn adding_one_wants_the_password_and_a_second_factor_of_who_has_one() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = browser.get(ACCOUNT).await;
    let wrong = [("name", "x"), ("password", "a wrong password")];
    let refused = browser.send(NEW, &page, &wrong).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("The password is not right."));
    let nameless = [("name", " \u{202e} "), ("password", PASSWORD)];
    assert_eq!(browser.send(NEW, &page, &nameless).await.status, StatusCode::BAD_REQUEST);
    let site = Site::new();
    let (mut browser, mut passkey, _) = enrolled(&site).await;
    let (status, body) = registers(&mut browser, &[], |_| {}).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the password is not enough any more: {body}");
    let (status, _) = registers(&mut browser, &[("code", "000000")], |_| {}).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let page = browser.get(ACCOUNT).await;
    let answer = passkey.signs(&question(form(&page, NEW)));
    let fields = [("name", "second"), ("password", PASSWORD), ("assertion", &answer)];
    let page = browser.send(NEW, &page, &fields).await;
    let asked = question(form(&page, ACCOUNT));
    let excluded = asked["excludeCredentials"].as_array().unwrap();
    assert_eq!(excluded.len(), 1, "no authenticator holds two");
    let mut second = SoftwarePasskey::new(ORIGIN, &asked);
    assert_eq!(second.handle, passkey.handle, "one person, one handle");
    let answer = second.registers(&asked);
    assert_eq!(browser.send(ACCOUNT, &page, &[("assertion", &answer)]).await.location(), ACCOUNT);
    assert_eq!(site.store.lock().passkeys.len(), 2);
}

#[tokio::test]
async fn a_code_of_the_app_confirms_as_well_and_an_app_wants_a_passkey() {
    let site = Site::new();
    let (mut browser, mut passkey, _) = enrolled(&site).await;
    let page = browser.get("/account/authenticator").await;
    let app = crate::authorization_server::second_factor::Authenticator::typed_in(&between(
        &page.body,
        "<code class=\"secret\">",
    ));
    let code = app.code_at(crate::time::Clock::now(&*site.clock));
    let fields = [("password", PASSWORD), ("code", &*code)];
    let refused = browser.send("/account/authenticator", &page, &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "or it would be a way round the passkey");
    assert!(site.store.lock().authenticators.is_empty());
    let answer = passkey.signs(&question(form(&refused, "/account/authenticator")));
    let fields = [("password", PASSWORD), ("code", &*code), ("assertion", &*answer)];
    let set = browser.send("/account/authenticator", &refused, &fields).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    site.clock.advance(Duration::from_mins(1));
    let code = app.code_at(crate::time::Clock::now(&*site.clock));
    let (status, body) = registers(&mut browser, &[("code", &code)], |_| {}).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let mut other = Browser::new(&site);
    other.log_in(PASSWORD).await;
    let page = other.get(CODE).await;
    assert!(page.body.contains("or a passkey of yours") && page.body.contains("id=\"code\""));
}

#[tokio::test]
async fn removing_one_wants_the_same() {
    let site = Site::new();
    let (mut browser, _, shown) = enrolled(&site).await;
    let page = browser.get(ACCOUNT).await;
    let id = site.store.lock().passkeys[0].credential_id.clone();
    for fields in [
        vec![("passkey", &*id), ("password", PASSWORD)],
        vec![("passkey", &*id), ("password", "a wrong password"), ("code", "0000-0000-0000-0000")],
        vec![("passkey", &*id), ("password", PASSWORD), ("assertion", "{}")],
    ] {
        assert_eq!(browser.send(REMOVE, &page, &fields).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(site.store.lock().passkeys.len(), 1);
    let code = between(&shown.body, "<li><code>");
    let fields = [("passkey", &*id), ("password", PASSWORD), ("code", &*code)];
    assert_eq!(browser.send(REMOVE, &page, &fields).await.location(), ACCOUNT);
    assert!(site.store.lock().passkeys.is_empty());
}

// WebAuthn Level 3 §7.1
#[tokio::test]
async fn a_credential_of_somebody_else_is_not_added_and_ten_are_enough() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let (mut first, mut taken) = (None, None);
    for _ in 0..2 {
        site.store.lock().passkeys.clear();
        let page = begins(&mut browser, &[]).await;
        let asked = question(form(&page, ACCOUNT));
        let passkey = first.get_or_insert_with(|| SoftwarePasskey::new(ORIGIN, &asked));
        let answer = passkey.registers(&asked);
        if let Some(mut row) = taken.take() {
            let other: &mut crate::store::PasskeyRow = &mut row;
            other.user_id = "01930000-0000-7000-8000-000000000009".parse().unwrap();
            site.store.lock().passkeys.push(row);
            let refused = browser.send(ACCOUNT, &page, &[("assertion", &answer)]).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST);
            assert!(refused.body.contains("is not added"), "{}", refused.body);
        } else {
            browser.send(ACCOUNT, &page, &[("assertion", &answer)]).await;
            taken = site.store.lock().passkeys.pop();
        }
    }
    let mut rows = vec![site.store.lock().passkeys[0].clone(); 10];
    for (n, row) in rows.iter_mut().enumerate() {
        row.credential_id = format!("AAAA{n}");
        row.user_id = site.store.lock().users[0].id;
    }
    site.store.lock().passkeys = rows;
    assert!(!browser.get(ACCOUNT).await.body.contains("Add a passkey"));
}
