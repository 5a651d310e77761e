//! Limits of lists and streams at a server behind the broker.

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::behind::{Behind, GET, PATH, broker, token};
use super::draining::server;
use super::raw_server::{RawServer, STREAM, Then, event};
use super::streams::opened;
use crate::support::audit::{LIMIT, assert_one_terminal_per_request};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp, post};
use crate::support::raw_http::Request;

const HEARD: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#;

fn listen(product: &Product) -> Request {
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let token = token(product, &["weather:read"]);
    mcp(Wire::Modern, Some(&token), "subscriptions/listen", wanted).path(PATH)
}

#[tokio::test]
async fn a_stream_that_is_too_much_is_refused_until_another_ends() {
    let beginning = [STREAM.as_bytes(), &event(HEARD)].concat();
    let mut server = RawServer::start(beginning, Then::Listen).await;
    let product = broker(&server.url, &format!("{GET}[limits]\nstreams_per_user = 1\n"), "").await;
    let mut stream = opened(&product, listen(&product)).await;
    assert!(stream.chunk().await.unwrap().is_some());
    let refused = product.send(listen(&product)).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let error = &refused.json()["error"];
    assert_eq!(error["data"]["code"], "policy.rate_limited");
    assert!(error["message"].as_str().unwrap().contains("too many streams at a time"), "{error}");
    drop(stream);
    server.is_left().await;
    let mut again = opened(&product, listen(&product)).await;
    assert!(again.chunk().await.unwrap().is_some());
}

#[tokio::test]
async fn asking_for_the_stream_of_a_session_is_a_request_like_any_other() {
    let reply =
        Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"protocolVersion":"2025-11-25"}}"#)
            .header("mcp-session-id", "s-1");
    let fake = FakeHttp::start(reply).await;
    let table = format!("{GET}[limits]\nrequests_per_user = \"2/day\"\n");
    let product = broker(fake.url().as_str(), &table, "").await;
    let token = token(&product, &["weather:read"]);
    let hello = mcp(Wire::Legacy, Some(&token), "initialize", json!({})).path(PATH);
    let session = product.send(hello).await.header("mcp-session-id");
    let get = || {
        Request::new("GET", PATH)
            .header("authorization", &format!("Bearer {token}"))
            .header("mcp-session-id", &session)
    };
    assert_ne!(product.send(get()).await.status, 429);
    assert_eq!(product.send(get()).await.status, 429, "the handshake was the first");
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn the_stream_of_a_session_has_a_place_like_any_other() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (leaves, mut left) = watch::channel(0);
    let mut running = JoinSet::new();
    running.spawn(server(listener, leaves));
    let product = broker(&url, &format!("{GET}[limits]\nstreams_per_user = 1\n"), "").await;
    let token = token(&product, &["weather:read"]);
    let hello = mcp(Wire::Legacy, Some(&token), "initialize", json!({})).path(PATH);
    let session = product.send(hello).await.header("mcp-session-id");
    let listening = async || {
        let sent = reqwest::Client::default().get(product.url(PATH)).bearer_auth(&token);
        let sent = sent.header("accept", "text/event-stream").header("mcp-session-id", &session);
        sent.send().await.unwrap()
    };
    let stream = listening().await;
    assert_eq!(stream.status(), 200);
    let refused = listening().await;
    assert_eq!(refused.status(), 429);
    let said = refused.text().await.unwrap();
    assert!(said.contains("too many streams at a time"), "{said}");
    drop(stream);
    let gone = left.wait_for(|left| *left > 0);
    tokio::time::timeout(LIMIT, gone).await.unwrap().unwrap();
    assert_eq!(listening().await.status(), 200);
}

/// What listens is no call that is under way.
#[tokio::test]
async fn a_stream_that_tells_of_a_resource_takes_no_place_of_a_call() {
    const CITIES: &str =
        "[[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n";
    let beginning = [STREAM.as_bytes(), &event(HEARD)].concat();
    let server = RawServer::start(beginning, Then::Listen).await;
    let limits = "[limits]\nuser_concurrency = 1\nstreams_per_user = 1\n";
    let product = broker(&server.url, &format!("{GET}{CITIES}{limits}"), "").await;
    let token = token(&product, &["weather:read"]);
    let paris = json!({ "notifications": { "resourceSubscriptions": ["city:paris"] } });
    let listen =
        || mcp(Wire::Modern, Some(&token), "subscriptions/listen", paris.clone()).path(PATH);
    let mut stream = opened(&product, listen()).await;
    assert!(stream.chunk().await.unwrap().is_some());
    // Refused for the place of the stream alone: the one of a call is free.
    let refused = product.send(listen()).await;
    assert!(refused.body.contains("too many streams at a time"), "{refused:?}");
    // None of the server's: it needs no answer.
    let unknown = json!({ "name": "absent" });
    let call = mcp(Wire::Modern, Some(&token), "tools/call", unknown).path(PATH);
    assert_eq!(product.send(call).await.rpc_error(), -32602);
}

#[tokio::test]
async fn lists_and_handshakes_are_counted_and_calls_are_not() {
    let behind = Behind::start(&format!("{GET}[limits]\nrequests_per_user = \"1/day\"\n")).await;
    let rpc = async |method, params| {
        behind.rpc(Wire::Modern, &["weather:read"], (method, params)).await.status
    };
    assert_eq!(rpc("tools/list", json!({})).await, 200);
    assert_eq!(rpc("tools/list", json!({})).await, 429);
    assert_eq!(rpc("server/discover", json!({})).await, 429);
    assert_eq!(rpc("tools/call", json!({ "name": "get_weather" })).await, 200);
}

/// Of a list at `/mcp` the servers' are parts.
#[tokio::test]
async fn one_list_of_many_servers_is_one_request() {
    let table = format!("fold = true\n{GET}[limits]\nrequests_per_user = \"1/day\"\n");
    let behind = Behind::start(&table).await;
    let token = behind.product.token(&["weather:read"]);
    let list = async || behind.product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    let first = list().await;
    assert!(first.body.contains("weather.get_weather"), "{first:?}");
    assert_eq!(list().await.status, 429);
}

/// At the server's own endpoint, and at `/mcp` about what it has there.
#[tokio::test]
async fn what_is_refused_for_its_form_is_counted_once() {
    let table = format!("fold = true\n{GET}[limits]\nrequests_per_user = \"1/day\"\n");
    let behind = Behind::start(&table).await;
    let token = |name: &str, path: &str| {
        behind.product.token_with(&["weather:read"], |token| {
            token.subject = name.parse().unwrap();
            token.audience = behind.product.url(path);
        })
    };
    let wrong = |number: usize, token: &str| {
        let token = Some(token);
        let (get, unnamed) = (json!({ "name": "weather.day" }), json!({}));
        match number {
            0 => post(token, "[]").path(PATH),
            1 => mcp(Wire::Modern, token, "ping", json!({})).path(PATH).without("mcp-method"),
            2 => mcp(Wire::Legacy, token, "tools/call", unnamed).path(PATH),
            3 => {
                mcp(Wire::Legacy, token, "ping", json!({})).path(PATH).header("mcp-session-id", "x")
            }
            4 => mcp(Wire::Modern, token, "prompts/get", get).without("mcp-name"),
            _ => mcp(Wire::Legacy, token, "prompts/get", unnamed),
        }
    };
    for number in 0..6 {
        let path = if number < 4 { PATH } else { "/mcp" };
        let token = token(&format!("caller-{number}"), path);
        let answers = [
            behind.product.send(wrong(number, &token)).await,
            behind.product.send(wrong(number, &token)).await,
        ];
        assert_ne!(answers[0].status, 429, "{number}: {:?}", answers[0]);
        assert_eq!(answers[1].status, 429, "{number}: {:?}", answers[1]);
    }
    assert_one_terminal_per_request(&behind.product.audit_lines());
}
