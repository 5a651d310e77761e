//! What is given out has the shape that the page tells secret scanners.

use std::sync::Arc;

use mcp_auth_broker::api_key::{ApiKey, BearerSecret, InitialAccessToken};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::json;

use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::Request;

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, register, told};
use super::flow::{post, text};

/// The expressions of the table, by what they find.
fn scanners() -> Vec<(String, regex::Regex)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/authorization-server.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split("### What a leaked secret looks like").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.contains("`\\b"));
    let read = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1].to_owned(), regex::Regex::new(cells[2].trim_matches('`')).unwrap())
    });
    read.collect()
}

/// What the page says that this is.
fn found(text: &str) -> Vec<String> {
    let scanners = scanners();
    assert_eq!(scanners.len(), 6);
    let found = scanners.into_iter().filter(|(_, expression)| expression.is_match(text));
    found.map(|(name, _)| name).collect()
}

#[test]
fn each_expression_finds_what_it_says_and_nothing_else() {
    let random = SystemRandom::new();
    let made = |kind: BearerSecret| kind.generate(&random).to_string();
    for (secret, name) in [
        (ApiKey::generate(&random).text().expose().to_owned(), "API key of a server"),
        (InitialAccessToken::generate(&random).text().expose().to_owned(), "initial access token"),
        (made(BearerSecret::RefreshToken), "refresh token"),
        (made(BearerSecret::ClientSecret), "client secret"),
        (made(BearerSecret::RegistrationAccessToken), "registration access token"),
        (made(BearerSecret::OneTimeLink), "one-time link"),
    ] {
        assert_eq!(found(&format!("TOKEN={secret};")), [name], "{secret}");
        assert!(found(&secret[..secret.len() - 1]).is_empty());
    }
}

async fn tokens_of(product: &Product, browser: &mut Browser<'_>, client: &str) -> String {
    let asking = Asking::new(client).with("scope", "public:read offline_access");
    let location = browser.answers(&asking.path(), "allow").await;
    let code = told(&location)["code"].clone();
    assert!(found(&code).is_empty(), "a code is used within a minute");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", REDIRECT),
        ("client_id", client),
        ("code_verifier", VERIFIER),
    ];
    text(&post(product, "/token", &fields).await.json(), "refresh_token").to_owned()
}

#[tokio::test]
async fn what_the_broker_gives_out_is_found_by_a_scanner() {
    let product = Product::start("[authorization_server]\ndynamic_registration = \"open\"\n").await;
    assert_eq!(found(product.first_link().path()), ["one-time link"]);
    let mut browser = Browser::of_the_administrator(&product).await;
    let client = register(&product, &[REDIRECT]).await;
    let refresh = tokens_of(&product, &mut browser, &client).await;
    assert_eq!(found(&refresh), ["refresh token"]);
    let again =
        [("grant_type", "refresh_token"), ("client_id", &client), ("refresh_token", &refresh)];
    let next = post(&product, "/token", &again).await.json();
    assert_eq!(found(text(&next, "refresh_token")), ["refresh token"]);
    let body = json!({ "redirect_uris": [REDIRECT], "client_name": "a test" });
    let request = Request::new("POST", "/register").header("content-type", "application/json");
    let registered = product.send(request.body(body.to_string())).await.json();
    assert_eq!(found(text(&registered, "client_secret")), ["client secret"]);
    let managed = text(&registered, "registration_access_token");
    assert_eq!(found(managed), ["registration access token"]);
    let arguments = ["client", "add", "console", "--grant", "client_credentials"];
    let added = command(product.directory.path(), &arguments);
    assert_eq!(found(&String::from_utf8(added.stdout).unwrap()), ["client secret"]);
}

/// One that an earlier version gave out, put where that version would have.
#[tokio::test]
async fn a_refresh_token_without_a_prefix_works_until_its_end() {
    const BARE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let product = Product::start_at("", clock).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let client = register(&product, &[REDIRECT]).await;
    tokens_of(&product, &mut browser, &client).await;
    let store =
        rusqlite::Connection::open(product.directory.path().join("data/broker.db")).unwrap();
    let digest = mcp_auth_broker::store::Digest::of(BARE);
    let changed = store.execute("UPDATE refresh_tokens SET token = ?1", [digest.as_bytes()]);
    assert_eq!(changed.unwrap(), 1);
    let fields = [("grant_type", "refresh_token"), ("client_id", &client), ("refresh_token", BARE)];
    let answer = post(&product, "/token", &fields).await;
    assert_eq!(found(text(&answer.json(), "refresh_token")), ["refresh token"], "{answer:?}");
}
