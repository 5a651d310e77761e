//! Who sends requests without a token fills no log.

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;
use serde_json::{Value, json};

/// More than a network has lines for.
const MANY: usize = 320;

/// Every one is refused as the first was, but for where it is on record.
async fn refused(product: &Product, request: impl Fn() -> Request) {
    let said = |body: &str| body.split(",\"error_uri\"").next().unwrap().replace('}', "");
    let first = product.send(request()).await;
    for _ in 1..MANY {
        let answer = product.send(request()).await;
        assert_eq!((answer.status, said(&answer.body)), (401, said(&first.body)));
    }
}

fn held_back(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["event_type"] == "auth.refusals.held_back").collect()
}

#[tokio::test]
async fn a_network_without_a_token_gets_so_many_lines_and_then_a_number() {
    let mut product = Product::dev().await;
    let request = || mcp(Wire::Modern, None, "tools/list", json!({}));
    refused(&product, request).await;
    let token = product.token(&["graph:read"]);
    let answer = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    assert_eq!(answer.status, 200, "whoever has a token goes on");
    product.stop();
    product.ended().await;
    let events = product.audit();
    let lines = events.iter().filter(|event| event["event_type"] == "auth.token.rejected");
    let lines = lines.count();
    assert!((300..MANY).contains(&lines), "{lines}");
    let held = held_back(&events);
    assert_eq!(held.len(), 1);
    let payload = json!({ "network": "127.0.0.0/24", "held_back": MANY - lines });
    assert_eq!(held[0]["payload"], payload);
}

// RFC 7662 §2.1 — N77
#[tokio::test]
async fn the_endpoints_of_clients_share_that_bound() {
    let mut product = Product::dev().await;
    let form = |path: &'static str, body: &str| {
        let form = "application/x-www-form-urlencoded";
        Request::new("POST", path).header("content-type", form).body(body.as_bytes())
    };
    let client = "grant_type=authorization_code&code=x&client_id=nobody";
    refused(&product, || form("/token", client)).await;
    for path in ["/introspect", "/revoke"] {
        let answer = product.send(form(path, "token=x&client_id=nobody")).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    product.stop();
    product.ended().await;
    let events = product.audit();
    let lines = events.iter().filter(|event| event["event_type"] == "oauth.token.refused").count();
    assert!((300..MANY).contains(&lines), "{lines}");
    assert_eq!(held_back(&events)[0]["payload"]["network"], "127.0.0.0/24");
}
