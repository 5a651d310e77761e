//! Approvals through the admin API, and the webhook that announces them.

use std::sync::Arc;

use mcp_auth_broker::store::{StoreSettings, open};
use mcp_auth_broker::time::SystemClock;
use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

use super::approvals::{asked, delete, product, product_with};

const GRACE: &str = "grace@contoso.example";

/// A token of a person, sent by the app `console`.
async fn token(product: &Product, name: &str, scope: &str) -> String {
    let path = product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let id = store.find_user_by_name(name).await.unwrap().unwrap().id.to_string();
    product.token_with(&[scope], |token| {
        token.subject = id.parse().unwrap();
        token.client_id = "console".parse().unwrap();
    })
}

async fn get(product: &Product, token: &str, path: &str) -> Answer {
    let request = Request::new("GET", &format!("/api/v1/approvals{path}"));
    product.send(request.header("authorization", &format!("Bearer {token}"))).await
}

async fn say(product: &Product, token: &str, id: &str, decision: &str) -> Answer {
    let request = Request::new("POST", &format!("/api/v1/approvals/{id}/answer"))
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(json!({ "decision": decision, "comment": "ticket 4711" }).to_string());
    product.send(request).await
}

async fn asks(product: &Product) -> (String, Value) {
    let reply = product.graph(&product.token(&[]), delete(GRACE)).await;
    (asked(&reply), reply)
}

#[tokio::test]
async fn an_approver_sees_the_call_and_lets_it_through_once() {
    let product = product().await;
    let (id, _) = asks(&product).await;
    let lena = token(&product, "lena", "broker:approve").await;
    let listed = get(&product, &lena, "").await.json();
    assert_eq!(listed["items"][0]["id"], id.as_str(), "{listed}");
    let shown = get(&product, &lena, &format!("/{id}")).await.json();
    assert_eq!((&shown["state"], &shown["may_answer"]), (&json!("pending"), &json!(true)));
    assert!(shown["arguments"].as_str().unwrap().contains("/v1.0/users/grace@"), "{shown}");
    let answered = say(&product, &lena, &id, "approve").await;
    assert_eq!((answered.status, &answered.json()["state"]), (200, &json!("approved")));
    let done = product.graph(&product.token(&[]), delete(GRACE)).await;
    assert_eq!(done["status"], "ok", "{done}");
    assert_eq!(say(&product, &lena, &id, "approve").await.status, 409);
    let again = product.graph(&product.token(&[]), delete(GRACE)).await;
    assert_ne!(asked(&again), id);
}

#[tokio::test]
async fn who_may_not_answer_is_told_as_much_as_they_may_know_and_is_on_record() {
    let product = product().await;
    let (id, _) = asks(&product).await;
    let olga = token(&product, "olga", "broker:approve").await;
    assert_eq!(get(&product, &olga, "").await.json()["items"], json!([]));
    assert_eq!(get(&product, &olga, &format!("/{id}")).await.status, 404);
    assert_eq!(say(&product, &olga, &id, "deny").await.status, 404);
    let graph = token(&product, "lena", "graph:*").await;
    assert_eq!(say(&product, &graph, &id, "approve").await.status, 403);
    let refused = product.audited(|event| event["payload"]["outcome"] == "not_an_approver").await;
    assert_eq!(refused["event_type"], "approval.answered");
    assert_eq!(product.event_types().iter().filter(|kind| *kind == "approval.answered").count(), 1);
}

// An agent with a person's token is not that person.
#[tokio::test]
async fn the_app_that_asked_cannot_answer_whoever_it_acts_for() {
    let product = product().await;
    let (id, _) = asks(&product).await;
    let lena = token(&product, "lena", "broker:approve").await;
    let claims = lena.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    let subject = claims["sub"].as_str().unwrap().to_owned();
    let agent = product.token_with(&["broker:approve"], |token| {
        token.subject = subject.parse().unwrap();
    });
    assert_eq!(say(&product, &agent, &id, "approve").await.status, 403);
    let refused = product.audited(|event| event["payload"]["outcome"] == "own_call").await;
    assert_eq!(refused["payload"]["approval"], id.as_str());
    let waits = product.graph(&product.token(&[]), delete(GRACE)).await;
    assert_eq!(asked(&waits), id);
}

#[tokio::test]
async fn a_body_of_another_shape_answers_nothing() {
    let product = product().await;
    let (id, _) = asks(&product).await;
    let lena = token(&product, "lena", "broker:approve").await;
    for decision in ["maybe", "", "Approve"] {
        assert_eq!(say(&product, &lena, &id, decision).await.status, 422, "{decision}");
    }
    assert_eq!(say(&product, &lena, "x", "approve").await.status, 404);
}

#[tokio::test]
async fn a_waiting_call_is_announced_signed_without_its_arguments() {
    let chat = FakeHttp::start(Reply::status(200)).await;
    let settings = format!(
        "[approvals]\nwebhook_url = \"{}hook\"\nwebhook_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n[outbound]\nallow_private = [\"127.0.0.1\"]",
        chat.url()
    );
    let product = product_with(&settings).await;
    let (id, reply) = asks(&product).await;
    let told = product.audited(|event| event["event_type"] == "approval.notified").await;
    assert_eq!(
        (&told["payload"]["approval"], &told["payload"]["delivered"]),
        (&json!(id), &json!(true))
    );
    let sent = chat.asked().pop().unwrap();
    assert_eq!(
        (sent.path.as_str(), sent.headers["webhook-id"].to_str().unwrap()),
        ("/hook", id.as_str())
    );
    assert!(sent.headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert!(!sent.body.contains("grace"), "{}", sent.body);
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(body["data"]["approval_url"], reply["error"]["metadata"]["approval_url"]);
    asks(&product).await;
    assert_eq!(chat.count(), 1, "the same question is no news");
}

#[tokio::test]
async fn a_webhook_that_never_answers_holds_up_no_call() {
    let chat = FakeHttp::start(Reply::Silence).await;
    let settings = format!(
        "[approvals]\nwebhook_url = \"{}\"\nwebhook_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n[outbound]\nallow_private = [\"127.0.0.1\"]",
        chat.url()
    );
    let mut product = product_with(&settings).await;
    let (id, _) = asks(&product).await;
    let lena = token(&product, "lena", "broker:approve").await;
    assert_eq!(say(&product, &lena, &id, "deny").await.status, 200);
    product.stop();
    product.ended().await;
}
