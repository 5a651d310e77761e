//! Streams that end before their time, or would never end.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::behind::{GET, PATH, broker, broker_at, call, token};
use super::one_era::last;
use super::raw_server::{RawServer, STREAM, Then, chunk, event};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;

const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;

/// The code that the caller of a tool gets in the end.
fn code(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]["error"]["code"]
}

/// The parts of an answer as they arrive: the request is sent by a client that reads.
pub(super) async fn opened(product: &Product, request: Request) -> reqwest::Response {
    let request = request.header("connection", "keep-alive");
    let (path, headers, body) = request.parts();
    let mut sent = reqwest::Client::default().post(product.url(path)).body(body.to_vec());
    for (name, value) in headers.iter().filter(|(name, _)| name != "connection") {
        sent = sent.header(name, value);
    }
    sent.send().await.unwrap()
}

// MCP 2026-07-28 Streamable HTTP — TR-6
#[tokio::test]
async fn a_client_that_goes_away_ends_the_call_at_the_server() {
    let beginning = [STREAM.as_bytes(), &event(PROGRESS)].concat();
    let mut server = RawServer::start(beginning, Then::Listen).await;
    let product = broker(&server.url, GET, "").await;
    let mut answer = opened(&product, call(&product, &["weather:read"], "get_weather")).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    server.is_left().await;
    let ended = product.audited(|event| event["payload"]["status"] == "cancelled").await;
    assert_eq!(ended["payload"]["tool_name"], "weather.get_weather");
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_server_has_answered_ends_the_call_too() {
    let mut server = RawServer::start("", Then::Listen).await;
    let product = broker(&server.url, GET, "").await;
    let request = call(&product, &["weather:read"], "get_weather").bytes(&product.authority);
    let mut client = TcpStream::connect(&product.authority).await.unwrap();
    client.write_all(&request).await.unwrap();
    server.is_asked().await;
    drop(client);
    server.is_left().await;
    product.audited(|event| event["payload"]["status"] == "cancelled").await;
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(SystemClock.now()))
}

#[tokio::test]
async fn a_call_takes_ten_minutes_at_most_however_much_is_heard_of_it() {
    let mut server =
        RawServer::start([STREAM.as_bytes(), &event(PROGRESS)].concat(), Then::Listen).await;
    let clock = clock();
    let product = broker_at(&server.url, GET, Arc::clone(&clock)).await;
    let mut answer = opened(&product, call(&product, &["weather:read"], "get_weather")).await;
    answer.chunk().await.unwrap();
    clock.advance(Duration::from_secs(599));
    server.sends(event(PROGRESS));
    let heard = answer.chunk().await.unwrap().unwrap();
    assert!(heard.starts_with(b"event: message"), "{heard:?}");
    clock.advance(Duration::from_secs(1));
    server.sends(event(PROGRESS));
    let ended = answer.text().await.unwrap();
    let ended: Value =
        serde_json::from_str(ended.lines().find_map(|line| line.strip_prefix("data: ")).unwrap())
            .unwrap();
    assert_eq!(code(&ended), "provider.timeout", "{ended}");
    server.is_left().await;
}

/// Reads to the end of an event, in however many pieces it and what stands before it come.
async fn progress(stream: &mut reqwest::Response) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("\"progress\":1}}\n\n") {
        heard.extend(stream.chunk().await.unwrap().expect("an event"));
    }
}

// MCP 2026-07-28 §Access Token Usage — RS-8
#[tokio::test]
async fn a_stream_that_stays_open_ends_with_its_token() {
    let mut server =
        RawServer::start([STREAM.as_bytes(), &event(PROGRESS)].concat(), Then::Listen).await;
    let clock = clock();
    let product = broker_at(&server.url, GET, Arc::clone(&clock)).await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let token = token(&product, &["weather:read"]);
    let request = mcp(Wire::Modern, Some(&token), "subscriptions/listen", listen).path(PATH);
    let mut stream = opened(&product, request).await;
    progress(&mut stream).await;
    // Longer than a call may take: this is none.
    clock.advance(Duration::from_mins(9));
    server.sends(event(PROGRESS));
    progress(&mut stream).await;
    clock.advance(Duration::from_secs(61));
    server.sends(event(PROGRESS));
    assert_eq!(stream.text().await.unwrap(), "", "nothing more is told");
    server.is_left().await;
}

// RFC 7009 §2, MCP 2026-07-28 §Access Token Usage — RS-8
#[tokio::test]
async fn a_stream_that_stays_open_ends_when_its_token_is_revoked() {
    let mut server =
        RawServer::start([STREAM.as_bytes(), &event(PROGRESS)].concat(), Then::Listen).await;
    let clock = clock();
    let client = "[[authorization_server.client]]\nclient_id = \"agent\"\nsecret = \"agent-secret\"\ngrants = [\"client_credentials\"]\nscopes = [\"weather:read\"]\n";
    let product = broker_at(&server.url, &[GET, client].concat(), Arc::clone(&clock)).await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let token = token(&product, &["weather:read"]);
    let request = mcp(Wire::Modern, Some(&token), "subscriptions/listen", listen).path(PATH);
    let mut stream = opened(&product, request).await;
    progress(&mut stream).await;
    let revoke = Request::new("POST", "/revoke")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Basic YWdlbnQ6YWdlbnQtc2VjcmV0")
        .body(format!("token={token}"));
    assert_eq!(product.send(revoke).await.status, 200);
    clock.advance(Duration::from_secs(5));
    server.sends(event(PROGRESS));
    assert_eq!(stream.text().await.unwrap(), "", "nothing more is told");
    server.is_left().await;
}

#[tokio::test]
async fn a_subscription_to_a_resource_outlives_the_time_for_a_call() {
    let server =
        RawServer::start([STREAM.as_bytes(), &event(PROGRESS)].concat(), Then::Listen).await;
    let clock = clock();
    let table = "[[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n";
    let product = broker_at(&server.url, table, Arc::clone(&clock)).await;
    let listen = json!({ "notifications": { "resourceSubscriptions": ["city:paris"] } });
    let token = product.token_with(&["weather:read"], |token| {
        token.audience = product.url(PATH);
        token.expires_at = token.issued_at.plus(Duration::from_mins(30));
    });
    let request = mcp(Wire::Modern, Some(&token), "subscriptions/listen", listen).path(PATH);
    let mut stream = opened(&product, request).await;
    assert!(stream.chunk().await.unwrap().is_some());
    clock.advance(Duration::from_mins(11));
    server.sends(event(PROGRESS));
    let heard = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&heard).contains("progress"), "{heard:?}");
    let said = product.audited(|event| event["payload"]["method"] == "subscriptions/listen").await;
    assert_eq!(
        said["payload"]["reason"], "policy.rule.allow.upstream.weather.resource.city_._",
        "{said}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_server_that_is_away() {
    let json_head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\":";
    let stream = [STREAM.as_bytes(), &event(PROGRESS)].concat();
    for beginning in [b"".to_vec(), b"HTTP/1.1 200".to_vec(), json_head.into(), stream] {
        let server = RawServer::start(beginning.clone(), Then::Reset).await;
        let product = broker(&server.url, GET, "").await;
        let answer = last(&product.send(call(&product, &["weather:read"], "get_weather")).await);
        let shown = String::from_utf8_lossy(&beginning);
        assert_eq!(code(&answer), "provider.unavailable", "{shown}: {answer}");
    }
}

/// 100 MB, of which nothing is kept beyond the limit.
#[tokio::test]
async fn a_result_of_100_megabytes_is_not_collected() {
    let large = 100 * 1024 * 1024;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {large}\r\n\r\n"
    );
    let part = bytes::Bytes::from(vec![b' '; 1 << 20]);
    for head in [head, [STREAM, "6400000\r\n"].concat()] {
        let mut server = RawServer::start(head, Then::Repeat(part.clone())).await;
        let product = broker(&server.url, GET, "").await;
        let answer = last(&product.send(call(&product, &["weather:read"], "get_weather")).await);
        assert_eq!(code(&answer), "provider.bad_response", "{answer}");
        server.is_left().await;
    }
}

/// Comments keep a stream alive; they do not keep it for ever.
#[tokio::test]
async fn a_stream_of_nothing_ends_with_the_time_for_a_call() {
    let mut server = RawServer::start(STREAM, Then::Listen).await;
    let clock = clock();
    let product = broker_at(&server.url, GET, Arc::clone(&clock)).await;
    let mut answer = opened(&product, call(&product, &["weather:read"], "get_weather")).await;
    for _ in 0..11 {
        clock.advance(Duration::from_mins(1));
        server.sends(chunk(": alive\n\n"));
        let Some(heard) = answer.chunk().await.unwrap() else { panic!("no end was told") };
        if heard.starts_with(b"event: message") {
            assert!(String::from_utf8_lossy(&heard).contains("provider.timeout"), "{heard:?}");
            server.is_left().await;
            return;
        }
    }
    panic!("it goes on after eleven minutes");
}

#[tokio::test]
async fn a_subscription_ends_when_policy_allows_its_resource_no_more() {
    let mut server =
        RawServer::start([STREAM.as_bytes(), &event(PROGRESS)].concat(), Then::Listen).await;
    let clock = clock();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    let until = clock.now().plus(Duration::from_mins(1));
    let rule = format!(
        "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"weather/resources/.*\"]\nwhen = \"now < timestamp('{until}')\"\n"
    );
    std::fs::write(&file, rule).unwrap();
    let table = format!("[policy]\nfile = {file:?}\n");
    let product = broker_at(&server.url, &table, Arc::clone(&clock)).await;
    let listen = json!({ "notifications": { "resourceSubscriptions": ["city:paris"] } });
    let own = token(&product, &[]);
    let request = mcp(Wire::Modern, Some(&own), "subscriptions/listen", listen).path(PATH);
    let mut stream = opened(&product, request).await;
    assert!(stream.chunk().await.unwrap().is_some());
    clock.advance(Duration::from_secs(61));
    server.sends(event(PROGRESS));
    assert_eq!(stream.text().await.unwrap(), "", "nothing more is told");
    server.is_left().await;
}
