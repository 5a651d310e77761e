//! Accounts whose tokens come without a refresh token: they last as long as those do.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::json;

use crate::support::fake_http::Reply;

use super::browser::Browser;
use super::connections_world::{World, connects, tokens};

// RFC 6749 §5.1: `expires_in` is only recommended, `refresh_token` is optional
#[tokio::test]
async fn a_token_without_another_is_used_until_it_ends_or_is_refused() {
    for ends in [None, Some(604_800)] {
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let world = World::at_time(Arc::clone(&clock) as _).await;
        let mut browser = Browser::of_the_administrator(&world.product).await;
        let mut only = json!({ "access_token": "only", "token_type": "bearer" });
        if let Some(seconds) = ends {
            only["expires_in"] = json!(seconds);
        }
        world.fake.answers_at("/token", Reply::json(only.to_string()));
        connects(&world, &mut browser).await;
        clock.advance(Duration::from_hours(2));
        let token = world.token(&mut browser).await;
        assert_eq!(world.calls(&token).await.status, 200, "{ends:?}");
        assert_eq!(world.at("/mcp").last().unwrap().headers["authorization"], "Bearer only");
        assert_eq!(world.at("/token").len(), 1, "nobody was asked");
        world.fake.answers_at("/mcp", Reply::status(401));
        world.calls(&token).await;
        let over = world.calls(&token).await;
        assert!(over.body.contains("connect_url"), "{over:?}");
        assert!(browser.get("/account").await.body.contains("Not connected"), "{ends:?}");
    }
}

/// GitHub refuses so.
#[tokio::test]
async fn a_refusal_with_200_ends_the_account_as_any_other() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    world.fake.answers_at("/token", tokens("first", 1));
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    let refused = json!({ "error": "bad_refresh_token", "error_description": "CANARY" });
    world.fake.answers_at("/token", Reply::json(refused.to_string()));
    let over = world.calls(&token).await;
    assert!(over.body.contains("connect_url") && !over.body.contains("CANARY"), "{over:?}");
    assert!(browser.get("/account").await.body.contains("Not connected"));
}
