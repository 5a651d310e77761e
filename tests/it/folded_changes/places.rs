//! What streams keep: no more than their share, and nothing for who does not read.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};

use super::lists::{broker, table};
use super::{Listener, Teller};
use crate::support::product::Product;
use crate::support::raw_http::Request;
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

/// A server that is away, and is asked for Ada and for Bob again and again. Neither reads.
struct AskedForTwo {
    teller: Teller,
    product: Product,
    clock: Arc<FixedClock>,
    /// Ada's, good for ten seconds.
    token: String,
    _unread: [Listener; 2],
}

const CLIENT: &str = "[[authorization_server.client]]\nclient_id = \"agent\"\nsecret = \"agent-secret\"\ngrants = [\"client_credentials\"]\nscopes = [\"weather:read\"]\n";
const FOR_ADA: &str = "server/discover of ada";
const FOR_BOB: &str = "server/discover of bob";

impl AskedForTwo {
    async fn start() -> Self {
        let teller = Teller::start();
        teller.fails();
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let table = table("weather", &teller.url);
        let table = table.replace("fold = true\n", "fold = true\nidentity_header = true\n");
        let settings = ["[outbound]\nallow_private = [\"127.0.0.1\"]\n", &table, CLIENT].concat();
        let product = Product::start_at(&settings, Arc::clone(&clock) as _).await;
        let token = product.token_with(&["weather:read"], |token| {
            token.expires_at = token.issued_at.plus(Duration::from_secs(10));
        });
        let bob =
            product.token_with(&["weather:read"], |token| token.subject = "bob".parse().unwrap());
        let unread = [
            Listener::open_unread(&product, &token, &tools()).await,
            Listener::open_unread(&product, &bob, &tools()).await,
        ];
        teller.is_asked(FOR_BOB, 2).await;
        teller.is_asked(FOR_ADA, 2).await;
        Self { teller, product, clock, token, _unread: unread }
    }

    /// The server is asked on for Bob, with rests of the same length, and for Ada no more.
    async fn is_asked_for_bob_alone(&self) {
        let before = self.teller.asked(FOR_ADA);
        self.teller.is_asked(FOR_BOB, self.teller.asked(FOR_BOB) + 2).await;
        assert_eq!(self.teller.asked(FOR_ADA), before);
    }
}

/// Such a stream looks at nothing by itself: what is asked for it is looked at each time.
#[tokio::test]
async fn no_server_is_asked_for_a_token_that_is_over_although_its_stream_is_not() {
    let both = AskedForTwo::start().await;
    // Before who does not read is let go.
    both.clock.advance(Duration::from_secs(15));
    both.is_asked_for_bob_alone().await;
}

#[tokio::test]
async fn no_server_is_asked_for_a_token_that_is_revoked_although_its_stream_goes_on() {
    let both = AskedForTwo::start().await;
    let revoke = Request::new("POST", "/revoke")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Basic YWdlbnQ6YWdlbnQtc2VjcmV0")
        .body(format!("token={}", both.token));
    assert_eq!(both.product.send(revoke).await.status, 200);
    both.is_asked_for_bob_alone().await;
}
