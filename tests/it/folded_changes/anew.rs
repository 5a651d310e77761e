//! Servers that know who calls, and are registered while clients listen, or are reached another way from then on.

use serde_json::{Value, json};

use super::{Listener, Teller};
use crate::registered::{administer, start_with};
use crate::support::product::{Product, Wire};
use crate::support::until::until;

/// What is of the server `docs` for everybody.
const RULES: &str = "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"docs\"\neffect = \"allow\"\ntools = [\"docs\\\\.get_.*\", \"docs/resources/city:.*\"]\n";

fn proxy(timeout_ms: u32) -> Value {
    json!({ "fold": true, "era": "both", "identity_header": true, "timeout_ms": timeout_ms })
}

async fn register(product: &Product, teller: &Teller) {
    let body =
        json!({ "id": "docs", "url": teller.url, "scope": "docs:read", "proxy": proxy(9_000) });
    let added = administer(product, "POST", "/api/servers", &body).await;
    assert_eq!(added.status, 201, "{added:?}");
    until("it is served", async || {
        let listed = product.rpc(Wire::Modern, &product.token(&[]), "tools/list", json!({})).await;
        listed.body.contains("docs.get_day").then_some(())
    })
    .await;
}

async fn change(product: &Product) {
    let set = administer(product, "PUT", "/api/servers/docs/proxy", &proxy(8_000)).await;
    assert_eq!(set.status, 200, "{set:?}");
}

#[tokio::test]
async fn a_client_is_told_of_a_server_that_comes_later_and_is_changed() {
    let teller = Teller::start();
    let product = start_with(RULES, "").await;
    let tools = json!({ "toolsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &[], &tools).await;
    register(&product, &teller).await;
    assert_eq!(listener.told().await, "notifications/tools/list_changed");
    teller.has_open(1).await;
    change(&product).await;
    teller.is_asked("subscriptions/listen", 2).await;
    teller.has_open(1).await;
    drop(listener);
    teller.has_open(0).await;
}

/// As at the server's own address: the client opens it again.
#[tokio::test]
async fn a_stream_ends_with_the_server_whose_resource_it_follows() {
    let teller = Teller::start();
    let product = start_with(RULES, "").await;
    register(&product, &teller).await;
    let paris = json!({ "resourceSubscriptions": ["docs+city:paris"] });
    let (listener, honored) = Listener::start(&product, &[], &paris).await;
    assert_eq!(honored, paris);
    change(&product).await;
    listener.ends().await;
    let (mut again, honored) = Listener::start(&product, &[], &paris).await;
    assert_eq!(honored, paris);
    teller.says("notifications/resources/updated", json!({ "uri": "city:paris" }));
    assert_eq!(again.next().await["params"]["uri"], "docs+city:paris");
}
