//! A server wants more of a person's account than they allowed: they are asked for it, and lose nothing.

use url::Url;

use crate::support::fake_http::Reply;
use crate::support::product::Product;

use super::browser::Browser;
use super::connections_world::{World, connects, link, parameter, settings};

/// The server refuses a call for want of this scope.
async fn wants(world: &World, token: &str, scope: &str) {
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    world.fake.answers_at("/mcp", Reply::status(403).header("www-authenticate", &challenge));
    let wanted = world.calls(token).await;
    assert!(wanted.body.contains("connect_url"), "{wanted:?}");
}

/// What the person's browser is sent to ask for.
async fn asks_for(browser: &mut Browser<'_>) -> String {
    let path = link(browser).await;
    let begun: Url = browser.get(&path).await.header("location").parse().unwrap();
    parameter(&begun, "scope")
}

// RFC 6750 §3.1, MCP authorization, step-up
#[tokio::test]
async fn a_server_that_wants_more_sends_the_person_back_to_allow_it() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    wants(&world, &token, "w:write").await;
    assert_eq!(asks_for(&mut browser).await, "w:read offline_access w:write");
}

#[tokio::test]
async fn a_second_step_up_keeps_what_the_first_was_for() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    wants(&world, &token, "w:write").await;
    connects(&world, &mut browser).await;
    wants(&world, &token, "w:admin").await;
    wants(&world, &token, "w:export").await;
    let all = "w:read offline_access w:write w:admin w:export";
    assert_eq!(asks_for(&mut browser).await, all);
}

/// A browser comes to whichever replica is free.
#[tokio::test]
async fn what_is_missing_is_known_to_another_process_of_the_same_store() {
    let mut world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    wants(&world, &token, "w:write").await;
    let base = world.fake.url().to_string();
    let settings = settings(base.trim_end_matches('/'), "");
    world.product = Box::pin(Product::restart(world.product, &settings)).await;
    let mut browser = Browser::new(&world.product);
    browser.logs_in().await;
    assert_eq!(asks_for(&mut browser).await, "w:read offline_access w:write");
}
