//! Accounts without a password over sockets: from the one-time link to what the tokens say, begun at one replica and finished at
//! the other.

use serde_json::json;

use crate::support::product::Product;
use crate::support::raw_http::Answer;

use super::browser::{Browser, PASSWORD, hidden};
use super::flow::text;
use super::passkeys::software_passkey::{SoftwarePasskey, question};
use super::passkeys::{ORIGIN, SETTINGS, browser, form, payload, replicas, tokens};

/// What the page of this link leads to.
async fn begins(browser: &mut Browser<'_>, link: &str) -> Answer {
    let page = browser.get(link).await;
    let action = format!("{link}/passkey");
    let token = hidden(form(&page, &action), "form");
    browser.post(&action, &[("form", &token), ("name", "key")]).await
}

/// The passkey that is made on this page, and the fields that say so.
fn made(page: &Answer, link: &str) -> (SoftwarePasskey, [(&'static str, String); 3]) {
    let shown = form(page, &format!("{link}/passkey/made"));
    let asked = question(shown);
    let mut passkey = SoftwarePasskey::new(ORIGIN, &asked);
    let answer = passkey.registers(&asked);
    let [token, challenge] = ["form", "challenge"].map(|name| hidden(shown, name));
    (passkey, [("form", token), ("challenge", challenge), ("assertion", answer)])
}

async fn finishes(
    browser: &mut Browser<'_>,
    link: &str,
    fields: &[(&'static str, String); 3],
) -> Answer {
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    browser.post(&format!("{link}/passkey/made"), &fields).await
}

/// What the tokens of this administrator's log-in say of it.
async fn claims(product: &Product, passkey: &mut SoftwarePasskey) -> serde_json::Value {
    let tokens = tokens(product, passkey, "").await;
    payload(text(&tokens, "access_token"))
}

// WebAuthn Level 3 §7.1; RFC 8176 §2
#[tokio::test]
async fn who_set_up_a_passkey_has_tokens_of_two_factors_and_no_password() {
    let settings = format!("{SETTINGS}[authorization_server]\nsecond_factor = \"everyone\"\n");
    let (one, two, _keys) = replicas(&settings).await;
    let link = one.first_link().path().to_owned();
    let (mut here, mut there) = (browser(&one), browser(&two));
    let page = begins(&mut here, &link).await;
    let (mut passkey, fields) = made(&page, &link);
    there.cookies.clone_from(&here.cookies);
    let shown = finishes(&mut there, &link, &fields).await;
    assert!(shown.status == 200 && shown.body.contains("You have no password"), "{shown:?}");
    assert_eq!(there.get("/account").await.status, 200);
    let again = finishes(&mut here, &link, &fields).await;
    assert_eq!(again.status, 404, "one replica asked, the other took it: {again:?}");
    let said = claims(&one, &mut passkey).await;
    assert_eq!((&said["acr"], &said["amr"]), (&json!("mfa"), &json!(["pop", "user", "mfa"])));
    let set = two.audited(|event| event["event_type"] == "person.passkey.set").await;
    assert_eq!(set["payload"], json!({ "first": true }));
}

// N108
#[tokio::test]
async fn a_password_opens_nothing_of_who_has_none() {
    let product = Product::start(SETTINGS).await;
    let link = product.first_link().path().to_owned();
    let mut mine = browser(&product);
    let page = begins(&mut mine, &link).await;
    let (_, fields) = made(&page, &link);
    assert_eq!(finishes(&mut mine, &link, &fields).await.status, 200);
    for name in ["admin", "nobody"] {
        let mut browser = browser(&product);
        let login = browser.get("/login").await;
        let token = hidden(form(&login, "/login"), "form");
        let fields = [("form", &*token), ("username", name), ("password", PASSWORD)];
        let refused = browser.post("/login", &fields).await;
        assert!(refused.status == 403 && refused.body.contains("is not right"), "{name}");
    }
    let failed = product.audited(|event| event["event_type"] == "person.login.failed").await;
    assert_eq!(failed["payload"], json!({ "method": "password", "reason": "credentials" }));
    assert_eq!(failed["requester_id"], json!(null), "nobody is named");
}
