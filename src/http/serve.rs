//! Accepting, serving and draining: limits on connections, headers and time; TLS where it is configured.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::secret_text::SecretText;

use super::client_address::TrustedProxies;
use super::client_certificate::{ClientCertificates, KeyProven};
use super::connection::Server;
use super::front::Front;
use super::health::Health;

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
    #[error("{key} {} cannot be read\n  hint: a file that the broker's user may read", path.display())]
    Unreadable {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    // Without a source, as below: it quotes what it read, and in a key without line breaks that is the key.
    #[error(
        "{key} {} holds nothing that can be read as PEM\n  hint: a line -----BEGIN …-----, the lines of base64, a line -----END …-----; are its line breaks there?",
        path.display()
    )]
    NotPem { key: &'static str, path: PathBuf },
    // Without a source, which could quote what was read.
    #[error(
        "server.tls.key holds no private key as PEM\n  hint: its text begins with -----BEGIN PRIVATE KEY-----; a file is named file:/path/to/tls.key"
    )]
    NotAKey,
    #[error(
        "server.tls.client_ca_file {} holds a certificate that cannot be an authority\n  hint: the certificates of who issues those of clients, as PEM: openssl x509 -noout -text shows what each is",
        path.display()
    )]
    NotAnAuthority {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
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
    pub clients: ClientCertificates,
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
    let cert = |error| pem_fault("server.tls.cert", &files.cert, error);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(cert)?
        .collect::<Result<_, _>>()
        .map_err(cert)?;
    let private = match &files.key {
        TlsKey::File(path) => PrivateKeyDer::from_pem_file(path)
            .map_err(|error| pem_fault("server.tls.key", path, error))?,
        TlsKey::Pem(text) => PrivateKeyDer::from_pem_slice(text.expose().as_bytes())
            .map_err(|_quotes_the_text| ServeError::NotAKey)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = KeyProven::new(&files.clients, &provider)?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?;
    let config = match clients {
        Some(clients) => config.with_client_cert_verifier(clients),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, private).map_err(ServeError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls(TlsAcceptor::from(Arc::new(config))))
}

pub(super) fn pem_fault(key: &'static str, path: &Path, error: pem::Error) -> ServeError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => ServeError::Unreadable { key, path, source },
        _quotes_the_text => ServeError::NotPem { key, path },
    }
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
    let door = Door::new(listener, Server::new(front, proxies, acceptor, &limits), limits);
    door.open_until(stop.drain).await;
    health.drain();
    let mut now = std::pin::pin!(stop.now);
    let pause = tokio::time::sleep(door.limits.drain_pause);
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
    limits: Limits,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Cancelled when nothing new is begun any more.
    closing: CancellationToken,
    cut: CancellationToken,
}

impl Door {
    fn new(listener: TcpListener, server: Server, limits: Limits) -> Self {
        let room = Arc::new(Semaphore::new(limits.max_connections));
        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let (server, tasks) = (Arc::new(server), TaskTracker::new());
        Self { listener, server, limits, room, tasks, closing, cut }
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
            let closing = self.closing.clone();
            self.tasks.spawn(async move {
                let connection = server.connection(stream, peer, &closing);
                cut.run_until_cancelled(connection).await;
                drop(permit);
            });
        }
    }

    /// Lets requests in flight finish, unless it is to be at once or the time is up. Gives whether all did.
    async fn close(self, at_once: bool, now: impl Future<Output = ()>) -> bool {
        let Self { listener, limits, tasks, closing, cut, .. } = self;
        drop(listener);
        closing.cancel();
        tasks.close();
        let limit = if at_once { Duration::ZERO } else { limits.drain };
        let all = tokio::select! {
            finished = tokio::time::timeout(limit, tasks.wait()) => finished.is_ok(),
            () = now, if !at_once => false,
        };
        cut.cancel();
        tasks.wait().await;
        all
    }
}
