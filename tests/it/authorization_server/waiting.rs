//! A request that waits for its person while its client becomes another.

use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

use super::browser::{Browser, action, hidden};
use super::client::Asking;
use super::flow::text;

const OLD: &str = "https://old.example/cb";
const NEW: &str = "https://new.example/cb";

fn run(product: &Product, arguments: &[&str]) -> Value {
    let output = command(product.directory.path(), &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The id of a client with [`OLD`].
fn added(product: &Product) -> String {
    let added = run(product, &["client", "add", "app", "--public", "--redirect-uri", OLD]);
    text(&added["client"], "client_id").to_owned()
}

fn asking(client: &str) -> Asking {
    Asking::new(client).with("redirect_uri", OLD)
}

/// What comes of a yes on this page.
async fn says_yes(browser: &mut Browser<'_>, page: &Answer) -> Answer {
    let (form, request) = (hidden(&page.body, "form"), hidden(&page.body, "request"));
    let fields = [("form", form.as_str()), ("request", &request), ("decision", "allow")];
    browser.post(&action(&page.body), &fields).await
}

fn assert_nothing_given(product: &Product, answer: &Answer) {
    assert_eq!((answer.status, answer.header("location").as_str()), (400, ""), "{answer:?}");
    assert!(!answer.body.contains("code="), "{}", answer.body);
    let grants = run(product, &["grant", "list", "--ended"]);
    assert!(!grants.to_string().contains("\"grant_id\""), "{grants}");
}

// RFC 6749 §3.1.2.4, OAuth 2.1 §2.3.1 — N2
#[tokio::test]
async fn a_yes_is_not_sent_to_where_the_client_is_no_longer() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let client = added(&product);
    let page = browser.asked(&asking(&client).path()).await;
    run(&product, &["client", "change", &client, "--redirect-uri", NEW]);
    let answer = says_yes(&mut browser, &page).await;
    assert!(answer.body.contains("asked for an answer at an unknown place"), "{}", answer.body);
    assert_nothing_given(&product, &answer);
}

// RFC 9700 §4.14.2 — N51
#[tokio::test]
async fn a_client_that_is_disabled_or_removed_gets_nothing_of_a_page_that_is_open() {
    for what in ["disable", "remove"] {
        let product = Product::dev().await;
        let mut browser = Browser::of_the_administrator(&product).await;
        let client = added(&product);
        let page = browser.asked(&asking(&client).path()).await;
        run(&product, &["client", what, &client]);
        assert_nothing_given(&product, &says_yes(&mut browser, &page).await);
    }
}

// RFC 9126 §4 — N2
#[tokio::test]
async fn a_pushed_request_is_held_against_its_client_once_more() {
    let product = Product::dev().await;
    let client = added(&product);
    let form = "application/x-www-form-urlencoded";
    let push = Request::new("POST", "/par").header("content-type", form);
    let pushed = product.send(push.body(asking(&client).query())).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    run(&product, &["client", "change", &client, "--redirect-uri", NEW]);
    let reference = text(&pushed.json(), "request_uri").to_owned();
    let pairs = [("client_id", client.as_str()), ("request_uri", &reference)];
    let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let answer = product.get(&format!("/authorize?{query}")).await;
    assert_nothing_given(&product, &answer);
}
