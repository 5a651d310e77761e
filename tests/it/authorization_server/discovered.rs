//! What a server says of its authorization server is not believed without proof.

use serde_json::{Value, json};

use super::browser::Browser;
use super::connections_world::{World, link};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;

// RFC 8414 §3.3, RFC 7636 §4.3 — N33
#[tokio::test]
async fn metadata_that_cannot_be_believed_leads_nowhere() {
    let without = |name: &'static str| {
        move |mut metadata: Value| {
            metadata.as_object_mut().unwrap().remove(name);
            metadata
        }
    };
    let other_issuer = |mut metadata: Value| {
        metadata["issuer"] = json!("https://evil.example");
        metadata
    };
    let elsewhere = |mut metadata: Value| {
        metadata["token_endpoint"] = json!("http://tokens.example/token");
        metadata
    };
    let worlds = [
        World::with("", without("code_challenge_methods_supported")).await,
        World::with("", without("registration_endpoint")).await,
        World::with("", other_issuer).await,
        World::with("", elsewhere).await,
    ];
    for world in worlds {
        let mut browser = Browser::of_the_administrator(&world.product).await;
        let path = link(&mut browser).await;
        let begun = browser.get(&path).await;
        assert_eq!(begun.status, 502, "{begun:?}");
        assert!(!begun.body.contains("evil.example"));
    }
}

// MCP security best practices, server-side request forgery — N94
#[tokio::test]
async fn a_server_cannot_lead_the_broker_through_its_own_network() {
    let inside = FakeHttp::start(Reply::json("{}")).await;
    let world = World::new().await;
    let document = json!({
        "resource": format!("{}mcp", world.fake.url()),
        "authorization_servers": [inside.url().as_str().replace("127.0.0.1", "localhost")],
    });
    let path = "/.well-known/oauth-protected-resource/mcp";
    world.fake.answers_at(path, Reply::json(document.to_string()));
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let begun = link(&mut browser).await;
    assert_eq!(browser.get(&begun).await.status, 502);
    assert_eq!(inside.count(), 0, "though the operator's own settings may reach it");
}

// CIMD §3, §4.1 — N98
#[tokio::test]
async fn who_the_broker_is_as_a_client_can_be_read() {
    let world = World::new().await;
    let document = world.product.get("/oauth-client.json").await.json();
    assert_eq!(document["client_id"], world.product.url("/oauth-client.json"));
    assert_eq!(
        document["redirect_uris"],
        json!([world.product.url("/account/connections/weather/callback")])
    );
    assert_eq!(document["token_endpoint_auth_method"], "none");
    assert!(document.get("client_secret").is_none());
    assert_eq!(Product::dev().await.get("/oauth-client.json").await.status, 404);
}
