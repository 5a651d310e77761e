//! Resources of which a client wants to be told.

use serde_json::{Value, json};

use super::listener::request;
use super::lists::{broker, table};
use super::{Listener, Teller};
use crate::support::audit::assert_one_terminal_per_request;

const UPDATED: &str = "notifications/resources/updated";

fn cities(uris: &[&str]) -> Value {
    json!({ "resourceSubscriptions": uris })
}

// MCP 2026-07-28 patterns/subscriptions — TR-21
#[tokio::test]
async fn a_client_is_told_of_its_resources_by_the_names_they_have_here() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let paris = cities(&["weather+city:paris"]);
    let (mut listener, honored) = Listener::start(&product, &["weather:read"], &paris).await;
    assert_eq!(honored, paris);
    teller.says(UPDATED, json!({ "uri": "city:rome" }));
    teller.says(UPDATED, json!({ "uri": "city:paris" }));
    let told = listener.next().await;
    assert_eq!(
        (&told["method"], &told["params"]["uri"]),
        (&json!(UPDATED), &json!("weather+city:paris"))
    );
    let event = product.audited(|event| event["payload"]["method"] == "subscriptions/listen").await;
    assert_eq!(event["payload"]["question"]["tool"], "weather/resources/city:paris");
    drop(listener);
    teller.has_open(0).await;
    assert_one_terminal_per_request(&product.audit_lines());
}

// RS-28
#[tokio::test]
async fn what_is_hidden_is_refused_like_what_no_server_has() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let token = product.token(&["weather:read"]);
    let mut answers = Vec::new();
    for uri in ["weather+secret:key", "other+secret:key"] {
        let both = cities(&["weather+city:paris", uri]);
        let refused = product.send(request(&token, &both)).await;
        assert_eq!(refused.rpc_error(), -32602, "{refused:?}");
        answers.push((refused.status, refused.body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(teller.asked("subscriptions/listen"), 0);
}

/// With the prefix before it a URI may look plain that the server reads as another's, which a rule forbids.
#[tokio::test]
async fn a_resource_is_followed_as_lists_write_it_and_not_otherwise() {
    let teller = Teller::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    let rules = "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"weather/resources/.*\"]\n[[rule]]\nid = \"d\"\neffect = \"deny\"\ntools = [\"weather/resources/file:///secret/.*\", \"weather/resources/https://example.com/secret\"]\n";
    std::fs::write(&file, rules).unwrap();
    let bare = table("weather", &teller.url);
    let bare = bare.split("[[upstream.server.tool]]").next().unwrap();
    let product = broker(&format!("{bare}[policy]\nfile = {file:?}\n")).await;
    let token = product.token(&["weather:read"]);
    for uri in [
        "file:///secret/k",
        "file:/secret/k",
        "file:secret/k",
        "file://localhost/secret/k",
        "file:///C|/secret",
        "https://u@example.com/secret",
        "https://example.com:443/secret",
        "https://Example.com/secret",
        "https:/example.com/secret",
    ] {
        let one = cities(&[&format!("weather+{uri}")]);
        let refused = product.send(request(&token, &one)).await;
        assert_eq!(refused.rpc_error(), -32602, "{uri}: {refused:?}");
    }
    assert_eq!(teller.asked("subscriptions/listen"), 0);
    let plain = cities(&["weather+file:///open/k"]);
    assert_eq!(Listener::start(&product, &["weather:read"], &plain).await.1, plain);
}

#[tokio::test]
async fn a_scope_that_would_open_a_resource_is_challenged() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let token = product.token(&["public:read"]);
    let refused = product.send(request(&token, &cities(&["weather+city:paris"]))).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.header("www-authenticate").contains("scope=\"weather:read\""));
}

#[tokio::test]
async fn a_resource_of_which_its_server_does_not_tell_is_not_promised() {
    let (mute, teller) = (Teller::start(), Teller::start());
    mute.offers(json!({ "resources": { "listChanged": true } }));
    let product = broker(&[table("mute", &mute.url), table("weather", &teller.url)].concat()).await;
    let both = cities(&["mute+city:paris", "weather+city:paris"]);
    let (_listener, honored) = Listener::start(&product, &["weather:read"], &both).await;
    assert_eq!(honored, cities(&["weather+city:paris"]));
    assert_eq!(mute.asked("subscriptions/listen"), 0);
}

#[tokio::test]
async fn nobody_is_told_of_a_resource_that_they_may_not_have_any_more() {
    let teller = Teller::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    let rules = |label: &str, cities: &str| {
        format!(
            "version = \"{label}\"\ndefault = \"deny\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"weather/resources/city:{cities}\"]\n[[rule]]\nid = \"l\"\neffect = \"allow\"\ntools = [\"{label}\"]\n"
        )
    };
    std::fs::write(&file, rules("get_public_info", ".*")).unwrap();
    let bare = table("weather", &teller.url);
    let bare = bare.split("[[upstream.server.tool]]").next().unwrap();
    let product = broker(&format!("{bare}[policy]\nfile = {file:?}\n")).await;
    let mut wanted = cities(&["weather+city:paris", "weather+city:rome"]);
    wanted["toolsListChanged"] = json!(true);
    let (mut listener, _) = Listener::start(&product, &[], &wanted).await;
    let new = directory.path().join("new");
    std::fs::write(&new, rules("none", "rome")).unwrap();
    std::fs::rename(new, &file).unwrap();
    assert_eq!(listener.told().await, "notifications/tools/list_changed", "the rules are in force");
    teller.says(UPDATED, json!({ "uri": "city:paris" }));
    teller.says(UPDATED, json!({ "uri": "city:rome" }));
    assert_eq!(listener.next().await["params"]["uri"], "weather+city:rome");
}

/// What happened meanwhile nobody has told.
#[tokio::test]
async fn a_server_that_was_away_may_have_changed_its_resources() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let paris = cities(&["weather+city:paris"]);
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &paris).await;
    let url = teller.ends().await;
    let _teller = Teller::starts_at(&url);
    assert_eq!(listener.next().await["params"]["uri"], "weather+city:paris");
}
