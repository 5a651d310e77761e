//! Streams that stay open while the broker goes away.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::behind::{GET, PATH, broker, token};
use crate::support::product::{Wire, mcp};
use crate::support::raw_http::Request;

const OPENED: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"protocolVersion":"2025-11-25"}}"#;
const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n: hi\n\n";

/// Opens a session, and then streams that it never ends; says how many of them were left.
pub(crate) async fn server(listener: TcpListener, left: watch::Sender<usize>) {
    let mut open = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let left = left.clone();
        open.spawn(async move {
            let mut asked = vec![0; 16 * 1024];
            let read = stream.read(&mut asked).await.unwrap();
            if asked[..read].starts_with(b"GET") {
                stream.write_all(STREAM.as_bytes()).await.unwrap();
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {}
                left.send_modify(|left| *left += 1);
                return;
            }
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\nmcp-session-id: s-1\r\ncontent-type: application/json\r\ncontent-length: ";
            let answer = format!("{head}{}\r\n\r\n{OPENED}", OPENED.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
    }
}

#[tokio::test]
async fn a_stream_that_nobody_waits_for_ends_with_the_drain_and_does_not_hold_it_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut running = JoinSet::new();
    running.spawn(server(listener, watch::Sender::default()));
    let table = format!("{GET}[server]\ndrain_seconds = 3600\n");
    let mut product = broker(&url, &table, "").await;
    let own = token(&product, &["weather:read"]);
    let opened =
        product.send(mcp(Wire::Legacy, Some(&own), "initialize", json!({})).path(PATH)).await;
    let get = Request::new("GET", PATH)
        .header("authorization", &format!("Bearer {own}"))
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &opened.header("mcp-session-id"));
    let mut stream = TcpStream::connect(&product.authority).await.unwrap();
    stream.write_all(&get.bytes(&product.authority)).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    product.stop();
    tokio::time::timeout(crate::support::audit::LIMIT, product.ended()).await.unwrap();
}
