//! Pushed authorization requests (RFC 9126): the client sends its request itself, the browser carries a reference.

use std::sync::Arc;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, register, told};
use super::flow::{post, text};

const CLIENT: &str = "[[authorization_server.client]]\nclient_id = \"bank\"\n\
    grants = [\"authorization_code\"]\nredirect_uris = [\"http://127.0.0.1:53682/callback\"]\n\
    require_pushed_authorization_requests = true\n";

async fn push(product: &Product, body: String) -> Answer {
    let form = "application/x-www-form-urlencoded";
    product.send(Request::new("POST", "/par").header("content-type", form).body(body)).await
}

/// The reference to this request.
async fn pushed(product: &Product, asking: &Asking) -> String {
    let answer = push(product, asking.query()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["expires_in"], 90);
    text(&answer.json(), "request_uri").to_owned()
}

fn by_reference(client: &str, request_uri: &str) -> String {
    let pairs = [("client_id", client), ("request_uri", request_uri)];
    format!("/authorize?{}", Serializer::new(String::new()).extend_pairs(pairs).finish())
}

// RFC 9126 §2, §4
#[tokio::test]
async fn a_request_that_was_pushed_leads_to_tokens() {
    let product = Product::start(CLIENT).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let reference = pushed(&product, &Asking::new("bank")).await;
    let location = browser.answers(&by_reference("bank", &reference), "allow").await;
    let told = told(&location);
    assert_eq!(told["state"], "s t+ä");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &told["code"]),
        ("redirect_uri", REDIRECT),
        ("client_id", "bank"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(post(&product, "/token", &fields).await.status, 200);
}

// RFC 9126 §4, §7.1, §7.3 — N21
#[tokio::test]
async fn a_reference_works_once_and_for_its_own_client() {
    let product = Product::start(CLIENT).await;
    let other = register(&product, &[REDIRECT]).await;
    let reference = pushed(&product, &Asking::new("bank")).await;
    let go = |client: &str, reference: &str| {
        let path = by_reference(client, reference);
        let product = &product;
        async move { product.get(&path).await }
    };
    assert_eq!(go(&other, &reference).await.status, 400, "another client's");
    assert_eq!(go("bank", &reference).await.status, 303, "which has not used it up");
    let again = go("bank", &reference).await;
    assert_eq!(again.status, 400, "{again:?}");
    assert!(again.body.contains("This request is over"), "{again:?}");
    let guessed = "urn:ietf:params:oauth:request_uri:guess";
    assert_eq!(go("bank", guessed).await.status, 400);
}

/// The reference is not the handle of a page: else the client could answer in place of `/authorize`.
#[tokio::test]
async fn a_reference_opens_no_page_and_a_page_is_no_reference() {
    let product = Product::start(CLIENT).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let reference = pushed(&product, &Asking::new("bank")).await;
    let handle = reference.strip_prefix("urn:ietf:params:oauth:request_uri:").unwrap();
    let page = browser.get(&format!("/consent?request={handle}")).await;
    assert_eq!(page.status, 400, "{page:?}");
    let led = browser.get(&by_reference("bank", &reference)).await.header("location");
    let waiting = led.strip_prefix("/login?request=").unwrap();
    let reference = format!("urn:ietf:params:oauth:request_uri:{waiting}");
    assert_eq!(browser.get(&by_reference("bank", &reference)).await.status, 400);
    assert_eq!(browser.asked(&led).await.status, 200, "the page is still there");
}

// RFC 9126 §2.1, §2.3 — N22
#[tokio::test]
async fn what_authorize_would_refuse_is_refused_at_once() {
    let product = Product::start(CLIENT).await;
    let asking = Asking::new("bank");
    for (asking, error) in [
        (asking.clone().with("request_uri", "urn:x"), "invalid_request"),
        (asking.clone().with("redirect_uri", "https://evil.example/"), "invalid_request"),
        (asking.clone().with("code_challenge", ""), "invalid_request"),
        (asking.clone().with("response_type", "token"), "unsupported_response_type"),
        (asking.clone().with("resource", "https://evil.example/mcp"), "invalid_target"),
        (asking.clone().and("scope", "b"), "invalid_request"),
    ] {
        let answer = push(&product, asking.query()).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)), "{answer:?}");
    }
    let unknown = push(&product, Asking::new("nobody").query()).await;
    assert_eq!((unknown.status, &unknown.json()["error"]), (401, &json!("invalid_client")));
}

// RFC 9126 §5, §6
#[tokio::test]
async fn a_client_that_must_push_is_refused_without_and_others_are_not() {
    let product = Product::start(CLIENT).await;
    let refused = Asking::new("bank").send(&product).await;
    let told = told(&refused.header("location"));
    assert_eq!(told["error"], "invalid_request", "{refused:?}");
    let other = register(&product, &[REDIRECT]).await;
    let led = Asking::new(&other).send(&product).await;
    assert!(led.header("location").starts_with("/login?"), "{led:?}");
    let reference = pushed(&product, &Asking::new(&other)).await;
    assert_eq!(product.get(&by_reference(&other, &reference)).await.status, 303);
}

// RFC 9126 §5
#[tokio::test]
async fn metadata_says_where_to_push_and_whether_everybody_must() {
    let settings = "[authorization_server]\nrequire_pushed_authorization_requests = true\n";
    for (settings, required) in [("", json!(null)), (settings, json!(true))] {
        let product = Product::start(settings).await;
        let metadata = product.get("/.well-known/oauth-authorization-server").await.json();
        let endpoint = &metadata["pushed_authorization_request_endpoint"];
        assert_eq!(*endpoint, product.url("/par"));
        assert_eq!(metadata["require_pushed_authorization_requests"], required);
        let client = register(&product, &[REDIRECT]).await;
        let led = Asking::new(&client).send(&product).await.header("location");
        // Whoever registered itself is refused on a page, for a redirect to it would be open to all.
        assert_eq!(led.contains("error=") || led.is_empty(), required == json!(true), "{led}");
    }
}

const SECRET: &str = "one secret of a client, as good as another";

/// A broker for which no time passes, and a request of a client that proves itself.
async fn hosted() -> (Product, Asking) {
    let settings = format!(
        "{CLIENT}[[authorization_server.client]]\nclient_id = \"hosted\"\nsecret = \"{SECRET}\"\n\
        grants = [\"authorization_code\"]\nredirect_uris = [\"{REDIRECT}\"]\n"
    );
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let product = Product::start_at(&settings, clock).await;
    (product, Asking::new("hosted").and("client_secret", SECRET))
}

/// How many of these pushes were taken; the others were too many.
async fn taken(product: &Product, asking: &Asking, pushes: usize) -> usize {
    let mut taken = 0;
    for _ in 0..pushes {
        match push(product, asking.query()).await {
            answer if answer.status == 201 => taken += 1,
            answer => assert_eq!(answer.status, 429, "{answer:?}"),
        }
    }
    taken
}

/// The people of a hosted client come from anywhere, and its pushes from one address.
#[tokio::test]
async fn a_client_that_proves_itself_pushes_for_all_of_its_people() {
    let (product, hosted) = hosted().await;
    assert_eq!(taken(&product, &hosted, 100).await, 100);
    assert_eq!(taken(&product, &Asking::new("bank"), 61).await, 60);
}

#[tokio::test]
async fn a_reference_is_not_lost_when_its_client_has_used_up_its_share() {
    let (product, hosted) = hosted().await;
    let reference = pushed(&product, &hosted).await;
    assert_eq!(taken(&product, &hosted, 600).await, 599);
    assert_eq!(product.get(&by_reference("hosted", &reference)).await.status, 303);
}

// RFC 9126 §7.1 — N108
#[tokio::test]
async fn references_that_nobody_was_given_count_among_the_requests_of_strangers() {
    let (product, hosted) = hosted().await;
    let reference = pushed(&product, &hosted).await;
    for n in 0..=60 {
        let made_up = format!("urn:ietf:params:oauth:request_uri:{n:043}");
        let answer = product.get(&by_reference("hosted", &made_up)).await;
        assert_eq!(answer.status, if n < 60 { 400 } else { 429 }, "{n} {answer:?}");
    }
    assert_eq!(product.get(&by_reference("hosted", &reference)).await.status, 303);
}

// RFC 9126 §7.3 — N21
#[tokio::test]
async fn a_reference_that_was_used_is_looked_for_a_few_times_more_and_others_as_ever() {
    let (product, hosted) = hosted().await;
    let (used, other) = (pushed(&product, &hosted).await, pushed(&product, &hosted).await);
    let go = async |reference: &str| product.get(&by_reference("hosted", reference)).await.status;
    assert_eq!(go(&used).await, 303);
    let mut looks = 0;
    while looks < 100 && go(&used).await == 400 {
        looks += 1;
    }
    assert_eq!((looks, go(&used).await), (21, 429));
    assert_eq!(go(&other).await, 303);
}
