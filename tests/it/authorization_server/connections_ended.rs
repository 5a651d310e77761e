//! Accounts at servers end with what let apps use them, and their tokens are given back.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::Value;

use crate::support::child::command_beside;
use crate::support::until::until;

use super::browser::Browser;
use super::connections_world::{World, connects, settings};

/// By a process of its own, as on another replica.
fn run(world: &World, arguments: &[&str]) -> String {
    let directory = world.product.directory.path();
    let done = command_beside(directory, &world.product.authority, arguments);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

// RFC 7009 §2.1
#[tokio::test]
async fn an_account_ends_with_the_last_grant_and_its_tokens_are_given_back() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    assert_eq!(world.calls(&token).await.status, 200);
    assert!(browser.get("/account").await.body.contains("Connected"));
    let grants: Value = serde_json::from_str(&run(&world, &["grant", "list", "--json"])).unwrap();
    for grant in grants.as_array().unwrap() {
        assert!(world.at("/revoke").is_empty(), "one is left");
        run(&world, &["grant", "revoke", grant["id"].as_str().unwrap()]);
    }
    let given = until("the tokens are given back", async || world.at("/revoke").pop()).await;
    assert!(given.body.contains("token=refresh-first"), "{}", given.body);
    assert!(!browser.get("/account").await.body.contains("Connected"));
}

// RFC 7009 §2.1
#[tokio::test]
async fn the_tokens_of_who_is_disabled_are_given_back() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let users: Value = serde_json::from_str(&run(&world, &["user", "list", "--json"])).unwrap();
    let name = users[0]["username"].as_str().unwrap();
    run(&world, &["user", "disable", name, "--last-administrator"]);
    let given = until("the tokens are given back", async || world.at("/revoke").pop()).await;
    assert!(given.body.contains("token=refresh-first"), "{}", given.body);
}

/// As a replica whose settings have not got the server yet.
#[tokio::test]
async fn whoever_does_not_know_the_server_leaves_the_tokens_for_another_to_give_back() {
    let mut world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let users: Value = serde_json::from_str(&run(&world, &["user", "list", "--json"])).unwrap();
    let base = world.fake.url().to_string();
    let others = settings(base.trim_end_matches('/'), "").replace("\"weather\"", "\"other\"");
    world.product = Box::pin(world.product.restart(&others)).await;
    let name = users[0]["username"].as_str().unwrap();
    run(&world, &["user", "disable", name, "--last-administrator"]);
    let path = world.product.directory.path().join("data/broker.db");
    let file = rusqlite::Connection::open(path).unwrap();
    until("it was tried, and is to be tried again in a minute", async || {
        let soon = SystemClock.now().plus_seconds(90).unix_millis();
        let due = "SELECT 1 FROM ended_accounts WHERE attempts = 1 AND next_at < ?1";
        file.query_row(due, [soon], |_| Ok(())).ok()
    })
    .await;
    assert!(world.at("/revoke").is_empty());
}

/// The person authorizes the broker itself, at a page of the broker's; what it gets so is for the server alone.
// MCP 2026-07-28 client/elicitation §Security Considerations — EL-4
#[tokio::test]
async fn no_app_sees_the_tokens_of_an_account_and_no_server_those_of_an_app() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let token = world.token(&mut browser).await;
    let refused = world.calls(&token).await;
    assert!(refused.body.contains(&world.product.url("/account")), "{refused:?}");
    connects(&world, &mut browser).await;
    let answer = world.calls(&token).await;
    let called = world.at("/mcp").pop().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(called.headers["authorization"], "Bearer first");
    for told in [refused, answer] {
        assert!(!format!("{told:?}").contains("first"), "{told:?}");
    }
    for asked in world.fake.asked() {
        assert!(!format!("{asked:?}").contains(&token), "{asked:?}");
    }
}
