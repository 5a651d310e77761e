//! Servers that know who calls, and are registered while clients listen, or are reached another way from then on.

use serde_json::{Value, json};

use super::{Listener, Teller};
use crate::registered::{administer, start_with};
use crate::support::product::{Product, Wire};
use crate::support::until::until;

/// What is of the server `docs` for everybody.
const RULES: &str = "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"docs\"\neffect = \"allow\"\ntools = [\"docs\\\\.get_.*\", \"docs/resources/city:.*\"]\n";

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";

fn proxy(timeout_ms: u32) -> Value {
    json!({ "fold": true, "era": "both", "identity_header": true, "timeout_ms": timeout_ms })
}

/// Of a server that is shown the same whoever calls.
fn unknowing() -> Value {
    json!({ "fold": true, "era": "both" })
}

async fn register(product: &Product, teller: &Teller) {
    register_with(product, teller, &proxy(9_000)).await;
}

async fn register_with(product: &Product, teller: &Teller, proxy: &Value) {
    let body = json!({ "id": "docs", "url": teller.url, "scope": "docs:read", "proxy": proxy });
    let added = administer(product, "POST", "/api/servers", &body).await;
    assert_eq!(added.status, 201, "{added:?}");
    until("it is served", async || {
        let listed = product.rpc(Wire::Modern, &product.token(&[]), "tools/list", json!({})).await;
        listed.body.contains("docs.get_day").then_some(())
    })
    .await;
}

async fn change(product: &Product) {
    change_to(product, &proxy(8_000)).await;
}

async fn change_to(product: &Product, proxy: &Value) {
    let set = administer(product, "PUT", "/api/servers/docs/proxy", proxy).await;
    assert_eq!(set.status, 200, "{set:?}");
}

#[tokio::test]
async fn a_client_is_told_of_a_server_that_comes_later_and_is_changed() {
    let teller = Teller::start();
    let product = start_with(RULES, "").await;
    let tools = json!({ "toolsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &[], &tools).await;
    register(&product, &teller).await;
    assert_eq!(listener.told().await, TOOLS);
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

/// Other rules are no news to a client that saw the server while it did not know its callers yet, or knew them still, and sees
/// the same by them.
async fn nothing_stays_of_a_server(before: &Value, after: &Value) {
    let rules = |label: &str, names: &str| {
        format!(
            "version = \"{label}\"\ndefault = \"deny\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [{names}]\n"
        )
    };
    let (teller, other) = (Teller::start(), Teller::start());
    let more = format!(
        "[[upstream.server]]\nid = \"other\"\nurl = \"{}\"\nera = \"both\"\nfold = true\n",
        other.url
    );
    let both = r#""docs\\.get_.*", "other/prompts/day.*""#;
    let product = start_with(&rules("one", both), &more).await;
    let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &[], &wanted).await;
    register_with(&product, &teller, before).await;
    assert_eq!(listener.told().await, TOOLS);
    teller.has_open(1).await;
    change_to(&product, after).await;
    teller.is_asked("subscriptions/listen", 2).await;
    teller.has_open(1).await;
    let removed = administer(&product, "DELETE", "/api/servers/docs", &Value::Null).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    teller.has_open(0).await;
    other.has_prompts(&["day", "day_two"]);
    while listener.told().await != PROMPTS {}
    let new = product.directory.path().join("new");
    std::fs::write(&new, rules("two", r#""other/prompts/day""#)).unwrap();
    std::fs::rename(new, product.directory.path().join("policy.toml")).unwrap();
    // What is told together is told in the order of the kinds: of the tools there would be a word before.
    assert_eq!(listener.told().await, PROMPTS);
}

#[tokio::test]
async fn a_server_that_came_to_know_its_callers_leaves_nothing_behind() {
    nothing_stays_of_a_server(&unknowing(), &proxy(8_000)).await;
}

#[tokio::test]
async fn a_server_that_knows_its_callers_no_more_leaves_nothing_behind() {
    nothing_stays_of_a_server(&proxy(8_000), &unknowing()).await;
}
