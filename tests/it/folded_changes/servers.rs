//! Servers that are away, slow, new, gone, or know who calls.

use serde_json::{Value, json};

use super::lists::{broker, table};
use super::{Listener, Teller};
use crate::registered::{administer, start_with};
use crate::support::product::{Product, Wire};
use crate::support::until::until;

const TOOLS: &str = "notifications/tools/list_changed";

fn tools() -> Value {
    json!({ "toolsListChanged": true })
}

#[tokio::test]
async fn a_server_that_hangs_keeps_nobody_from_being_told_of_another() {
    let (slow, teller) = (Teller::start(), Teller::start());
    slow.hangs();
    let product = broker(&[table("slow", &slow.url), table("weather", &teller.url)].concat()).await;
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(listener.told().await, TOOLS);
}

/// It was in no list while it was away.
#[tokio::test]
async fn a_server_that_comes_back_is_news_to_who_sees_it() {
    let away = Teller::start().ends().await;
    let mut product = broker(&table("weather", &away)).await;
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    let (blind, _) = Listener::start(&product, &["public:read"], &tools()).await;
    assert_eq!(listed(&product).await, json!([]), "from now on it is not asked for a while");
    let teller = Teller::starts_at(&away);
    assert_eq!(listener.told().await, TOOLS);
    assert_eq!(listed(&product).await[0]["name"], "weather.get_day", "who is told so finds it");
    let away = teller.ends().await;
    is_missed(&product).await;
    let _teller = Teller::starts_at(&away);
    assert_eq!(listener.told().await, TOOLS, "it has what it had, and was in no list");
    product.stop();
    blind.ends().await;
}

async fn listed(product: &Product) -> Value {
    let token = product.token(&["weather:read"]);
    let listed = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    listed.json()["result"]["tools"].clone()
}

/// Waits until the broker knows that the server is away.
async fn is_missed(product: &Product) {
    until("the server is missed", async || {
        let ready = product.get("/ready").await;
        ready.body.contains("upstream weather").then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_stream_is_opened_toward_a_server_that_tells_of_no_changes() {
    let teller = Teller::start();
    teller.offers(json!({ "tools": {}, "prompts": { "listChanged": false } }));
    let product = broker(&table("weather", &teller.url)).await;
    let (_listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    teller.is_asked("prompts/list", 1).await;
    assert_eq!(teller.asked("subscriptions/listen"), 0);
}

/// It may have something else for each of them.
#[tokio::test]
async fn a_server_that_is_told_who_calls_is_listened_to_for_each() {
    let teller = Teller::start();
    let told = table("weather", &teller.url)
        .replace("fold = true\n", "fold = true\nidentity_header = true\n");
    let product = broker(&told).await;
    let (mut first, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    let (second, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    assert_eq!(teller.open(), 2);
    drop(second);
    teller.has_open(1).await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(first.told().await, TOOLS);
    drop(first);
    teller.has_open(0).await;
}

#[tokio::test]
async fn a_server_that_is_registered_or_removed_is_news_to_who_sees_it() {
    let teller = Teller::start();
    let rules = "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"docs\"\neffect = \"allow\"\ntools = [\"docs\\\\.get_.*\"]\nscopes = [\"docs:read\"]\n";
    let product = start_with(rules, "").await;
    let (mut listener, _) = Listener::start(&product, &["docs:read"], &tools()).await;
    let proxy = json!({ "fold": true, "era": "both" });
    let body = json!({ "id": "docs", "url": teller.url, "scope": "docs:read", "proxy": proxy });
    let added = administer(&product, "POST", "/api/servers", &body).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!(listener.told().await, TOOLS);
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(listener.told().await, TOOLS);
    let removed = administer(&product, "DELETE", "/api/servers/docs", &Value::Null).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    assert_eq!(listener.told().await, TOOLS);
    teller.has_open(0).await;
}

/// A definition that waits for approval is in no list; approved, it is.
#[tokio::test]
async fn a_definition_that_is_approved_is_news() {
    let teller = Teller::start();
    let hide = table("weather", &teller.url)
        .replace("fold = true\n", "fold = true\non_change = \"hide\"\n");
    let more = format!("{hide}[authorization_server.administrators]\nsubjects = [\"ada\"]\n");
    let product = broker(&more).await;
    assert_eq!(listed(&product).await[0]["name"], "weather.get_day");
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    teller.says_of_tools("Reads, and sends it elsewhere.");
    assert_eq!(listener.told().await, TOOLS, "it is hidden");
    assert_eq!(listed(&product).await, json!([]));
    let pin = "/api/servers/weather/pins/get_day";
    let kept = administer(&product, "GET", pin, &Value::Null).await.json();
    let digest = json!({ "digest": kept["pin"]["found_digest"] });
    let approved = administer(&product, "POST", &format!("{pin}/approve"), &digest).await;
    assert_eq!(approved.status, 200, "{approved:?} {kept}");
    assert_eq!(listener.told().await, TOOLS);
    assert_eq!(listed(&product).await[0]["name"], "weather.get_day");
}

#[tokio::test]
async fn a_client_has_no_more_than_so_many_streams_of_its_own() {
    let teller = Teller::start();
    let of = |number: usize| {
        let table = table(&format!("s{number}"), &teller.url);
        table.replace("fold = true\n", "fold = true\nidentity_header = true\n")
    };
    let product = broker(&(0..33).map(of).collect::<String>()).await;
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &tools()).await;
    teller.has_open(32).await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(listener.told().await, TOOLS);
    assert_eq!(teller.open(), 32);
}
