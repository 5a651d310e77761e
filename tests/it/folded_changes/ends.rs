//! How a stream ends, and that it leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};

use super::lists::{broker, table};
use super::{Listener, Teller};
use crate::support::audit::{LIMIT, assert_one_terminal_per_request};
use crate::support::product::Product;
use crate::support::raw_http::Request;

fn tools() -> Value {
    json!({ "toolsListChanged": true })
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(SystemClock.now()))
}

async fn broker_at(tables: &str, clock: Arc<FixedClock>) -> Product {
    let settings = format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{tables}");
    Product::start_at(&settings, clock).await
}

// MCP 2026-07-28 §Access Token Usage — RS-8
#[tokio::test]
async fn it_ends_with_its_token() {
    let (teller, clock) = (Teller::start(), clock());
    let product = broker_at(&table("weather", &teller.url), Arc::clone(&clock)).await;
    let (listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    clock.advance(Duration::from_mins(11));
    teller.has_tools(&["get_day", "get_night"]);
    listener.ends().await;
    teller.has_open(0).await;
}

// RFC 7009 §2, MCP 2026-07-28 §Access Token Usage — RS-8
#[tokio::test]
async fn it_ends_when_its_token_is_revoked() {
    let teller = Teller::start();
    let client = "[[authorization_server.client]]\nclient_id = \"agent\"\nsecret = \"agent-secret\"\ngrants = [\"client_credentials\"]\nscopes = [\"weather:read\"]\n";
    let product = broker(&[&table("weather", &teller.url), client].concat()).await;
    let token = product.token(&["weather:read"]);
    let mut listener = Listener::open(&product, &token, &tools()).await;
    listener.next().await;
    let revoke = Request::new("POST", "/revoke")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Basic YWdlbnQ6YWdlbnQtc2VjcmV0")
        .body(format!("token={token}"));
    assert_eq!(product.send(revoke).await.status, 200);
    listener.ends().await;
    teller.has_open(0).await;
}

#[tokio::test]
async fn it_ends_with_the_drain_and_does_not_hold_it_up() {
    let teller = Teller::start();
    let drain = "[server]\ndrain_seconds = 3600\n";
    let mut product = broker(&[drain, &table("weather", &teller.url)].concat()).await;
    let (listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    product.stop();
    listener.ends().await;
    tokio::time::timeout(LIMIT, product.ended()).await.unwrap();
    assert_one_terminal_per_request(&product.audit_lines());
}

#[tokio::test]
async fn nothing_is_listened_to_when_the_last_client_is_gone() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    assert_eq!(teller.open(), 0, "nobody wants to be told");
    let (first, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    let (mut second, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    assert_eq!(teller.open(), 1, "one stream for both");
    drop(first);
    teller.has_tools(&["get_day", "get_night"]);
    second.told().await;
    drop(second);
    teller.has_open(0).await;
}

/// A stream that another's token opened goes on for those who are left.
#[tokio::test]
async fn who_is_told_does_not_depend_on_the_token_of_another() {
    let (teller, clock) = (Teller::start(), clock());
    let product = broker_at(&table("weather", &teller.url), Arc::clone(&clock)).await;
    let (first, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    let long = product.token_with(&["weather:read"], |token| {
        token.expires_at = token.issued_at.plus(Duration::from_mins(30));
    });
    let mut second = Listener::open(&product, &long, &tools()).await;
    second.next().await;
    clock.advance(Duration::from_mins(11));
    first.ends().await;
    teller.is_asked("subscriptions/listen", 2).await;
    teller.has_open(1).await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(second.told().await, "notifications/tools/list_changed");
}

#[tokio::test]
async fn it_is_one_stream_whatever_is_behind_it() {
    let (one, other) = (Teller::start(), Teller::start());
    let limits =
        "[limits]\nstreams_per_user = 1\nuser_concurrency = 1\nrequests_per_user = \"2/day\"\n";
    let tables = [&table("one", &one.url), &table("other", &other.url), limits].concat();
    let product = broker(&tables).await;
    let (first, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    let token = product.token(&["weather:read"]);
    let refused = product.send(super::listener::request(&token, &tools())).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.body.contains("too many streams at a time"), "{refused:?}");
    drop(first);
    one.has_open(0).await;
    let third = product.send(super::listener::request(&token, &tools())).await;
    assert!(third.body.contains("too many requests"), "{third:?}");
}
