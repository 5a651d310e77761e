//! One connection, from its first bytes to its end: HTTP/1.1 or HTTP/2, what it may take, and when it is closed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
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
use super::pulse::{Open, Pulse};
use super::serve::Limits;

/// The largest head of a request, in bytes (RFC 6585 §5 beyond).
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a client may leave what was sent to it unacknowledged, or its window closed: the system itself waits for a
/// quarter of an hour, and what the connection holds is held for nobody.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);

/// The other end of a connection.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    /// Whose key TLS has had proven.
    certificate: Option<ClientCertificate>,
}

/// What every connection of one listener is served with.
pub(super) struct Server {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
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
        let (http1, http2) = (http1(limits), http2(limits));
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
        notice_who_vanishes(&stream);
        let peer = Peer { address: peer, certificate: None };
        // Each on the heap by itself: what one kind of connection needs is not held for every other.
        if let Some(acceptor) = &self.acceptor {
            return Box::pin(self.tls(acceptor, stream, peer, closing)).await;
        }
        let first = Box::pin(begun(self.header_timeout, closing, version(&stream)));
        match first.await {
            Some(Version::HTTP_2) => Box::pin(self.http2(stream, peer, closing)).await,
            Some(_) => Box::pin(self.http1(stream, peer, closing)).await,
            None => {}
        }
    }

    async fn tls(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
        peer: Peer,
        closing: &CancellationToken,
    ) {
        let accepting = Box::pin(acceptor.accept(stream));
        let stream = match begun(self.header_timeout, closing, accepting).await {
            Some(Ok(stream)) => Box::new(stream),
            Some(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "http.tls_failed");
                return;
            }
            None => return,
        };
        let (_, tls) = stream.get_ref();
        let peer = Peer { certificate: client_certificate::of(tls), ..peer };
        if tls.alpn_protocol() == Some(b"h2") {
            Box::pin(self.http2(stream, peer, closing)).await;
        } else {
            Box::pin(self.http1(stream, peer, closing)).await;
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
                Ok::<_, Infallible>(answer.map(|body| Body::new(Open::new(body, open))))
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

/// A client that goes without a word (its network is gone, or its machine) is noticed by what it does not acknowledge (RFC 5482).
fn notice_who_vanishes(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    {
        let limit = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, limit);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    http
}

fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    http
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "http.connection_broken");
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

    /// What it is good for: a client that vanishes acknowledges nothing.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed_within_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        notice_who_vanishes(&stream);
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&stream).unwrap(), 60_000);
    }

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

    /// There are thousands that wait: for the next request, or for the next event of a stream. Beside this each has hyper's buffers.
    #[tokio::test]
    async fn a_connection_that_waits_holds_little() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let address = stream.peer_addr().unwrap();
        let (limits, open) = (Limits::default(), CancellationToken::new());
        let front = Front::of(axum::Router::new());
        let server = Server::new(front, TrustedProxies::default(), None, &limits);
        let peer = Peer { address, certificate: None };
        let service = hyper::service::service_fn(|request| server.answer(request, &peer));
        let (io, _other) = tokio::io::duplex(1);
        let http1 = server.http1.serve_connection(TokioIo::new(io), service);
        assert!(size_of_val(&http1) < 1024, "{}", size_of_val(&http1));
        let connection = server.connection(stream, address, &open);
        assert!(size_of_val(&connection) < 512, "{}", size_of_val(&connection));
        let answer = size_of_answer(&|request| server.answer(request, &peer));
        assert!(answer < 1024, "{answer}");
    }

    /// Of which hyper has one for each connection.
    fn size_of_answer<F>(_: &impl Fn(Request<Incoming>) -> F) -> usize {
        size_of::<F>()
    }
}
