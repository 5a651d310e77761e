//! A store that fails in the middle: clients are told to come back, and nothing of theirs is used up.

use std::path::Path;

use crate::support::product::Product;
use crate::support::raw_http::Answer;

use super::browser::Browser;
use super::flow::{Held, text};

/// Whatever writes to one table of the broker's database fails from now on, until it is mended.
struct Fault(rusqlite::Connection);

impl Fault {
    fn at(directory: &Path, when: &str) -> Self {
        let path = directory.join("data/broker.db");
        let store = rusqlite::Connection::open(path).unwrap();
        let trigger = format!("CREATE TRIGGER fault {when} BEGIN SELECT RAISE(ABORT, 'x'); END");
        store.execute_batch(&trigger).unwrap();
        Self(store)
    }

    fn mend(self) {
        self.0.execute_batch("DROP TRIGGER fault").unwrap();
    }
}

/// `invalid_grant` would cost the client its tokens, and the person a log-in.
pub(super) fn is_asked_to_come_back(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(answer.header("cache-control"), "no-store");
}

// RFC 6749 §5.2 — N114
#[tokio::test]
async fn a_store_that_fails_in_the_middle_of_a_refresh_costs_nobody_a_token() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    let token = text(&tokens, "refresh_token");
    for when in ["BEFORE UPDATE ON refresh_tokens", "BEFORE INSERT ON refresh_tokens"] {
        let fault = Fault::at(product.directory.path(), when);
        is_asked_to_come_back(&held.refresh(&product, token).await);
        fault.mend();
    }
    let refreshed = held.refresh(&product, token).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
}

// RFC 6749 §4.1.2 — N114
#[tokio::test]
async fn a_store_that_fails_in_the_middle_of_an_exchange_leaves_the_code_as_it_was() {
    let product = Product::dev().await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    for when in
        ["BEFORE UPDATE ON codes", "BEFORE UPDATE ON grants", "BEFORE INSERT ON refresh_tokens"]
    {
        let fault = Fault::at(product.directory.path(), when);
        is_asked_to_come_back(&held.exchange(&product).await);
        fault.mend();
    }
    let answer = held.exchange(&product).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The audit log cannot be written from now on; the first request finds out.
fn log_goes(product: &Product) {
    std::fs::remove_dir_all(product.log_directory()).unwrap();
}

async fn log_comes_back(product: &Product) {
    std::fs::create_dir_all(product.log_directory()).unwrap();
    while product.get("/ready").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

// RFC 6749 §4.1.2 — N29, N114
#[tokio::test]
async fn a_code_whose_tokens_could_not_be_recorded_works_when_it_is_sent_again_and_once() {
    let product = Product::start("[audit]\non_failure = \"deny\"").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    log_goes(&product);
    for _ in 0..2 {
        is_asked_to_come_back(&held.exchange(&product).await);
    }
    log_comes_back(&product).await;
    let answer = held.exchange(&product).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "the grant lives: {refreshed:?}");
    assert_eq!(held.exchange(&product).await.json()["error"], "invalid_grant");
}

// OAuth 2.1 §4.3.1 — N114
#[tokio::test]
async fn a_refresh_that_could_not_be_recorded_gives_the_same_answer_when_it_is_sent_again() {
    let product = Product::start("[audit]\non_failure = \"deny\"").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    log_goes(&product);
    is_asked_to_come_back(&held.refresh(&product, text(&tokens, "refresh_token")).await);
    log_comes_back(&product).await;
    let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
}
