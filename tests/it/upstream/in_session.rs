//! Clients of 2025-11-25 in a session of the broker's, before a server of 2026-07-28 that keeps none: what they subscribe to, what
//! they listen on, and how much they want of a log.

use std::time::Duration;

use serde_json::{Value, json};

use super::behind::{PATH, token};
use super::one_era::{Speaks, Translated, last};
use crate::support::audit::{LIMIT, assert_one_terminal_per_request};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

const UPDATED: &str = "notifications/resources/updated";
const LISTS: &str = "notifications/tools/list_changed";
/// What the server is asked for, as it notes it.
const BOTH: &str = r#"listen {"resourceSubscriptions":["city:paris"],"toolsListChanged":true}"#;

/// The server, and a client that has shaken hands with it.
struct InSession {
    behind: Translated,
    session: String,
}

impl InSession {
    async fn start() -> Self {
        let behind = Translated::start(Speaks::New).await;
        let hello = behind.rpc(Wire::Legacy, "initialize", json!({})).await;
        Self { session: hello.header("mcp-session-id"), behind }
    }

    async fn rpc(&self, method: &str, params: Value) -> Answer {
        let request = self.behind.request(Wire::Legacy, method, params);
        self.behind.product.send(request.header("mcp-session-id", &self.session)).await
    }

    /// `method`: `subscribe` or `unsubscribe`.
    async fn resource(&self, method: &str, uri: &str) -> Value {
        let answer = self.rpc(&format!("resources/{method}"), json!({ "uri": uri })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn listens(&self) -> Stream {
        self.listens_with(&token(&self.behind.product, &["weather:read"])).await
    }

    async fn listens_with(&self, token: &str) -> Stream {
        Stream::open(&self.behind.product, token, &self.session).await
    }

    async fn says(&self, method: &str) -> u16 {
        let token = token(&self.behind.product, &["weather:read"]);
        let request = Request::new(method, PATH)
            .header("authorization", &format!("Bearer {token}"))
            .header("mcp-session-id", &self.session);
        self.behind.product.send(request).await.status
    }

    /// What the server was asked to tell of.
    fn asked(&self) -> Vec<String> {
        self.behind.seen().into_iter().filter(|seen| seen.starts_with("listen")).collect()
    }
}

/// Its GET.
struct Stream {
    response: reqwest::Response,
    heard: String,
}

impl Stream {
    async fn open(product: &Product, token: &str, session: &str) -> Self {
        let get = reqwest::Client::default().get(product.url(PATH)).bearer_auth(token);
        let get = get.header("accept", "text/event-stream").header("mcp-session-id", session);
        Self { response: get.send().await.unwrap(), heard: String::new() }
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let data = data.map(|data| serde_json::from_str(data).unwrap());
                self.heard = rest.to_owned();
                if data.is_some() {
                    return data;
                }
                continue;
            }
            let chunk = tokio::time::timeout(LIMIT, self.response.chunk()).await;
            let chunk = chunk.expect("something is told, or the stream ends").unwrap()?;
            self.heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All until this is told.
    async fn until(&mut self, method: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            all.push(self.next().await.expect("it stays open"));
            if all.last().unwrap()["method"] == method {
                return all;
            }
        }
    }
}

// MCP 2025-11-25 resources, Subscriptions; transports, Listening for Messages
#[tokio::test]
async fn an_old_client_is_told_of_what_it_subscribed_to_and_of_lists() {
    let client = InSession::start().await;
    let mut stream = client.listens().await;
    assert_eq!(stream.response.status(), 200);
    assert_eq!(client.resource("subscribe", "city:paris").await["result"], json!({}));
    client.behind.sees(BOTH).await;
    for uri in ["city:rome", "city:paris"] {
        client.behind.tells("resources/updated", Some(uri));
    }
    let told = stream.until(UPDATED).await;
    let expected =
        json!({ "jsonrpc": "2.0", "method": UPDATED, "params": { "uri": "city:paris" } });
    assert_eq!(told, [expected], "as an old client knows it");
    client.behind.tells("tools/list_changed", None);
    assert_eq!(stream.until(LISTS).await[0], json!({ "jsonrpc": "2.0", "method": LISTS }));
}

#[tokio::test]
async fn a_subscription_ends_and_the_server_is_asked_for_less() {
    let client = InSession::start().await;
    client.resource("subscribe", "city:paris").await;
    client.behind.sees("left").await;
    let mut stream = client.listens().await;
    assert_eq!(client.resource("unsubscribe", "city:paris").await["result"], json!({}));
    client.behind.sees(r#"listen {"toolsListChanged":true}"#).await;
    assert_eq!(client.asked()[..2], [BOTH, BOTH]);
    client.behind.tells("resources/updated", Some("city:paris"));
    client.behind.tells("tools/list_changed", None);
    let told = stream.until(LISTS).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(client.resource("unsubscribe", "city:rome").await["result"], json!({}));
}

#[tokio::test]
async fn what_the_server_does_not_tell_of_cannot_be_subscribed_to() {
    let client = InSession::start().await;
    let refused = client.resource("subscribe", "city:atlantis").await;
    assert_eq!(refused["error"]["code"], -32602, "the server does not take it: {refused}");
    let hidden = client.resource("subscribe", "secret:key").await;
    assert_eq!(hidden["error"]["code"], -32002, "policy does not show it: {hidden}");
    assert!(client.asked().iter().all(|asked| !asked.contains("secret")));
    let stream = client.listens().await;
    client.behind.sees(r#"listen {"toolsListChanged":true}"#).await;
    drop(stream);
}

/// Else its client would take it for subscribed to, and wait for what nobody tells.
#[tokio::test]
async fn what_the_server_tells_of_no_more_is_not_subscribed_to_any_more() {
    let client = InSession::start().await;
    assert_eq!(client.resource("subscribe", "city:paris").await["result"], json!({}));
    client.behind.is_silent_of("city:paris");
    let _stream = client.listens().await;
    let refused = client.resource("subscribe", "city:paris").await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

// RS-8, RS-31, RS-32
#[tokio::test]
async fn nobody_is_told_of_what_another_subscribed_to() {
    let client = InSession::start().await;
    let product = &client.behind.product;
    let mut own = client.listens().await;
    client.resource("subscribe", "city:paris").await;
    client.behind.sees(BOTH).await;
    let eve = product.token_with(&["weather:read"], |token| {
        token.audience = product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let stolen = client.listens_with(&eve).await;
    assert_ne!(stolen.response.status(), 200, "it is not hers");
    let hello = mcp(Wire::Legacy, Some(&eve), "initialize", json!({})).path(PATH);
    let hers = product.send(hello).await.header("mcp-session-id");
    let mut stream = Stream::open(product, &eve, &hers).await;
    let listened = || client.asked().len() >= 3;
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !listened() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", client.asked());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.behind.tells("resources/updated", Some("city:paris"));
    client.behind.tells("tools/list_changed", None);
    assert_eq!(own.until(UPDATED).await.last().unwrap()["params"]["uri"], "city:paris");
    assert_eq!(stream.until(LISTS).await.len(), 1, "of the lists alone");
}

// MCP 2025-11-25 utilities/logging
#[tokio::test]
async fn the_level_that_an_old_client_sets_goes_with_its_calls() {
    let client = InSession::start().await;
    let call = async || {
        let answer = client.rpc("tools/call", json!({ "name": "get_logged" })).await;
        let logged = answer.body.contains("for a log");
        (last(&answer)["result"]["content"][0]["text"].clone(), logged)
    };
    assert_eq!(call().await, (json!("info"), true), "where it says nothing");
    let set = client.rpc("logging/setLevel", json!({ "level": "error" })).await;
    assert_eq!(set.json()["result"], json!({}));
    assert_eq!(call().await, (json!("error"), true));
    let wrong = client.rpc("logging/setLevel", json!({ "level": "loud" })).await;
    assert_eq!((wrong.status, wrong.rpc_error()), (200, json!(-32602)));
    assert_eq!(call().await, (json!("error"), true));
    let outside = client.behind.call(Wire::Legacy, "get_logged", json!({})).await;
    assert_eq!(outside["result"]["content"][0]["text"], "", "a session is what has a level");
}

// LG-3
#[tokio::test]
async fn a_session_ends_with_its_stream_and_all_that_it_subscribed_to() {
    let client = InSession::start().await;
    client.resource("subscribe", "city:paris").await;
    let mut stream = client.listens().await;
    assert_eq!(client.says("PUT").await, 405);
    assert_eq!(client.says("DELETE").await, 200);
    assert_eq!(stream.next().await, None);
    assert_eq!(client.says("GET").await, 404);
    for (method, params) in [
        ("resources/subscribe", json!({ "uri": "city:paris" })),
        ("logging/setLevel", json!({ "level": "info" })),
    ] {
        assert_eq!(client.rpc(method, params).await.status, 404, "the client starts a new one");
    }
    assert_eq!(client.rpc("tools/list", json!({})).await.status, 200, "that needs none");
    assert_one_terminal_per_request(&client.behind.product.audit_lines());
}

/// Each message is told once (MCP 2025-11-25 transports): the newest stream has them.
#[tokio::test]
async fn a_session_has_one_stream_and_the_server_is_left_with_it() {
    let client = InSession::start().await;
    let (mut first, mut second) = (client.listens().await, client.listens().await);
    assert_eq!(first.next().await, None);
    client.behind.sees("left").await;
    client.behind.tells("tools/list_changed", None);
    assert_eq!(second.until(LISTS).await.len(), 1);
    drop(second);
    let lefts = || client.behind.seen().iter().filter(|seen| *seen == "left").count();
    let deadline = tokio::time::Instant::now() + LIMIT;
    while lefts() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", client.behind.seen());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_stream_of_a_session_ends_with_the_token_it_was_opened_with() {
    let client = InSession::start().await;
    let product = &client.behind.product;
    let short = product.token_with(&["weather:read"], |token| {
        token.audience = product.url(PATH);
        token.expires_at = token.issued_at.plus(Duration::from_secs(2));
    });
    let mut stream = client.listens_with(&short).await;
    assert_eq!(stream.response.status(), 200);
    assert_eq!(stream.next().await, None);
    client.behind.sees("left").await;
    assert_eq!(client.listens().await.response.status(), 200, "the session goes on");
}
