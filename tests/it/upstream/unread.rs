//! Callers who do not read what a server says to them: nobody else waits for them, and they keep nothing for long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Version;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::behind::{GET, broker_at, call};
use super::raw_server::{RawServer, STREAM, Then, chunk};
use crate::support::product::Product;

type Versions = Arc<Mutex<Vec<Version>>>;

/// Offers HTTP/2 and HTTP/1.1. `get_all` never ends, everything else is answered at once.
struct Secure {
    url: String,
    authority: String,
    asked: Versions,
    _server: JoinSet<()>,
}

impl Secure {
    async fn start() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let chain = vec![certificate.der().clone()];
        let mut config = config.with_single_cert(chain, private).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://{}/mcp", listener.local_addr().unwrap());
        let (asked, mut server) = (Versions::default(), JoinSet::new());
        server.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&asked)));
        Self { url, authority: certificate.pem(), asked, _server: server }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, asked: Versions) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let router = axum::Router::new().fallback(move |version: Version, body: String| {
                asked.lock().unwrap().push(version);
                let answer = answer(&body);
                async move { answer }
            });
            let service = TowerToHyperService::new(router);
            let http = auto::Builder::new(TokioExecutor::new());
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn answer(body: &str) -> Response {
    if !body.contains("get_all") {
        let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
        return ([("content-type", "application/json")], answer).into_response();
    }
    let told = futures_util::stream::repeat(Bytes::from(large()));
    let body = Body::from_stream(told.map(Ok::<_, std::convert::Infallible>));
    ([("content-type", "text/event-stream")], body).into_response()
}

/// An event of 64 kB.
fn large() -> String {
    let text = "x".repeat(64 * 1024);
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progress\":1,\"message\":\"{text}\"}}}}\n\n"
    )
}

/// A client that calls, and reads nothing.
async fn unread(product: &Product, tool: &str) -> TcpStream {
    let request = call(product, &["weather:read"], tool).bytes(&product.authority);
    let mut client = TcpStream::connect(&product.authority).await.unwrap();
    client.write_all(&request).await.unwrap();
    client
}

/// Over HTTP/2 all of them would share one window.
#[tokio::test]
async fn calls_that_nobody_reads_do_not_hold_up_others_of_their_origin() {
    let server = Secure::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, &server.authority).unwrap();
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{}\"\nera = \"both\"\n{GET}",
        server.url
    );
    let trusted = format!("outbound.ca_file={}", file.display());
    let product = Product::start_in(directory, &settings, &[trusted]).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(unread(&product, "get_all").await);
    }
    let other = product.send(call(&product, &["weather:read"], "get_weather")).await;
    assert_eq!((other.status, &other.json()["result"]["content"]), (200, &serde_json::json!([])));
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|version| *version == Version::HTTP_11), "{asked:?}");
}

#[tokio::test]
async fn a_call_that_nobody_reads_leaves_the_server_alone_before_long() {
    let mut server = RawServer::start(STREAM, Then::Repeat(chunk(&large()))).await;
    let clock = Arc::new(FixedClock::at(SystemClock.now()));
    let product = broker_at(&server.url, GET, Arc::clone(&clock)).await;
    let client = unread(&product, "get_all").await;
    server.is_asked().await;
    // What comes before the sockets are full is read.
    for _ in 0..10 {
        clock.advance(Duration::from_secs(31));
        if tokio::time::timeout(Duration::from_secs(2), server.is_left()).await.is_ok() {
            product.audited(|event| event["payload"]["status"] == "cancelled").await;
            drop(client);
            return;
        }
    }
    panic!("the server still waits for who does not read");
}
