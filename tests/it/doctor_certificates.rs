//! `broker doctor`: until when certificates are good.

use std::path::Path;
use std::sync::Arc;

use mcp_auth_broker::time::{Clock as _, SystemClock};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::child::command_beside;

/// A certificate for localhost that ends on this day, and its key.
fn made(ends: jiff::civil::Date) -> (rcgen::Certificate, rcgen::KeyPair) {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let (year, month) = (i32::from(ends.year()), u8::try_from(ends.month()).unwrap());
    parameters.not_after = rcgen::date_time_ymd(year, month, u8::try_from(ends.day()).unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap(), key)
}

/// Shows the certificate to whoever comes, and says nothing.
async fn shows(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> (u16, JoinSet<()>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            acceptor.accept(stream).await.ok();
        }
    });
    (port, server)
}

fn tls(directory: &Path) -> Vec<(String, String)> {
    let output = command_beside(directory, "127.0.0.1:9", &["doctor", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let steps = told["steps"].as_array().unwrap().iter().filter(|step| step["area"] == "tls");
    let text = |step: &Value, name: &str| step[name].as_str().unwrap().to_owned();
    steps.map(|step| (text(step, "verdict"), text(step, "found"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_soon_or_has_ended_is_told_for_both_ends() {
    let now = jiff::Timestamp::from_second(SystemClock.now().unix_seconds()).unwrap();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    for (days, verdict, says) in
        [(90, "good", "is good until"), (10, "warning", "ends in"), (-2, "bad", "has ended")]
    {
        let (certificate, key) = made(today.saturating_add(jiff::Span::new().days(days)));
        let (port, _server) = shows(&certificate, &key).await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(path.join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::set_permissions(
            path.join("key.pem"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let settings = format!(
            "[server]\npublic_url = \"https://localhost:{port}\"\n[server.tls]\ncert = \"{}\"\nkey = \"file:{}\"\n",
            path.join("cert.pem").display(),
            path.join("key.pem").display(),
        );
        std::fs::write(path.join("broker.toml"), settings).unwrap();
        let told = tls(path);
        for what in ["the certificate that is shown", "the certificate of server.tls"] {
            let found = told.iter().find(|(_, found)| found.starts_with(what));
            let (was, found) = found.unwrap_or_else(|| panic!("{what}: {told:?}"));
            assert!(was == verdict && found.contains(says), "{what}: {told:?}");
        }
    }
}

/// Entra takes an expired certificate for none, and nobody connects to it who would have noticed.
#[test]
fn the_certificate_of_a_graph_profile_is_looked_at_too() {
    let (certificate, key) = made(jiff::civil::date(2024, 1, 31));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("reader.pem"), certificate.pem()).unwrap();
    std::fs::write(path.join("reader.key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(
        path.join("reader.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[graph]\nmode = \"live\"\ncloud = \"custom\"\n\
         custom_cloud = {{ login_url = \"http://127.0.0.1:9\", graph_url = \"http://127.0.0.1:9\" }}\n\
         [[graph.profile]]\nname = \"reader\"\ntenant_id = \"contoso.example\"\nclient_id = \"app\"\n\
         credential = {{ certificate = \"reader.pem\", private_key = \"file:{}\" }}\n",
        path.join("reader.key").display(),
    );
    std::fs::write(path.join("broker.toml"), settings).unwrap();
    let told = tls(path);
    let what = "the certificate of graph.profile `reader` has ended";
    assert!(told.iter().any(|(was, found)| was == "bad" && found.starts_with(what)), "{told:?}");
}
