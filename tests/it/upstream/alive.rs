//! Streams of which nothing is heard: what stands between does not cut them, and a silent server is left all the same.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::json;

use super::behind::{GET, PATH, broker_at, call, token};
use super::raw_server::{RawServer, STREAM, Then, event};
use super::streams::opened;
use crate::hosted::table;
use crate::support::audit::LIMIT;
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;

const QUIET: Duration = Duration::from_secs(15);
const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;

fn listen(product: &Product) -> Request {
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let token = token(product, &["weather:read"]);
    mcp(Wire::Modern, Some(&token), "subscriptions/listen", wanted).path(PATH)
}

fn weather(product: &Product) -> Request {
    call(product, &["weather:read"], "get_weather")
}

/// Nothing is heard before fifteen seconds have passed, and a comment then.
async fn says_that_it_lives(stream: &mut reqwest::Response, clock: &FixedClock) {
    clock.advance(QUIET.checked_sub(Duration::from_millis(1)).unwrap());
    let early = tokio::time::timeout(Duration::from_secs(6), stream.chunk()).await;
    assert!(early.is_err(), "{early:?}");
    clock.advance(Duration::from_millis(1));
    let heard = tokio::time::timeout(LIMIT, stream.chunk()).await;
    assert_eq!(heard.unwrap().unwrap().unwrap(), ":\n\n");
}

// MCP 2026-07-28 Streamable HTTP — TR-5
#[tokio::test]
async fn a_stream_of_which_nothing_is_heard_says_that_it_lives() {
    let beginning = [STREAM.as_bytes(), &event(PROGRESS)].concat();
    for request in [listen as fn(&Product) -> Request, weather] {
        let server = RawServer::start(beginning.clone(), Then::Listen).await;
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let product = broker_at(&server.url, GET, Arc::clone(&clock)).await;
        let mut stream = opened(&product, request(&product)).await;
        assert!(stream.chunk().await.unwrap().is_some());
        says_that_it_lives(&mut stream, &clock).await;
        server.sends(event(PROGRESS));
        let heard = stream.chunk().await.unwrap().unwrap();
        assert!(heard.starts_with(b"event: message"), "{heard:?}");
    }
}

#[tokio::test]
async fn the_stream_of_a_program_says_that_it_lives() {
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let settings = table(&[("MODE", "listening")], "");
    let product = Product::start_at(&settings, Arc::clone(&clock) as _).await;
    let mut stream = opened(&product, listen(&product)).await;
    let mut heard = String::new();
    while !heard.contains("list_changed") {
        let chunk = stream.chunk().await.unwrap().expect("it stays open");
        heard.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    says_that_it_lives(&mut stream, &clock).await;
}

#[tokio::test]
async fn a_stream_at_the_brokers_own_endpoint_says_that_it_lives() {
    let server = RawServer::start(STREAM, Then::Listen).await;
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let folded = format!("fold = true\n{GET}");
    let product = broker_at(&server.url, &folded, Arc::clone(&clock)).await;
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let token = product.token(&["weather:read"]);
    let request = mcp(Wire::Modern, Some(&token), "subscriptions/listen", wanted);
    let mut stream = opened(&product, request).await;
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("acknowledged"), "{first:?}");
    says_that_it_lives(&mut stream, &clock).await;
}

/// Comments are the broker's own: the server is silent, and that ends the call.
#[tokio::test]
async fn a_call_at_a_silent_server_ends_with_the_time_for_silence() {
    let beginning = [STREAM.as_bytes(), &event(PROGRESS)].concat();
    let mut server = RawServer::start(beginning, Then::Listen).await;
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let table = format!("timeout_ms = 7000\n{GET}");
    let product = broker_at(&server.url, &table, Arc::clone(&clock)).await;
    let mut stream = opened(&product, weather(&product)).await;
    assert!(stream.chunk().await.unwrap().is_some());
    clock.advance(QUIET);
    let ends = async {
        let mut heard = String::new();
        while let Some(chunk) = stream.chunk().await.unwrap() {
            heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        heard
    };
    let heard = tokio::time::timeout(LIMIT, ends).await.expect("it ends");
    assert!(heard.starts_with(":\n\n") && heard.contains("provider.timeout"), "{heard}");
    server.is_left().await;
}
