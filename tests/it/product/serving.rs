//! Health, readiness, draining, restarts, TLS.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::child::Served;
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Request, exchange, finish};
use crate::support::until::until;

/// A request whose body the server has begun to wait for: it asked for it.
async fn half_sent(authority: &str, token: &str) -> (TcpStream, Vec<u8>) {
    let list = mcp(Wire::Modern, Some(token), "tools/list", json!({}));
    let bytes = list.header("expect", "100-continue").bytes(authority);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(&bytes[..end]).await.unwrap();
    let mut said = [0; 25];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    (stream, bytes[end..].to_vec())
}

async fn refuses_connections(authority: &str) {
    let refused = async || TcpStream::connect(authority).await.is_err().then_some(());
    until("nobody listens", refused).await;
}

#[tokio::test]
async fn health_and_readiness_say_what_a_probe_needs() {
    let product = Product::dev().await;
    let probe = |path: &str| Request::new("GET", path).header("host", "10.0.0.7");
    let health = product.send(probe("/health")).await;
    assert_eq!((health.status, health.json()["status"].clone()), (200, json!("up")));
    let ready = product.send(probe("/ready")).await;
    assert_eq!((ready.status, ready.json()["status"].clone()), (200, json!("ready")));
    assert_eq!(ready.json()["facts"]["graph"], "simulated");
    assert_eq!(ready.header("cache-control"), "no-store");
    assert_eq!(product.get("/nowhere").await.status, 404);
    assert_eq!(product.send(Request::new("POST", "/health")).await.status, 405);
}

#[tokio::test]
async fn a_drain_finishes_what_began_and_takes_nothing_new() {
    let mut product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let (mut stream, rest) = half_sent(&product.authority, &token).await;
    product.stop();
    refuses_connections(&product.authority).await;
    stream.write_all(&rest).await.unwrap();
    assert_eq!(finish(stream).await.status, 200);
    product.ended().await;
    assert_eq!(product.event_types(), ["auth.token.accepted", "tools.listed"]);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_off_and_records_it() {
    let mut product = Product::start("[server]\ndrain_seconds = 0").await;
    let token = product.token(&["public:read"]);
    let (stream, _) = half_sent(&product.authority, &token).await;
    product.stop();
    product.ended().await;
    assert_eq!(finish(stream).await.status, 0);
    let last = product.audit().pop().unwrap();
    assert_eq!(last["payload"]["status"], "cancelled", "{last}");
}

/// What a load balancer sees: polls until the broker says that it goes away.
async fn turns_unready(authority: &str) {
    let probe = Request::new("GET", "/ready").bytes(authority);
    let unready = async || (exchange(authority, &probe).await.status == 503).then_some(());
    until("unready", unready).await;
}

#[tokio::test]
async fn a_drain_is_seen_in_ready_while_everything_is_still_served() {
    let mut product = Product::start("[server]\ndrain_pause_ms = 60000").await;
    let token = product.token(&["public:read"]);
    product.stop();
    turns_unready(&product.authority).await;
    let ready = product.get("/ready").await.json();
    assert_eq!(ready["failing"][0]["name"], "drain", "{ready}");
    let list = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    assert_eq!((list.status, product.get("/health").await.status), (200, 200));
    product.cut();
    product.ended().await;
    refuses_connections(&product.authority).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_drain_at_once_and_records_what_it_cuts_off() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[server]\ndrain_pause_ms = 60000\ndrain_seconds = 3600";
    let mut served = Served::start(directory.path(), settings, &[]).await;
    let token = served.mint("public:read");
    let (stream, _) = half_sent(&served.authority, &token).await;
    served.terminate();
    turns_unready(&served.authority).await;
    served.terminate();
    assert!(served.ended().await.success(), "{}", served.stderr());
    assert_eq!(finish(stream).await.status, 0);
    assert!(served.audit_lines().pop().unwrap().contains("\"cancelled\""));
}

#[tokio::test]
async fn a_second_start_knows_the_tokens_of_the_first() {
    let product = Product::dev().await;
    let token = product.token_with(&["public:read"], |_| {});
    let before = product.get("/.well-known/jwks.json").await;
    let product = Box::pin(product.restart("")).await;
    let after = product.get("/.well-known/jwks.json").await;
    assert_eq!(before.body, after.body);
    // The port, and with it issuer and resource, is another one; the signature is what is asked here.
    let answer = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    assert_eq!(answer.status, 401);
    let reason = product.audit().pop().unwrap()["payload"]["reason"].clone();
    assert_eq!(reason, "unknown_issuer");
}

#[tokio::test]
async fn sigterm_drains_and_ends_with_success() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[server]\ndrain_pause_ms = 0";
    let mut served = Served::start(directory.path(), settings, &[]).await;
    let token = served.mint("public:read");
    let (mut stream, rest) = half_sent(&served.authority, &token).await;
    served.terminate();
    refuses_connections(&served.authority).await;
    stream.write_all(&rest).await.unwrap();
    assert_eq!(finish(stream).await.status, 200);
    assert!(served.ended().await.success(), "{}", served.stderr());
    assert_eq!(served.audit_lines().len(), 2);
}

#[tokio::test]
async fn tls_ends_here_where_a_certificate_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
    let key = directory.path().join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = format!("[server.tls]\ncert = \"cert.pem\"\nkey = \"file:{}\"", key.display());
    let product = Product::start_in(directory, &settings, &[]).await;
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(&product.authority).await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let request = Request::new("GET", "/health").bytes(&product.authority);
    stream.write_all(&request).await.unwrap();
    let answer = finish(stream).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    assert_eq!(product.get("/health").await.status, 0, "plain HTTP is not answered");
}

/// One request and the head of its answer, on a connection that stays open.
async fn asks(stream: &mut TcpStream) {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"}") {
        said.push(stream.read_u8().await.unwrap());
    }
    assert!(said.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_until_another_ends() {
    let product = Product::start("[server]\nmax_connections = 2").await;
    let mut first = TcpStream::connect(&product.authority).await.unwrap();
    let mut second = TcpStream::connect(&product.authority).await.unwrap();
    asks(&mut first).await;
    asks(&mut second).await;
    let mut third = TcpStream::connect(&product.authority).await.unwrap();
    third.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    for _ in 0..50 {
        asks(&mut second).await; // whoever is in is served all the time
    }
    let waiting = third.try_read(&mut [0]).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(third.read_u8().await.unwrap(), b'H');
}

/// On every kind of answer: a document, a refusal, a page, an error page, a challenge.
#[tokio::test]
async fn no_answer_is_taken_for_another_kind_of_content() {
    let product = Product::dev().await;
    for path in [
        "/health",
        "/ready",
        "/nowhere",
        "/mcp",
        "/login",
        "/account",
        "/authorize",
        "/token",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
        "/.well-known/jwks.json",
        "/api/openapi.json",
        "/api/v1/users",
    ] {
        let answer = product.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}: {answer:?}");
        assert_eq!(answer.header("server"), "", "{path}");
    }
}
