//! Logging out for a client, and clients that are told of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;
use crate::support::raw_http::Answer;
use crate::support::until::until;

use super::browser::{Browser, PASSWORD, hidden};
use super::client::{Asking, REDIRECT, VERIFIER, told};
use super::flow::post;

const BYE: &str = "https://portal.example/bye?from=broker";

/// A broker with two clients that an operator knows; the first is told where `portal` listens.
async fn product(portal: &FakeHttp) -> Product {
    let client = |id: &str, more: &str| {
        format!(
            "[[authorization_server.client]]\nclient_id = \"{id}\"\nsecret = \"{id}-secret\"\n\
             grants = [\"authorization_code\", \"refresh_token\"]\nredirect_uris = [\"{REDIRECT}\"]\n{more}\n"
        )
    };
    let more = format!(
        "post_logout_redirect_uris = [\"{BYE}\"]\nbackchannel_logout_uri = \"{}told\"",
        portal.url()
    );
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n{}{}",
        client("portal", &more),
        client("other", "")
    );
    Product::start(&settings).await
}

/// The tokens of a client that the person of this browser has just allowed something.
async fn tokens(product: &Product, browser: &mut Browser<'_>, client: &str) -> Value {
    let asking = Asking::new(client).with("scope", "openid public:read");
    let location = browser.answers(&asking.path(), "allow").await;
    let (code, secret) = (told(&location)["code"].clone(), format!("{client}-secret"));
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("client_id", client),
        ("client_secret", &secret),
        ("code_verifier", VERIFIER),
    ];
    let answer = post(product, "/token", &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// In the same browser, without having logged out: as a step-up does.
async fn logs_in_again(browser: &mut Browser<'_>) {
    let cookies = browser.cookies.clone();
    browser.cookies.retain(|name, _| !name.contains("session"));
    let page = browser.get("/login").await;
    browser.cookies.extend(cookies.clone());
    let form = hidden(&page.body, "form");
    let fields = [("form", form.as_str()), ("username", "admin"), ("password", PASSWORD)];
    assert_eq!(browser.post("/login", &fields).await.status, 303);
    assert_ne!(browser.cookies, cookies, "a new session");
}

async fn refreshes(product: &Product, tokens: &Value, client: &str) -> u16 {
    let secret = format!("{client}-secret");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", client),
        ("client_secret", &secret),
    ];
    post(product, "/token", &fields).await.status
}

fn asks(fields: &[(&str, &str)]) -> String {
    format!("/end-session?{}", Serializer::new(String::new()).extend_pairs(fields).finish())
}

/// Answers the page that asks.
async fn answers(browser: &mut Browser<'_>, page: &Answer, decision: &str) -> Answer {
    let names = ["form", "client_id", "post_logout_redirect_uri", "state"];
    let values = names.map(|name| hidden(&page.body, name).replace("&#38;", "&"));
    let mut fields: Vec<_> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
    fields.push(("decision", decision));
    browser.post("/end-session/confirm", &fields).await
}

fn part(token: &str, which: usize) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(which).unwrap()).unwrap();
    serde_json::from_slice(&part).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

// OIDC RP-Initiated Logout §2, §3 — N51
#[tokio::test]
async fn a_client_has_its_person_log_out_and_led_back() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let mine = tokens(&product, &mut browser, "portal").await;
    let others = tokens(&product, &mut browser, "other").await;
    let path = asks(&[
        ("id_token_hint", text(&mine, "id_token")),
        ("post_logout_redirect_uri", BYE),
        ("state", "a b&c"),
    ]);
    let page = browser.get(&path).await;
    assert_eq!(page.status, 200, "{page:?}");
    let done = answers(&mut browser, &page, "log_out").await;
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(done.header("location"), format!("{BYE}&state=a%20b%26c"));
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    assert_eq!(refreshes(&product, &mine, "portal").await, 400);
    assert_eq!(refreshes(&product, &others, "other").await, 200, "its own grant alone");
    let again = browser.get(&path).await;
    assert!(again.header("location").starts_with(BYE), "{again:?}");
}

// OIDC RP-Initiated Logout §2
#[tokio::test]
async fn a_person_may_end_what_every_app_was_allowed() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let others = tokens(&product, &mut browser, "other").await;
    let page = browser.get(&asks(&[("client_id", "portal")])).await;
    let done = answers(&mut browser, &page, "everything").await;
    assert_eq!((done.status, done.header("location").as_str()), (303, "/logout"));
    assert_eq!(refreshes(&product, &others, "other").await, 400);
}

// OIDC RP-Initiated Logout §3 — N2, N66
#[tokio::test]
async fn nobody_is_led_to_where_the_client_is_not() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let other = tokens(&product, &mut browser, "other").await;
    let to = ("post_logout_redirect_uri", BYE);
    for fields in [
        vec![("client_id", "portal"), ("post_logout_redirect_uri", "https://portal.example/bye")],
        vec![("client_id", "portal"), ("post_logout_redirect_uri", "https://evil.example/")],
        vec![("client_id", "other"), to],
        vec![("id_token_hint", text(&other, "id_token")), to],
        vec![("id_token_hint", text(&other, "id_token")), ("client_id", "portal"), to],
        vec![("client_id", "nobody"), to],
        vec![to],
        vec![("client_id", "portal"), ("client_id", "portal"), to],
    ] {
        let refused = browser.get(&asks(&fields)).await;
        assert_eq!((refused.status, refused.header("location").as_str()), (400, ""), "{fields:?}");
        let posted = browser.post("/end-session", &fields).await;
        assert_eq!(posted.status, 400, "{fields:?}");
    }
    assert_eq!(browser.get("/account").await.status, 200, "nobody was logged out");
}

// OIDC RP-Initiated Logout §2, §3
#[tokio::test]
async fn an_id_token_that_cannot_be_checked_keeps_nobody_logged_in() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let mine = tokens(&product, &mut browser, "portal").await;
    let to = ("post_logout_redirect_uri", BYE);
    for hint in [text(&mine, "access_token"), "e30.e30.e30"] {
        let hint = ("id_token_hint", hint);
        let unsaid = browser.get(&asks(&[hint, to])).await;
        assert_eq!((unsaid.status, unsaid.header("location").as_str()), (303, "/logout"));
        let astray = browser.get(&asks(&[hint, ("client_id", "other"), to])).await;
        assert_eq!((astray.status, astray.header("location").as_str()), (400, ""));
        let page = browser.get(&asks(&[hint, ("client_id", "portal"), to])).await;
        assert_eq!((page.status, hidden(&page.body, "client_id").as_str()), (200, "portal"));
    }
    let page = browser.get(&asks(&[("client_id", "portal"), to])).await;
    let done = answers(&mut browser, &page, "log_out").await;
    assert_eq!(done.header("location"), BYE);
}

// OIDC Back-Channel Logout §2.1
#[tokio::test]
async fn who_logged_in_once_more_is_logged_out_of_all_that_came_before() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let mine = tokens(&product, &mut browser, "portal").await;
    logs_in_again(&mut browser).await;
    let page = browser.get(&asks(&[("client_id", "other")])).await;
    let done = answers(&mut browser, &page, "everything").await;
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(refreshes(&product, &mine, "portal").await, 400);
    let told = until("the client is told", async || portal.asked().pop()).await;
    let token = told.body.strip_prefix("logout_token=").unwrap();
    let known_as = text(&part(text(&mine, "id_token"), 1), "sid").to_owned();
    assert_eq!(text(&part(token, 1), "sid"), known_as);
}

// OIDC RP-Initiated Logout §6 — N103
#[tokio::test]
async fn no_other_site_logs_anybody_out() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.get(&asks(&[("client_id", "portal"), ("state", "one")])).await;
    let form = hidden(&page.body, "form");
    for (form, state) in [("", "one"), (form.as_str(), "two"), ("AAAA", "one")] {
        let fields =
            [("form", form), ("client_id", "portal"), ("state", state), ("decision", "log_out")];
        assert_eq!(browser.post("/end-session/confirm", &fields).await.status, 403);
    }
    assert_eq!(browser.get("/account").await.status, 200);
}

// OIDC RP-Initiated Logout §2
#[tokio::test]
async fn what_is_posted_comes_again_as_a_question_without_the_id_token() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let mine = tokens(&product, &mut browser, "portal").await;
    let fields = [
        ("id_token_hint", text(&mine, "id_token")),
        ("post_logout_redirect_uri", BYE),
        ("state", "x"),
    ];
    let posted = browser.post("/end-session", &fields).await;
    let location = posted.header("location");
    assert!(location.starts_with("/end-session?client_id=portal&"), "{posted:?}");
    let page = browser.get(&location).await;
    assert_eq!((page.status, hidden(&page.body, "state").as_str()), (200, "x"));
}

// OIDC Back-Channel Logout §2.4, §2.5
#[tokio::test]
async fn a_client_is_told_that_a_log_in_is_over() {
    let portal = FakeHttp::start(Reply::status(200)).await;
    let product = product(&portal).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let mine = tokens(&product, &mut browser, "portal").await;
    tokens(&product, &mut browser, "other").await;
    let page = browser.get("/logout").await;
    let form = hidden(&page.body, "form");
    assert_eq!(browser.post("/logout", &[("form", form.as_str())]).await.status, 303);
    let told = until("the client is told", async || portal.asked().pop()).await;
    let token = told.body.strip_prefix("logout_token=").unwrap();
    assert_eq!((told.path.as_str(), text(&part(token, 0), "typ")), ("/told", "logout+jwt"));
    let (claims, id) = (part(token, 1), part(text(&mine, "id_token"), 1));
    for name in ["iss", "sub", "aud", "sid"] {
        assert_eq!(text(&claims, name), text(&id, name), "{name}");
    }
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(claims.get("nonce").is_none() && claims["jti"].is_string());
    let event =
        product.audited(|event| event["event_type"] == "oauth.client.logout_notified").await;
    assert_eq!(
        (event["payload"]["delivered"].as_bool(), portal.count()),
        (Some(true), 1),
        "{event}"
    );
}
