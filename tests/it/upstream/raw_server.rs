//! A server written by hand: what it sends is bytes, and it can stop, break off and go on for ever.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The head of an event stream.
pub(super) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// What it does once the beginning is sent.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Sends what the test tells it, until the other side goes.
    Listen,
    /// Resets the connection.
    Reset,
    /// Sends this over and over.
    Repeat(Bytes),
}

pub(super) struct RawServer {
    pub(super) url: String,
    /// Bytes for the open connection.
    more: mpsc::UnboundedSender<Bytes>,
    /// How many connections the other side has left.
    left: watch::Receiver<usize>,
    /// How many requests have come.
    asked: watch::Receiver<usize>,
    _running: JoinSet<()>,
}

/// An event of a stream, as a chunk.
pub(super) fn event(data: &str) -> Bytes {
    chunk(&format!("data: {data}\n\n"))
}

pub(super) fn chunk(text: &str) -> Bytes {
    format!("{:x}\r\n{text}\r\n", text.len()).into()
}

impl RawServer {
    /// Answers every request with `beginning`.
    pub(super) async fn start(beginning: impl Into<Bytes>, then: Then) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (more, mut sent) = mpsc::unbounded_channel();
        let (leaves, left) = watch::channel(0);
        let (asks, asked) = watch::channel(0);
        let (beginning, mut running) = (beginning.into(), JoinSet::new());
        running.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, (&beginning, &asks), &then, &mut sent).await;
                leaves.send_modify(|left| *left += 1);
            }
        });
        Self { url, more, left, asked, _running: running }
    }

    pub(super) fn sends(&self, bytes: Bytes) {
        self.more.send(bytes).unwrap();
    }

    /// Waits until a request has come.
    pub(super) async fn is_asked(&mut self) {
        let asked = self.asked.wait_for(|asked| *asked > 0);
        let waited = tokio::time::timeout(Duration::from_mins(1), asked).await;
        waited.expect("the broker asks").unwrap();
    }

    /// Waits until the other side has gone.
    pub(super) async fn is_left(&mut self) {
        let left = self.left.wait_for(|left| *left > 0);
        let waited = tokio::time::timeout(Duration::from_mins(1), left).await;
        waited.expect("the broker goes").unwrap();
    }
}

async fn serve(
    mut stream: TcpStream,
    (beginning, asks): (&Bytes, &watch::Sender<usize>),
    then: &Then,
    sent: &mut mpsc::UnboundedReceiver<Bytes>,
) {
    let mut asked = vec![0; 16 * 1024];
    // A request of these tests comes in few pieces, its body with its head.
    while !asked_whole(&mut stream, &mut asked).await {}
    asks.send_modify(|asked| *asked += 1);
    if stream.write_all(beginning).await.is_err() {
        return;
    }
    match then {
        Then::Reset => stream.set_zero_linger().unwrap(),
        Then::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
        Then::Listen => loop {
            tokio::select! {
                read = stream.read(&mut asked) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                Some(bytes) = sent.recv() => if stream.write_all(&bytes).await.is_err() { return },
            }
        },
    }
}

async fn asked_whole(stream: &mut TcpStream, asked: &mut [u8]) -> bool {
    let read = stream.read(asked).await.unwrap_or(0);
    read == 0 || asked[..read].ends_with(b"}")
}
