//! HTTP/2 by hand, frame by frame: what a drain tells a client that keeps one connection for all its calls, and how one ends
//! that floods.

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::product::Product;

/// Types of RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
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
        self.0.write_all(&frame(kind, flags, stream, payload)).await.unwrap();
    }

    /// The next frame, or nothing where the server closed; settings and pings are answered on the way.
    async fn read(&mut self) -> Option<Frame> {
        loop {
            let frame = next(&mut self.0).await?;
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
            field(&mut block, name, value);
        }
        self.write(HEADERS, END_HEADERS, 1, &block).await;
        self.write(PING, 0, 0, b"received").await;
        self.until(|frame| frame.kind == PING).await;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))
}

/// The next frame, or nothing where the server closed.
async fn next(from: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; number(&head[..3]) as usize];
    from.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
}

/// A literal that is not indexed, its name new (RFC 7541 §6.2.2).
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
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

/// `GET /` of this host, in the one block that both HEADERS and what floods need.
fn request(authority: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x84, 0x86]; // GET, /, http (RFC 7541 appendix A)
    field(&mut block, ":authority", authority);
    block
}

/// The error (RFC 9113 §7) with which the server ends a connection that floods it; nothing where it takes the whole flood.
async fn ended_with(authority: &str, flood: impl IntoIterator<Item = Vec<u8>>) -> Option<u32> {
    let client = Client::connect(authority).await;
    let (mut reader, mut writer) = client.0.into_split();
    let mut bytes: Vec<u8> = flood.into_iter().flatten().collect();
    bytes.extend(frame(PING, 0, 0, b"all sent"));
    // Beside the reading: the server stops reading in the middle.
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        writer.write_all(&bytes).await.ok();
        writer
    });
    let mut error = None;
    while let Some(frame) = next(&mut reader).await {
        match frame.kind {
            GOAWAY => error = Some(number(&frame.payload[4..8])),
            PING if frame.flags & ACK != 0 => break,
            _ => {}
        }
    }
    error
}

/// It is told to calm down, and others are served as before.
async fn calms(flood: impl Fn(&str) -> Vec<Vec<u8>>) {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let product = Product::dev().await;
    let error = ended_with(&product.authority, flood(&product.authority)).await;
    assert_eq!(error, Some(ENHANCE_YOUR_CALM));
    assert_eq!(product.get("/health").await.status, 200);
}

// RFC 9113 §10.5 — N111
#[tokio::test]
async fn a_client_that_resets_its_requests_one_after_the_other_is_cut_off() {
    calms(|authority| {
        let block = request(authority);
        let streams = (0..20_000).map(|number| 2 * number + 1);
        let reset = |stream| {
            [
                frame(HEADERS, END_STREAM | END_HEADERS, stream, &block),
                frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()), // CANCEL
            ]
        };
        streams.flat_map(reset).collect()
    })
    .await;
}

// RFC 9113 §10.5.1 — N111
#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let mut fields = Vec::new();
    field(&mut fields, "x", &"a".repeat(1000));
    for more in [fields, Vec::new()] {
        calms(|authority| {
            let begun = frame(HEADERS, END_STREAM, 1, &request(authority));
            let more = frame(CONTINUATION, 0, 1, &more);
            std::iter::once(begun).chain(std::iter::repeat_n(more, 20_000)).collect()
        })
        .await;
    }
}
