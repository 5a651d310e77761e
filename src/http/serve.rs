//! Accepting, serving and draining: limits on connections, headers and time; TLS where it is configured.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::secret_text::SecretText;

use super::client_address::TrustedProxies;
use super::front::Front;
use super::health::Health;
use super::problem::head_too_large;

/// What one listener may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    pub max_connections: usize,
    /// For the head of a request to arrive, and for an idle connection to be used again.
    pub header_timeout: Duration,
    /// How long everything is still served after `/ready` turned 503.
    pub drain_pause: Duration,
    /// How long requests in flight may take after that.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            drain_pause: Duration::from_secs(1),
            drain: Duration::from_secs(20),
        }
    }
}

/// The largest head of a request, in bytes (RFC 6585 §5 beyond).
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "cannot listen on {address}\n  hint: is another process listening there? Set server.listen to another port"
    )]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "{key} {} cannot be read as PEM\n  hint: a file that the broker's user may read, with -----BEGIN in it",
        path.display()
    )]
    Pem {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    // Without a source, which could quote what was read.
    #[error(
        "server.tls.key holds no private key as PEM\n  hint: its text begins with -----BEGIN PRIVATE KEY-----; a file is named file:/path/to/tls.key"
    )]
    NotAKey,
    #[error(
        "server.tls.cert and server.tls.key do not belong together or are not usable\n  hint: the certificate of the server comes first in server.tls.cert, and server.tls.key is its private key"
    )]
    Tls(#[source] rustls::Error),
}

/// `server.tls`
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: TlsKey,
}

/// Where the private key of the server is.
#[derive(Clone, Debug)]
pub enum TlsKey {
    File(PathBuf),
    /// The key itself, as PEM.
    Pem(SecretText),
}

/// A certificate and its key, read and found to belong together. Read once: a renewed one needs a restart.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// # Errors
///
/// [`ServeError::Listen`]
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Reads certificate and key for a listener that ends TLS itself.
///
/// # Errors
///
/// [`ServeError`] naming the file, never its content.
pub fn tls(files: &TlsFiles) -> Result<Tls, ServeError> {
    let cert =
        |source| ServeError::Pem { key: "server.tls.cert", path: files.cert.clone(), source };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(cert)?
        .collect::<Result<_, _>>()
        .map_err(cert)?;
    let private = match &files.key {
        TlsKey::File(path) => PrivateKeyDer::from_pem_file(path).map_err(|source| {
            ServeError::Pem { key: "server.tls.key", path: path.clone(), source }
        })?,
        TlsKey::Pem(text) => PrivateKeyDer::from_pem_slice(text.expose().as_bytes())
            .map_err(|_quotes_the_text| ServeError::NotAKey)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(ServeError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls(TlsAcceptor::from(Arc::new(config))))
}

/// When to stop.
#[derive(Debug)]
pub struct Stop<D, N> {
    /// Resolves when the drain is to begin.
    pub drain: D,
    /// Resolves when nothing is to be waited for any more.
    pub now: N,
}

/// Serves until `stop.drain` resolves, then drains in two steps. First `/ready` turns 503 and everything is still
/// served, for `limits.drain_pause`: whoever balances load sees it and sends nobody here any more. Then no connection
/// is accepted, and requests in flight finish within `limits.drain`; idle connections are closed, and HTTP/2 clients
/// are told by GOAWAY. Gives whether all requests finished; the others are cut off, as all are once `stop.now` resolves.
pub async fn serve<D, N>(
    listener: TcpListener,
    tls: Option<Tls>,
    front: Front,
    health: Health,
    proxies: TrustedProxies,
    limits: Limits,
    stop: Stop<D, N>,
) -> bool
where
    D: Future<Output = ()>,
    N: Future<Output = ()>,
{
    let acceptor = tls.map(|Tls(acceptor)| acceptor);
    let (http1, http2) = (http(&limits).http1_only(), http(&limits).http2_only());
    let server = Arc::new(Server { http1, http2, front, proxies, acceptor, limits });
    let door = Door::new(listener, server);
    door.open_until(stop.drain).await;
    health.drain();
    let mut now = std::pin::pin!(stop.now);
    let pause = tokio::time::sleep(door.server.limits.drain_pause);
    let at_once = tokio::select! {
        () = &mut now => true,
        () = door.open_until(pause) => false,
    };
    health.close();
    door.close(at_once, now).await
}

/// The listener, and the connections that came through it.
struct Door {
    listener: TcpListener,
    server: Arc<Server>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    graceful: GracefulShutdown,
    /// Cancelled when nothing new is begun any more.
    closing: CancellationToken,
    cut: CancellationToken,
}

impl Door {
    fn new(listener: TcpListener, server: Arc<Server>) -> Self {
        let room = Arc::new(Semaphore::new(server.limits.max_connections));
        let (tasks, graceful) = (TaskTracker::new(), GracefulShutdown::new());
        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        Self { listener, server, room, tasks, graceful, closing, cut }
    }

    /// Accepts connections until `stop` resolves.
    async fn open_until(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let permit = tokio::select! {
                () = &mut stop => break,
                permit = Arc::clone(&self.room).acquire_owned() => permit,
            };
            let (stream, peer) = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, most likely: closing connections is what helps.
                        tracing::warn!(error = &error as &dyn std::error::Error, "http.accept_failed");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let (server, cut) = (Arc::clone(&self.server), self.cut.clone());
            let (watcher, closing) = (self.graceful.watcher(), self.closing.clone());
            self.tasks.spawn(async move {
                let connection = server.connection(stream, peer, watcher, &closing);
                cut.run_until_cancelled(connection).await;
                drop(permit);
            });
        }
    }

    /// Lets requests in flight finish, unless it is to be at once or the time is up. Gives whether all did.
    async fn close(self, at_once: bool, now: impl Future<Output = ()>) -> bool {
        let Self { listener, server, tasks, graceful, closing, cut, .. } = self;
        drop(listener);
        closing.cancel();
        tasks.close();
        let limit = if at_once { Duration::ZERO } else { server.limits.drain };
        let finished = async {
            graceful.shutdown().await;
            tasks.wait().await;
        };
        let all = tokio::select! {
            finished = tokio::time::timeout(limit, finished) => finished.is_ok(),
            () = now, if !at_once => false,
        };
        cut.cancel();
        tasks.wait().await;
        all
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

struct Server {
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
    front: Front,
    proxies: TrustedProxies,
    acceptor: Option<TlsAcceptor>,
    limits: Limits,
}

impl Server {
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        closing: &CancellationToken,
    ) {
        // Answers are small: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        // Each on the heap by itself: what only TLS needs is not held for every connection without it.
        let Some(acceptor) = &self.acceptor else {
            if let Some(version) =
                begun(self.limits.header_timeout, closing, version(&stream)).await
            {
                Box::pin(self.requests(version, stream, peer, watcher)).await;
            }
            return;
        };
        match begun(self.limits.header_timeout, closing, Box::pin(acceptor.accept(stream))).await {
            Some(Ok(stream)) => {
                let version = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Version::HTTP_2,
                    _ => Version::HTTP_11,
                };
                Box::pin(self.requests(version, stream, peer, watcher)).await;
            }
            Some(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "http.tls_failed");
            }
            None => {}
        }
    }

    async fn requests<S>(&self, version: Version, stream: S, peer: SocketAddr, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            let client = self.proxies.client(peer, request.headers());
            request.extensions_mut().insert(client);
            let front = self.front.clone();
            async move {
                // hyper's limit is on its buffer, which may take in twice as much at once.
                if head_bytes(&request) > MAX_HEAD_BYTES {
                    return Ok(head_too_large());
                }
                Ok::<_, Infallible>(front.answer(request).await)
            }
        });
        let http = if version == Version::HTTP_2 { &self.http2 } else { &self.http1 };
        let io = TokioIo::new(stream);
        if let Err(error) = watcher.watch(http.serve_connection(io, service)).await {
            tracing::debug!(error = &*error, "http.connection_broken");
        }
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
}
