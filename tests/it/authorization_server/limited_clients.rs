//! A client that an administrator registers with a limit gets no more than that, and the broker's own scopes only from who has them.

use serde_json::Value;

use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::Request;

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, told};
use super::flow::{post, text};

/// The client's id.
pub(super) fn added(product: &Product, scope: &str) -> String {
    let arguments = ["client", "add", "console", "--public", "--redirect-uri", REDIRECT, "--json"];
    let arguments = [&arguments[..], &["--scope", scope]].concat();
    let output = command(product.directory.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    text(&printed["client"], "client_id").to_owned()
}

// N115
#[tokio::test]
async fn a_console_that_is_limited_to_administration_can_do_that_and_nothing_else() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let client = added(&product, "broker:admin");
    let asking = Asking::new(&client).with("scope", "broker:admin graph:read");
    let page = browser.asked(&asking.path()).await;
    assert!(!page.body.contains("graph:read"), "{}", page.body);
    let code = told(&browser.answers(&asking.path(), "allow").await)["code"].clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", REDIRECT),
        ("client_id", &client),
        ("code_verifier", VERIFIER),
    ];
    let answer = post(&product, "/token", &fields).await.json();
    assert_eq!(text(&answer, "scope"), "broker:admin");
    let bearer = format!("Bearer {}", text(&answer, "access_token"));
    let request = Request::new("GET", "/api/v1/clients").header("authorization", &bearer);
    assert_eq!(product.send(request).await.status, 200);
}

/// A limit gives nothing: neither to a person nor to the client itself.
#[tokio::test]
async fn a_limit_makes_nobody_an_administrator() {
    let product = Product::dev().await;
    let asking = ["--grant", "client_credentials", "--scope", "broker:admin public:read", "--json"];
    let arguments = [&["client", "add", "machine"][..], &asking].concat();
    let output = command(product.directory.path(), &arguments);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (id, secret) = (text(&printed["client"], "client_id"), text(&printed, "client_secret"));
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", "broker:admin public:read"),
    ];
    let answer = post(&product, "/token", &fields).await;
    assert_eq!(text(&answer.json(), "scope"), "public:read", "{answer:?}");
}
