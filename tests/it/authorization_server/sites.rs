//! What strangers of one site may do together, and that who is known is no stranger.

use std::sync::Arc;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::json;

use crate::support::product::Product;
use crate::support::raw_http::Request;

use super::browser::Browser;
use super::client::{Asking, REDIRECT, register};
use super::flow::text;

const SECRET: &str = "one secret of a client, as good as another";

/// A broker for which no time passes.
async fn still(settings: &str) -> Product {
    Product::start_at(settings, Arc::new(FixedClock::at(SystemClock.now()))).await
}

/// How many of these requests lead to the login page; the others were too many.
async fn led(product: &Product, asking: &Asking, requests: usize) -> usize {
    let mut led = 0;
    for _ in 0..requests {
        match asking.send(product).await.status {
            303 => led += 1,
            status => assert_eq!(status, 429),
        }
    }
    led
}

// N108
#[tokio::test]
async fn who_is_logged_in_does_not_wait_for_strangers_at_the_same_address() {
    let product = still("").await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mut person = Browser::of_the_administrator(&product).await;
    assert_eq!(led(&product, &asking, 61).await, 60);
    for _ in 0..60 {
        assert_eq!(person.get(&asking.path()).await.status, 303);
    }
    let stopped = person.get(&asking.path()).await;
    assert_eq!(
        (stopped.status, &*stopped.header("retry-after")),
        (429, "60"),
        "a share of their own"
    );
}

/// A made-up cookie is nobody's.
#[tokio::test]
async fn who_only_says_that_they_are_logged_in_is_a_stranger() {
    let product = still("").await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    let mut stranger = Browser::of_the_administrator(&product).await;
    let known = stranger.cookies.clone();
    let broken = known.keys().map(|name| (name.clone(), "A".repeat(43)));
    stranger.cookies = broken.collect();
    assert!(!stranger.cookies.is_empty());
    led(&product, &asking, 60).await;
    assert_eq!(stranger.get(&asking.path()).await.status, 429);
}

// RFC 9126 §4
#[tokio::test]
async fn a_request_that_was_pushed_is_not_counted_again_where_its_browser_is() {
    let settings = format!(
        "[[authorization_server.client]]\nclient_id = \"hosted\"\nsecret = \"{SECRET}\"\n\
         grants = [\"authorization_code\"]\nredirect_uris = [\"{REDIRECT}\"]\n"
    );
    let product = still(&settings).await;
    let asking = Asking::new("hosted");
    assert_eq!(led(&product, &asking, 61).await, 60);
    let form = asking.and("client_secret", SECRET).query();
    let push = Request::new("POST", "/par")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let pushed = product.send(push).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let reference = text(&pushed.json(), "request_uri").to_owned();
    let path = format!("/authorize?client_id=hosted&request_uri={reference}");
    assert_eq!(product.get(&path).await.status, 303);
}

#[tokio::test]
async fn an_operator_whose_people_come_from_one_address_gives_their_site_more() {
    let settings = "[authorization_server.sites]\nrequests = \"90/min\"\nregistrations = \"2/h\"\n";
    let product = still(settings).await;
    let asking = Asking::new(&register(&product, &[REDIRECT]).await);
    register(&product, &[REDIRECT]).await;
    assert_eq!(led(&product, &asking, 91).await, 90);
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let request = Request::new("POST", "/register").header("content-type", "application/json");
    let third = product.send(request.body(body.to_string())).await;
    assert_eq!((third.status, &*third.header("retry-after")), (429, "1800"), "{third:?}");
}
