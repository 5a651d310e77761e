//! Accepting, serving and draining: limits on connections, headers and time; TLS where it is configured.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::client_address::TrustedProxies;
use super::health::Health;

/// What one listener may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    pub max_connections: usize,
    /// For the head of a request to arrive, and for an idle connection to be used again.
    pub header_timeout: Duration,
    /// How long requests in flight may take after the drain began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
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
    #[error("{key} {} cannot be read as PEM", path.display())]
    Pem {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("server.tls.cert and server.tls.key do not belong together or are not usable")]
    Tls(#[source] rustls::Error),
}

/// `server.tls`
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
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
pub fn tls(files: &TlsFiles) -> Result<TlsAcceptor, ServeError> {
    let cert =
        |source| ServeError::Pem { key: "server.tls.cert", path: files.cert.clone(), source };
    let key = |source| ServeError::Pem { key: "server.tls.key", path: files.key.clone(), source };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(cert)?
        .collect::<Result<_, _>>()
        .map_err(cert)?;
    let private = PrivateKeyDer::from_pem_file(&files.key).map_err(key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(ServeError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` resolves, then drains: `/ready` turns 503, no connection is accepted, requests in
/// flight finish within `limits.drain`. Gives whether all of them did; the others are cut off.
pub async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    health: Health,
    proxies: TrustedProxies,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> bool {
    let tasks = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let server = Arc::new(Server { http: http(&limits), router, proxies, acceptor, limits });
    tokio::pin!(stop);
    loop {
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = Arc::clone(&connections).acquire_owned() => permit,
        };
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: closing connections is what helps.
                    tracing::warn!(error = &error as &dyn std::error::Error, "http.accept_failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (server, watcher, cut) = (Arc::clone(&server), graceful.watcher(), cut.clone());
        tasks.spawn(async move {
            cut.run_until_cancelled(server.connection(stream, peer, watcher)).await;
            drop(permit);
        });
    }
    health.drain();
    drop(listener);
    tasks.close();
    let finished = async {
        graceful.shutdown().await;
        tasks.wait().await;
    };
    let all = tokio::time::timeout(server.limits.drain, finished).await.is_ok();
    cut.cancel();
    tasks.wait().await;
    all
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
    http: auto::Builder<TokioExecutor>,
    router: Router,
    proxies: TrustedProxies,
    acceptor: Option<TlsAcceptor>,
    limits: Limits,
}

impl Server {
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        // Answers are small: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = &self.acceptor else {
            return self.requests(stream, peer, watcher).await;
        };
        match tokio::time::timeout(self.limits.header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, peer, watcher).await,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "http.tls_failed");
            }
            Err(_elapsed) => tracing::debug!("http.tls_timeout"),
        }
    }

    async fn requests<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            let client = self.proxies.client(peer, request.headers());
            request.extensions_mut().insert(client);
            self.router.clone().oneshot(request)
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error = &*error, "http.connection_broken");
        }
    }
}
