//! Accounts at servers where the operator has a client: its secret is shown to the authorization server it is for.

use serde_json::json;

use super::browser::Browser;
use super::connections_world::{World, back, begins, connects, link, parameter, tokens};
use crate::support::fake_http::{FakeHttp, Reply};

#[tokio::test]
async fn an_operators_own_client_and_endpoints_need_no_discovery() {
    let fake = FakeHttp::start(Reply::status(500)).await;
    let url = fake.url();
    let keys = format!(
        "authorize_url = \"{url}oauth\", token_url = \"{url}exchange\", client_id = \"ours\", client_secret = \"s3cret\", scopes = [\"repo\"]"
    );
    let world = World::with(&keys, |metadata| metadata).await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    fake.answers_at("/exchange", tokens("first", 3600));
    let begun = begins(&mut browser).await;
    assert_eq!((begun.path(), parameter(&begun, "scope").as_str()), ("/oauth", "repo"));
    assert_eq!(browser.get(&back(&begun, &[("code", "c0de")])).await.status, 303);
    let basic = "Basic b3VyczpzM2NyZXQ=";
    assert_eq!(fake.asked()[0].headers["authorization"], basic);
    assert_eq!(world.fake.count(), 0, "nothing was looked up");
}

// MCP 2026-07-28 authorization, Authorization Server Binding; RFC 9700 §4.4
#[tokio::test]
async fn an_operators_secret_is_shown_to_no_authorization_server_that_the_server_names() {
    let evil = FakeHttp::start(tokens("evil", 3600)).await;
    let keys = "client_id = \"ours\", client_secret = \"s3cret\", issuer = \"BASE\"";
    let world = World::with(keys, |metadata| metadata).await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let base = evil.url().to_string();
    let base = base.trim_end_matches('/');
    let server = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
        "code_challenge_methods_supported": ["S256"],
    });
    evil.answers_at("/.well-known/oauth-authorization-server", Reply::json(server.to_string()));
    let named =
        json!({ "resource": format!("{}mcp", world.fake.url()), "authorization_servers": [base] });
    let path = "/.well-known/oauth-protected-resource/mcp";
    world.fake.answers_at(path, Reply::json(named.to_string()));
    let begun = link(&mut browser).await;
    let begun = browser.get(&begun).await;
    assert_eq!(begun.status, 502, "{begun:?}");
    assert!(evil.asked().iter().all(|asked| asked.path != "/token"));
}

#[tokio::test]
async fn an_operators_secret_is_shown_to_its_own_authorization_server() {
    let keys = "client_id = \"ours\", client_secret = \"s3cret\", issuer = \"BASE\"";
    let world = World::with(keys, |metadata| metadata).await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let exchanged = &world.at("/token")[0].body;
    assert!(exchanged.contains("client_id=ours") && exchanged.contains("client_secret=s3cret"));
    assert_eq!(world.at("/register").len(), 0);
}
