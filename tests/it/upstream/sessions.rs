//! Sessions of servers that have them, bound to their callers (RS-31, RS-32).

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::behind::{GET, PATH, broker, token};
use super::draining::server;
use crate::support::audit::LIMIT;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;

const OPENED: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"protocolVersion":"2025-11-25"}}"#;

async fn opened() -> (FakeHttp, Product, String) {
    let fake = FakeHttp::start(Reply::json(OPENED).header("mcp-session-id", "s-1")).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let token = token(&product, &["weather:read"]);
    let answer =
        product.send(mcp(Wire::Legacy, Some(&token), "initialize", json!({})).path(PATH)).await;
    let session = answer.header("mcp-session-id");
    assert!(session.ends_with(".s-1") && session.len() > 40, "{session}");
    (fake, product, session)
}

fn ping(token: &str, session: &str) -> Request {
    let request = mcp(Wire::Legacy, Some(token), "ping", json!({})).path(PATH);
    request.header("mcp-session-id", session)
}

// MCP 2025-11-25 SBP §Session Hijacking — RS-31, RS-32
#[tokio::test]
async fn a_session_is_its_callers_alone() {
    let (fake, product, session) = opened().await;
    let own = token(&product, &["weather:read"]);
    assert_eq!(product.send(ping(&own, &session)).await.status, 200);
    assert_eq!(fake.asked().last().unwrap().headers["mcp-session-id"], "s-1");
    let before = fake.count();
    let other = product.token_with(&["weather:read"], |token| {
        token.audience = product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let forged = format!("{}.s-2", session.split_once('.').unwrap().0);
    for (token, session) in
        [(&other, session.as_str()), (&own, &forged), (&own, "s-1"), (&own, ""), (&own, ".s-1")]
    {
        assert_eq!(product.send(ping(token, session)).await.status, 404, "{session}");
    }
    let twice = ping(&own, &session).header("mcp-session-id", &session);
    assert_eq!(product.send(twice).await.status, 404);
    assert_eq!(fake.count(), before, "the server was not asked");
}

#[tokio::test]
async fn the_stream_of_a_session_carries_no_answers() {
    let (fake, product, session) = opened().await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"delete_a"}]}}"#;
    fake.answers(Reply::Answer(
        200,
        vec![("content-type", "text/event-stream".to_owned())],
        format!("data: {answer}\n\ndata: {note}\n\n").into(),
    ));
    let own = token(&product, &["weather:read"]);
    let get = Request::new("GET", PATH)
        .header("authorization", &format!("Bearer {own}"))
        .header("accept", "text/event-stream");
    assert_eq!(product.send(get.clone()).await.status, 405, "without a session there is none");
    let stream = product.send(get.header("mcp-session-id", &session)).await;
    assert!(
        stream.body.contains("list_changed") && !stream.body.contains("delete_a"),
        "{stream:?}"
    );
}

/// However servers say it: the client starts a new one at a bare 404 alone.
#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_gone() {
    let (fake, product, session) = opened().await;
    let own = token(&product, &["weather:read"]);
    for reply in [Reply::status(404)].into_iter().chain(forgotten()) {
        let shown = format!("{reply:?}");
        fake.answers(reply);
        let answer = product.send(ping(&own, &session)).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{shown}");
    }
}

/// What the Python SDK and others say of a session that they do not know.
pub(super) fn forgotten() -> Vec<Reply> {
    let error = |id: &str, message: &str| {
        let error = json!({ "code": -32600, "message": message });
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    };
    let none = "Bad Request: No valid session ID provided";
    let answer = |status, media: &str, body: String| {
        Reply::Answer(status, vec![("content-type", media.to_owned())], body.into())
    };
    vec![
        answer(404, "application/json", error("\"server-error\"", "Session not found")),
        answer(400, "application/json", error("\"server-error\"", none)),
        answer(400, "text/plain", none.to_owned()),
        answer(404, "application/json", error("null", "Session not found")),
    ]
}

#[tokio::test]
async fn an_error_in_a_session_that_answers_its_caller_is_handed_on() {
    let (fake, product, session) = opened().await;
    let own = token(&product, &["weather:read"]);
    for status in [400, 404] {
        let body = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no session"}}"#;
        let json = vec![("content-type", "application/json".to_owned())];
        fake.answers(Reply::Answer(status, json, body.into()));
        let answer = product.send(ping(&own, &session)).await;
        assert_eq!((answer.status, answer.rpc_error()), (status, json!(-32000)));
    }
    fake.answers(Reply::status(400));
    assert_eq!(product.send(ping(&own, &session)).await.status, 502);
}

// MCP 2025-11-25 resources, Subscriptions — RS-8
#[tokio::test]
async fn the_stream_of_a_session_tells_of_no_resource_that_policy_does_not_allow() {
    let fake = FakeHttp::start(Reply::json(OPENED).header("mcp-session-id", "s-1")).await;
    let table = "[[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n";
    let product = broker(fake.url().as_str(), table, "").await;
    let own = token(&product, &["weather:read"]);
    let hello = mcp(Wire::Legacy, Some(&own), "initialize", json!({})).path(PATH);
    let session = product.send(hello).await.header("mcp-session-id");
    let updated = |uri: &str| {
        format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{{\"uri\":\"{uri}\"}}}}\n\n"
        )
    };
    let told = ["secret:key", "city:../secret", "city:paris"].map(updated).concat();
    let media = vec![("content-type", "text/event-stream".to_owned())];
    fake.answers(Reply::Answer(200, media, told.into()));
    let get = Request::new("GET", PATH).header("authorization", &format!("Bearer {own}"));
    let stream = product.send(get.header("mcp-session-id", &session)).await;
    assert!(stream.body.contains("city:paris"), "{stream:?}");
    assert!(!stream.body.contains("secret"), "{stream:?}");
}

// MCP 2025-11-25 transports, Listening for Messages: a client may have several at once.
#[tokio::test]
async fn a_second_stream_of_a_session_is_one_of_its_own() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (leaves, mut left) = watch::channel(0);
    let mut running = JoinSet::new();
    running.spawn(server(listener, leaves));
    let product = broker(&url, GET, "").await;
    let own = token(&product, &["weather:read"]);
    let hello = mcp(Wire::Legacy, Some(&own), "initialize", json!({})).path(PATH);
    let session = product.send(hello).await.header("mcp-session-id");
    let listening = async || {
        let sent = reqwest::Client::default().get(product.url(PATH)).bearer_auth(&own);
        let sent = sent.header("accept", "text/event-stream").header("mcp-session-id", &session);
        let mut stream = sent.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.chunk().await.unwrap().unwrap(), ":\n\n", "a comment");
        stream
    };
    let (one, mut other) = (listening().await, listening().await);
    drop(one);
    let gone = tokio::time::timeout(LIMIT, left.wait_for(|left| *left > 0)).await;
    assert_eq!(*gone.unwrap().unwrap(), 1);
    let waits = tokio::time::timeout(std::time::Duration::from_millis(100), other.chunk()).await;
    assert!(waits.is_err(), "it has ended with the first: {waits:?}");
}
