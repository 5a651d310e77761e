//! A proxy behind which every name is one stand-in: how a test is Microsoft under Microsoft's names.

use std::sync::{Arc, Mutex};

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Takes `CONNECT`, ends TLS with a certificate of its own authority for the names it was given, and passes what is
/// inside on to one address. Stops when it is dropped.
pub(crate) struct Internet {
    pub(crate) proxy: String,
    /// The authority's certificate, as PEM.
    pub(crate) authority: String,
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Internet {
    pub(crate) async fn of(names: &[&str], behind: &str) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(names).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (behind, heard) = (behind.to_owned(), Arc::clone(&asked));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connect(stream, acceptor.clone(), behind.clone(), heard.clone()));
            }
        });
        Self { proxy, authority: certificate.pem(), asked, _server: server }
    }

    /// Where the broker wanted to go, in order, each once.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

async fn connect(
    mut client: TcpStream,
    acceptor: TlsAcceptor,
    behind: String,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    heard.lock().unwrap().push(target.unwrap_or("no CONNECT").to_owned());
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
    let Ok(mut inside) = acceptor.accept(client).await else { return };
    let mut server = TcpStream::connect(behind).await.unwrap();
    copy_bidirectional(&mut inside, &mut server).await.ok();
}
