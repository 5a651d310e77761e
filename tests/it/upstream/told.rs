//! Changes of a server with sessions, as they are told at the broker's own endpoint.

use serde_json::{Value, json};

use super::one_era::{GRANTS, Speaks, Translated};
use super::streams::opened;
use crate::support::product::{Wire, mcp};

// MCP 2026-07-28 patterns/subscriptions — TR-21
#[tokio::test]
async fn an_old_server_is_subscribed_to_for_a_new_client_at_the_brokers_own_endpoint() {
    let behind = Translated::start_with(Speaks::Old, &format!("fold = true\n{GRANTS}")).await;
    let token = behind.product.token(&["weather:read"]);
    let wanted =
        json!({ "toolsListChanged": true, "resourceSubscriptions": ["weather+city:paris"] });
    let params = json!({ "notifications": wanted });
    let listen = mcp(Wire::Modern, Some(&token), "subscriptions/listen", params);
    let mut stream = opened(&behind.product, listen).await;
    let mut heard = Vec::new();
    while !heard.windows(7).any(|part| part == b"updated") {
        heard.extend_from_slice(&stream.chunk().await.unwrap().expect("it stays open"));
    }
    let heard = String::from_utf8(heard).unwrap();
    let told = heard.lines().filter_map(|line| line.strip_prefix("data: "));
    let told: Vec<Value> = told.map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(told[0]["params"]["notifications"], wanted);
    assert_eq!(told[1]["params"]["uri"], "weather+city:paris", "nobody asked for the other city");
    behind.sees("subscribe city:paris").await;
}
