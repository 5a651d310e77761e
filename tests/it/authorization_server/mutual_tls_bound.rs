//! Tokens that are bound to a certificate (RFC 8705 §3), and the connections on which they are of use.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::raw_http::{Request, finish};

use super::client::Asking;
use super::dpop::ClientKey;
use super::mutual_tls::{CA, claims, machine, refused, token_of};
use super::mutual_tls_world::{Running, URL, World, told};

/// A broker with a client whose tokens are bound, and another one.
async fn binding() -> Running {
    let world = World::new();
    for name in ["nightly", "daily"] {
        world.issued(name, "ca", (&format!("/CN={name}"), "extendedKeyUsage=clientAuth"), 30);
    }
    let bound = "tls_client_certificate_bound_access_tokens = true";
    let settings = [
        machine("nightly", &format!("tls_client_auth_subject_dn = \"CN=nightly\"\n{bound}")),
        machine("daily", "tls_client_auth_subject_dn = \"CN=daily\""),
        "[resource_server]\ndpop = \"allowed\"\n".to_owned(),
    ];
    world.start(CA, &settings.concat()).await
}

// RFC 8705 §3
#[tokio::test]
async fn a_bound_token_is_of_use_on_connections_with_its_certificate_alone() {
    let running = binding().await;
    let (status, body) = running.token(Some("nightly"), "nightly").await;
    assert_eq!(body["token_type"], "Bearer", "{body}");
    let token = token_of((status, body));
    let thumbprint = running.world.thumbprint("nightly");
    assert_eq!(claims(&token)["cnf"], json!({ "x5t#S256": thumbprint }));
    let (own, other, none) =
        (running.client(Some("nightly")), running.client(Some("daily")), running.client(None));
    assert_eq!(running.calls(&own, "Bearer", &token).await.0, 200);
    assert_eq!(running.calls(&own, "Bearer", &token).await.0, 200, "remembered");
    for client in [other, none] {
        let (status, challenge) = running.calls(&client, "Bearer", &token).await;
        assert_eq!(status, 401);
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(challenge.contains("bound to a certificate"), "{challenge}");
    }
    assert_eq!(running.calls(&own, "DPoP", &token).await.0, 401, "it is bound to no key");
    assert_eq!(running.calls(&own, "Bearer", &token).await.0, 200, "still its own");
    let plain = token_of(running.token(Some("daily"), "daily").await);
    assert_eq!(running.calls(&running.client(None), "Bearer", &plain).await.0, 200);
}

// RFC 8705 §3.2
#[tokio::test]
async fn introspection_says_what_a_token_is_bound_to() {
    let running = binding().await;
    let token = token_of(running.token(Some("nightly"), "nightly").await);
    let form = [("token", token.as_str()), ("client_id", "nightly")];
    let ask = |name| running.client(Some(name)).post(format!("{URL}/introspect")).form(&form);
    let (status, body) = told(ask("nightly")).await;
    assert_eq!((status, &body["active"]), (200, &json!(true)), "{body}");
    let thumbprint = running.world.thumbprint("nightly");
    assert_eq!(body["cnf"], json!({ "x5t#S256": thumbprint }));
    assert_eq!(body["token_type"], "Bearer");
    refused(&told(ask("daily")).await);
}

// RFC 8705 §3, RFC 9126 §2, RFC 9449 §10.1
#[tokio::test]
async fn a_proof_of_another_key_is_refused_before_anybody_is_asked_for_consent() {
    let world = World::new();
    world.issued("bank", "ca", ("/CN=bank", "extendedKeyUsage=clientAuth"), 30);
    let settings = "[[authorization_server.client]]\nclient_id = \"bank\"\ngrants = [\"authorization_code\"]\n\
        redirect_uris = [\"http://127.0.0.1:53682/callback\"]\ntls_client_auth_subject_dn = \"CN=bank\"\n\
        tls_client_certificate_bound_access_tokens = true\n[resource_server]\ndpop = \"allowed\"\n";
    let running = world.start(CA, settings).await;
    let asking = Asking::new("bank");
    let client = running.client(Some("bank"));
    let push = || client.post(format!("{URL}/par")).form(&asking.fields());
    assert_eq!(told(push()).await.0, 201);
    let proof = ClientKey::new().proof("POST", &format!("{URL}/par"), &json!({}));
    let (status, refused) = told(push().header("dpop", proof)).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_dpop_proof")), "{refused}");
}

// RFC 8446 §2.2, RFC 8705 §3
#[tokio::test]
async fn a_session_that_is_resumed_has_its_certificate_and_no_other() {
    let running = binding().await;
    let pem = |name: &str| running.world.directory.path().join(name);
    let with = |client: Option<&str>| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem("server.pem")).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let config = match client {
            Some(name) => {
                let certificate = CertificateDer::from_pem_file(pem(&format!("{name}.pem")));
                let key = PrivateKeyDer::from_pem_file(pem(&format!("{name}.key")));
                config.with_client_auth_cert(vec![certificate.unwrap()], key.unwrap()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        tokio_rustls::TlsConnector::from(Arc::new(config))
    };
    let form = "grant_type=client_credentials&client_id=nightly";
    for (client, status) in [(Some("nightly"), 200), (Some("daily"), 401), (None, 401)] {
        let connector = with(client);
        for resumed in [false, true] {
            let stream = TcpStream::connect(&running.product.authority).await.unwrap();
            let name = ServerName::try_from("broker.example").unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            let request = Request::new("POST", "/token")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
            stream.write_all(&request.bytes("broker.example")).await.unwrap();
            let mut stream = stream;
            let answer = finish(&mut stream).await;
            assert_eq!(answer.status, status, "{client:?} {answer:?}");
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed, "{client:?}");
        }
    }
}

/// Whoever serves is who was meant.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
