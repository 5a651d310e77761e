//! HTTP/2 by hand, frame by frame: what a drain tells a client that keeps one connection for all its calls.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::product::Product;

/// Types of RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame; the stream is that of its header.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Client(TcpStream);

impl Client {
    async fn connect(authority: &str) -> Self {
        let mut stream = TcpStream::connect(authority).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut client = Self(stream);
        client.write(SETTINGS, 0, 0, &[]).await;
        client
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[head, payload.to_vec()].concat()).await.unwrap();
    }

    /// The next frame, or nothing where the server closed; settings and pings are answered on the way.
    async fn read(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let number =
                |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
            let mut payload = vec![0; number(&head[..3]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let frame =
                Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload };
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.write(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) => self.write(PING, ACK, 0, &frame.payload.clone()).await,
                _ => return Some(frame),
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.read().await.expect("the connection ended before");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Opens stream 1 without its body, and waits until the server has seen it.
    async fn half_send(&mut self, authority: &str, token: &str) {
        let bearer = format!("Bearer {token}");
        let mut block = vec![0x83, 0x86]; // POST, http (RFC 7541 appendix A)
        for (name, value) in [
            (":path", "/mcp"),
            (":authority", authority),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-11-25"),
            ("authorization", &bearer),
        ] {
            block.push(0); // a literal that is not indexed, its name new (RFC 7541 §6.2.2)
            text(&mut block, name);
            text(&mut block, value);
        }
        self.write(HEADERS, END_HEADERS, 1, &block).await;
        self.write(PING, 0, 0, b"received").await;
        self.until(|frame| frame.kind == PING).await;
    }
}

/// A string without Huffman coding: its length with a prefix of 7 bits, then its bytes (RFC 7541 §5).
fn text(block: &mut Vec<u8>, text: &str) {
    if let Some(length) = u8::try_from(text.len()).ok().filter(|length| *length < 127) {
        block.push(length);
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend_from_slice(text.as_bytes());
}

// RFC 9113 §6.8
#[tokio::test]
async fn a_drain_tells_http2_clients_to_go_and_finishes_what_they_began() {
    let mut product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let mut client = Client::connect(&product.authority).await;
    client.half_send(&product.authority.clone(), &token).await;
    product.stop();
    let goaway = client.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(goaway.payload[4..8], [0; 4], "no error: {goaway:?}");
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }).to_string();
    client.write(DATA, END_STREAM, 1, body.as_bytes()).await;
    let answer = client.until(|frame| frame.kind == HEADERS && frame.stream == 1).await;
    assert_eq!(answer.payload[0], 0x88, "status 200 (RFC 7541 appendix A): {answer:?}");
    while client.read().await.is_some() {}
    product.ended().await;
    assert_eq!(product.event_types(), ["auth.token.accepted", "tools.listed"]);
}

#[tokio::test]
async fn a_drain_closes_an_http2_connection_on_which_nothing_is_open() {
    let mut product = Product::dev().await;
    let mut client = Client::connect(&product.authority).await;
    client.until(|frame| frame.kind == SETTINGS).await;
    product.stop();
    client.until(|frame| frame.kind == GOAWAY).await;
    while client.read().await.is_some() {}
    product.ended().await;
}
