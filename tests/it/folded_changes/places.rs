//! What streams keep: no more than their share, and nothing for who does not read.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};

use super::lists::{broker, table};
use super::{Listener, Teller};
use crate::support::product::Product;
use crate::support::until::until;

fn tools() -> Value {
    json!({ "toolsListChanged": true })
}

/// Such a stream is not asked for what comes next, so that it looks at nothing by itself.
#[tokio::test]
async fn a_stream_that_nobody_reads_ends_with_its_token() {
    let teller = Teller::start();
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let limits = "[limits]\nstreams_per_user = 1\n[outbound]\nallow_private = [\"127.0.0.1\"]\n";
    let settings = [limits, &table("weather", &teller.url)].concat();
    let product = Product::start_at(&settings, Arc::clone(&clock) as _).await;
    let unread = product.token(&["weather:read"]);
    let unread = Listener::open_unread(&product, &unread, &tools()).await;
    assert_eq!(unread.status(), 200);
    teller.has_open(1).await;
    let later = product.token_with(&["weather:read"], |token| {
        token.expires_at = token.issued_at.plus(Duration::from_hours(2));
    });
    assert_eq!(Listener::open(&product, &later, &tools()).await.status(), 429);
    clock.advance(Duration::from_mins(11));
    let mut next = until("its place is free", async || {
        // The first event may come only now, and its reader has half a minute from then on.
        clock.advance(Duration::from_secs(1));
        let next = Listener::open(&product, &later, &tools()).await;
        (next.status() == 200).then_some(next)
    })
    .await;
    next.next().await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(next.told().await, "notifications/tools/list_changed");
    drop((next, unread));
    teller.has_open(0).await;
}

/// By however many clients and streams.
#[tokio::test]
async fn one_person_does_not_have_the_places_of_all() {
    let teller = Teller::start();
    let of = |number: usize| {
        let table = table(&format!("s{number}"), &teller.url);
        table.replace("fold = true\n", "fold = true\nidentity_header = true\n")
    };
    let product = broker(&(0..32).map(of).collect::<String>()).await;
    let mut adas = Vec::new();
    for _ in 0..3 {
        adas.push(Listener::start(&product, &["weather:read"], &tools()).await);
    }
    teller.has_open(64).await;
    let bob = product.token_with(&["weather:read"], |token| token.subject = "bob".parse().unwrap());
    let mut bob = Listener::open(&product, &bob, &tools()).await;
    bob.next().await;
    teller.has_open(64 + 32).await;
    drop(adas);
    teller.has_open(32).await;
}
