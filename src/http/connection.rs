//! One connection, from its first bytes to its end: HTTP/1.1 or HTTP/2, what it may take, and when it is closed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::io::{InspectReader, InspectWriter};
use tokio_util::sync::CancellationToken;

use crate::resource_server::ClientCertificate;

use super::client_address::TrustedProxies;
use super::client_certificate;
use super::front::Front;
use super::problem::head_too_large;
use super::serve::Limits;

/// The largest head of a request, in bytes (RFC 6585 §5 beyond).
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// What an HTTP/2 client says first (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
/// What asking whether the client is still there takes at most, within one look; everything beyond is answers.
const PING_BYTES: usize = 256;

/// The other end of a connection.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    /// Whose key TLS has had proven.
    certificate: Option<ClientCertificate>,
}

/// What every connection of one listener is served with.
pub(super) struct Server {
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
    front: Front,
    proxies: TrustedProxies,
    acceptor: Option<TlsAcceptor>,
    header_timeout: Duration,
}

impl Server {
    pub(super) fn new(
        front: Front,
        proxies: TrustedProxies,
        acceptor: Option<TlsAcceptor>,
        limits: &Limits,
    ) -> Self {
        let (http1, http2) = (http(limits).http1_only(), http(limits).http2_only());
        let header_timeout = limits.header_timeout;
        Self { http1, http2, front, proxies, acceptor, header_timeout }
    }

    /// Serves the connection to its end. Once `closing` is cancelled, requests that are under way are answered and nothing else.
    pub(super) async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        closing: &CancellationToken,
    ) {
        // Answers are small: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let peer = Peer { address: peer, certificate: None };
        // Each on the heap by itself: what only TLS needs is not held for every connection without it.
        let Some(acceptor) = &self.acceptor else {
            match begun(self.header_timeout, closing, version(&stream)).await {
                Some(Version::HTTP_2) => Box::pin(self.http2(stream, peer, closing)).await,
                Some(_) => Box::pin(self.http1(stream, peer, closing)).await,
                None => {}
            }
            return;
        };
        match begun(self.header_timeout, closing, Box::pin(acceptor.accept(stream))).await {
            Some(Ok(stream)) => {
                let (_, tls) = stream.get_ref();
                let peer = Peer { certificate: client_certificate::of(tls), ..peer };
                if tls.alpn_protocol() == Some(b"h2") {
                    Box::pin(self.http2(stream, peer, closing)).await;
                } else {
                    Box::pin(self.http1(stream, peer, closing)).await;
                }
            }
            Some(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "http.tls_failed");
            }
            None => {}
        }
    }

    /// hyper bounds the time of each head, and so that between two requests.
    async fn http1<S>(&self, stream: S, peer: Peer, closing: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = hyper::service::service_fn(|request| self.answer(request, &peer));
        let mut connection = pin!(self.http1.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        note(ended);
    }

    /// hyper bounds no time here but that of an answer to its PING, and waits for the preface without an end.
    async fn http2<S>(&self, stream: S, peer: Peer, closing: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let pulse = Arc::new(Pulse::default());
        let service = hyper::service::service_fn(|request| {
            let open = pulse.open();
            let answer = self.answer(request, &peer);
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| Body::new(Open { body, _stream: open })))
            }
        });
        let reads = Arc::clone(&pulse);
        let stream = InspectReader::new(stream, move |bytes| reads.read(bytes.len()));
        let writes = Arc::clone(&pulse);
        let stream = InspectWriter::new(stream, move |bytes| writes.wrote(bytes.len()));
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        let told = tokio::select! {
            ended = connection.as_mut() => return note(ended),
            () = closing.cancelled() => true,
            () = pulse.idle(self.header_timeout) => false,
        };
        // Who has not even said that it speaks HTTP/2 is owed nothing, and hyper would go on waiting for it.
        if !pulse.has_preface() {
            tracing::debug!("http.silent_connection");
            return;
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => note(ended),
            // A client that takes no notice of GOAWAY. In a drain the drain's end is the bound.
            () = pulse.idle(self.header_timeout), if !told => {}
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
        let mut request = request.map(Body::new);
        let client = self.proxies.client(peer.address, request.headers());
        request.extensions_mut().insert(client);
        // That of a proxy is of nobody who comes through it.
        let own = peer.certificate.as_ref();
        if let Some(certificate) = own.filter(|_| !self.proxies.trusts(peer.address.ip())) {
            request.extensions_mut().insert(certificate.clone());
        }
        let front = self.front.clone();
        async move {
            // hyper's limit is on its buffer, which may take in twice as much at once.
            if head_bytes(&request) > MAX_HEAD_BYTES {
                return Ok(head_too_large());
            }
            Ok(front.answer(request).await)
        }
    }
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    http
}

fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error = &*error, "http.connection_broken");
    }
}

/// Whether an HTTP/2 connection is used.
#[derive(Debug, Default)]
struct Pulse {
    /// Bytes read, of the first that count.
    read: AtomicUsize,
    /// Streams that were opened, ever.
    opened: AtomicUsize,
    /// Streams whose answer is not handed over yet to who writes it.
    open: AtomicUsize,
    /// Bytes written.
    written: AtomicUsize,
}

impl Pulse {
    fn read(&self, bytes: usize) {
        if !self.has_preface() {
            self.read.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn has_preface(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= PREFACE_BYTES
    }

    fn open(self: &Arc<Self>) -> Stream {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Stream(Arc::clone(self))
    }

    fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Resolves when nothing was opened or answered for `limit`, and nothing is open: after twice that time at the latest.
    async fn idle(&self, limit: Duration) {
        let now = || (self.opened.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed));
        loop {
            let (opened, written) = now();
            tokio::time::sleep(limit).await;
            let (opened_since, written_since) = now();
            let answers = written_since.wrapping_sub(written) > PING_BYTES;
            if opened_since == opened && !answers && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

/// One stream, until its answer is sent or given up.
#[derive(Debug)]
struct Stream(Arc<Pulse>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer whose stream is open as long as there is more of it.
struct Open {
    body: Body,
    _stream: Stream,
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Names and values of all headers, and the target.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    headers + target
}

/// What the client begins with: the preface of HTTP/2 (RFC 9113 section 3.4), or anything else. It is looked at and left where it is:
/// hyper's own look costs each connection a second read and twice the buffer, and waits without an end for a client that says nothing.
async fn version(stream: &TcpStream) -> Version {
    let mut start = [0; 3];
    match stream.peek(&mut start).await {
        Ok(_) if &start == b"PRI" => Version::HTTP_2,
        // Whoever closes or breaks off here is noticed by who reads.
        _ => Version::HTTP_11,
    }
}

/// What a connection begins with, unless it takes longer than `limit` or the drain comes first: it owes nobody an answer yet.
async fn begun<T>(
    limit: Duration,
    closing: &CancellationToken,
    first: impl Future<Output = T>,
) -> Option<T> {
    let first = tokio::time::timeout(limit, first);
    let begun = closing.run_until_cancelled(first).await?.ok();
    if begun.is_none() {
        tracing::debug!("http.silent_connection");
    }
    begun
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_connects_and_says_nothing_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let open = CancellationToken::new();
        assert_eq!(begun(Duration::from_millis(1), &open, version(&stream)).await, None);
        let closing = CancellationToken::new();
        closing.cancel();
        assert_eq!(begun(Duration::MAX, &closing, version(&stream)).await, None);
    }

    /// A client that says `said`, served by one who waits for `header_timeout`; what came back until the connection was closed.
    async fn told(said: &[u8], header_timeout: Duration, closing: &CancellationToken) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(said).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let limits = Limits { header_timeout, ..Limits::default() };
        let front = Front::of(axum::Router::new());
        let server = Server::new(front, TrustedProxies::default(), None, &limits);
        server.connection(stream, peer, closing).await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap_or_default();
        answer
    }

    const GOAWAY: u8 = 7;

    // RFC 9113 §3.4
    #[tokio::test]
    async fn a_preface_that_does_not_come_is_not_waited_for() {
        let (soon, open) = (Duration::from_millis(20), CancellationToken::new());
        for said in [&b"PRI"[..], b"PRI * HTTP/2.0\r\n\r\nSM"] {
            assert!(!told(said, soon, &open).await.contains(&GOAWAY));
        }
        let closing = CancellationToken::new();
        closing.cancel();
        told(b"PRI", Duration::MAX, &closing).await;
    }

    // RFC 9113 §9.1
    #[tokio::test]
    async fn a_connection_on_which_nothing_is_opened_is_told_to_go() {
        let said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let soon = Duration::from_millis(20);
        let answer = told(said, soon, &CancellationToken::new()).await;
        assert!(answer.windows(6).any(|frame| frame == [0, 0, 8, GOAWAY, 0, 0]), "{answer:?}");
    }

    #[tokio::test]
    async fn a_stream_that_is_open_is_no_idleness() {
        let pulse = Arc::new(Pulse::default());
        let limit = Duration::from_millis(1);
        let stream = pulse.open();
        let waits = tokio::time::timeout(Duration::from_millis(50), pulse.idle(limit)).await;
        assert!(waits.is_err());
        drop(stream);
        // hyper hands over an answer as a whole, and a slow client takes a while to read it.
        let reads = async {
            loop {
                pulse.wrote(2 * PING_BYTES);
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        };
        let limit = Duration::from_millis(20);
        let busy = tokio::time::timeout(Duration::from_millis(200), async {
            tokio::select! { () = pulse.idle(limit) => {}, () = reads => {} }
        });
        assert!(busy.await.is_err());
        pulse.idle(limit).await;
    }
}
