//! A person's tokens are renewed once, whoever goes away or is slow meanwhile: a refresh token that comes twice ends the grant.

use std::sync::Arc;

use mcp_auth_broker::store::{Database, StoreSettings, UpstreamAccountRow, open};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::fake_http::Reply;
use crate::support::until::until;

use super::browser::Browser;
use super::connections_world::{World, connects, settings, tokens};

const DOCUMENT: &str = "/.well-known/oauth-protected-resource/mcp";

/// The token of a person whose account's is due; the next of the account comes when the test says.
async fn due(world: &World) -> (String, Arc<Notify>) {
    let mut browser = Browser::of_the_administrator(&world.product).await;
    world.fake.answers_at("/token", tokens("first", 1));
    connects(world, &mut browser).await;
    let token = world.token(&mut browser).await;
    let gate = Arc::new(Notify::new());
    let renewed = Reply::When(Arc::clone(&gate), Box::new(tokens("second", 3600)));
    world.fake.answers_at("/token", renewed);
    (token, gate)
}

/// Until the refresh token is sent.
async fn renews(world: &World) {
    let asked = async || (world.at("/token").len() == 2).then_some(());
    until("the refresh token is sent", asked).await;
}

// OAuth 2.1 §4.3.1
#[tokio::test]
async fn a_renewal_ends_though_its_caller_goes_away() {
    let world = World::new().await;
    let (token, gate) = due(&world).await;
    tokio::select! {
        answer = world.calls(&token) => panic!("{answer:?}"),
        () = renews(&world) => {}
    }
    world.product.audited(|event| event["payload"]["status"] == "cancelled").await;
    gate.notify_one();
    let answer = world.calls(&token).await;
    assert_eq!((answer.status, world.at("/token").len()), (200, 2), "{answer:?}");
    assert_eq!(world.at("/mcp").last().unwrap().headers["authorization"], "Bearer second");
}

/// What a replica may take its time for is done before it says that it renews: others wait no longer for it than that.
#[tokio::test]
async fn nobody_claims_a_renewal_before_the_authorization_server_is_known() {
    let mut world = World::new().await;
    let base = world.fake.url().to_string();
    let base = base.trim_end_matches('/');
    let mut browser = Browser::of_the_administrator(&world.product).await;
    world.fake.answers_at("/token", tokens("first", 1));
    connects(&world, &mut browser).await;
    // The process that connected it knows it.
    world.product = Box::pin(world.product.restart(&settings(base, ""))).await;
    let mut browser = Browser::new(&world.product);
    browser.logs_in().await;
    let token = world.token(&mut browser).await;
    let (gate, before) = (Arc::new(Notify::new()), world.at(DOCUMENT).len());
    let document = json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] });
    let document = Box::new(Reply::json(document.to_string()));
    world.fake.answers_at(DOCUMENT, Reply::When(Arc::clone(&gate), document));
    let claims = async {
        let asked = async || (world.at(DOCUMENT).len() > before).then_some(());
        until("the server is asked for its authorization server", asked).await;
        let (store, row) = account(&world).await;
        let now = SystemClock.now();
        let claimed = store.claim_upstream_account(&row, now, now).await.unwrap();
        gate.notify_one();
        claimed
    };
    let (answer, claimed) = tokio::join!(world.calls(&token), claims);
    assert!(claimed, "nobody else had claimed it");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Of tokens that are renewed each time the new one counts, and nobody else has it.
// OAuth 2.1 §4.3.1, RFC 7009 §2.1
#[tokio::test]
async fn what_is_renewed_while_its_account_ends_is_given_back() {
    let world = World::new().await;
    let (token, gate) = due(&world).await;
    let ends = async {
        renews(&world).await;
        ended(&world).await;
        gate.notify_one();
    };
    let (answer, ()) = tokio::join!(world.calls(&token), ends);
    assert!(answer.body.contains("connect"), "{answer:?}");
    let given = async || {
        let given = world.at("/revoke");
        given.iter().any(|asked| asked.body.contains("token=refresh-second")).then_some(())
    };
    until("the renewed token is given back", given).await;
}

/// What the server takes no more is noted by whoever is told so, also while another renews it.
#[tokio::test]
async fn what_is_renewed_while_somebody_notes_that_it_is_due_is_kept() {
    let world = World::new().await;
    let (token, gate) = due(&world).await;
    let notes = async {
        renews(&world).await;
        let (store, row) = account(&world).await;
        assert!(store.renew_upstream_account(&row, &row.sealed).await.unwrap());
        gate.notify_one();
    };
    let (answer, ()) = tokio::join!(world.calls(&token), notes);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.at("/mcp").last().unwrap().headers["authorization"], "Bearer second");
    assert!(world.at("/revoke").is_empty());
}

/// As another process finds it in the store.
async fn account(world: &World) -> (Arc<dyn Database>, UpstreamAccountRow) {
    let path = world.product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let user = store.find_user_by_name("admin").await.unwrap().unwrap();
    let row = store.find_upstream_account(user.id, "weather").await.unwrap().unwrap();
    (store, row)
}

/// Its person ends it.
async fn ended(world: &World) {
    let (store, row) = account(world).await;
    let now = SystemClock.now();
    assert!(store.disconnect_upstream_account(row.user_id, "weather", now).await.unwrap());
}
