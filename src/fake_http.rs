//! A scripted HTTP server on loopback for unit tests: one behaviour per connection, each request kept.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use crate::outbound::{Outbound, OutboundSettings};

/// What one connection meets.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Status, extra header lines, body, in which `%ORIGIN%` stands for the server's own origin and a slash.
    Answer(u16, &'static str, String),
    /// Reads the request and closes.
    Close,
    /// Reads the request and resets the connection (TCP RST).
    Reset,
    /// Reads the request and never answers.
    Hang,
    /// Sends a chunked body one byte at a time, without end.
    Trickle,
}

impl Act {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Answer(status, "content-type: application/json\r\n", body.to_owned())
    }
}

/// Plays its acts in order; the last one again and again.
pub(crate) struct FakeHttp {
    pub(crate) origin: Url,
    requests: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl FakeHttp {
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(play(listener, acts, Arc::clone(&requests)));
        Self { origin, requests, _server: server }
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn play(listener: TcpListener, acts: Vec<Act>, requests: Arc<Mutex<Vec<String>>>) {
    let own = format!("http://{}/", listener.local_addr().unwrap());
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let mut act = acts.get(number).or(acts.last()).unwrap().clone();
        if let Act::Answer(_, _, body) = &mut act {
            *body = body.replace("%ORIGIN%", &own);
        }
        connections.spawn(perform(stream, act, Arc::clone(&requests)));
    }
}

async fn perform(mut stream: TcpStream, act: Act, requests: Arc<Mutex<Vec<String>>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    requests.lock().unwrap().push(request);
    match act {
        Act::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
            );
            let _sent = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
        Act::Close => {}
        Act::Reset => stream.set_zero_linger().unwrap(),
        Act::Hang => std::future::pending().await,
        Act::Trickle => {
            let head = "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let _sent = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b"1\r\n \r\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// The real client, allowed to reach loopback.
pub(crate) fn loopback_client() -> Outbound {
    let allow_private = vec!["127.0.0.0/8".parse().unwrap()];
    Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() }).unwrap()
}
