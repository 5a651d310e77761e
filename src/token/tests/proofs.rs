//! The kinds of credential beside a secret: federated tokens, managed identities, certificates.

use super::*;

#[tokio::test]
async fn a_federated_token_is_read_at_every_mint() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_owned();
    std::fs::write(&path, "first.a.b\n").unwrap();
    let acts = vec![granted("t1", ""), granted("t2", "")];
    let bench = bench_with(acts, |_| Credential::FederatedTokenFile(path.clone())).await;
    bench.obtain().await.unwrap();
    std::fs::write(&path, "second.a.b").unwrap();
    bench.clock.advance(Duration::from_hours(1));
    bench.obtain().await.unwrap();
    let requests = bench.fake.requests();
    assert!(requests[0].contains("client_assertion=first.a.b"));
    assert!(
        requests[1].contains("client_assertion=second.a.b")
            && !requests[1].contains("client_secret")
    );
    assert!(bench.secrets.asked().is_empty());
}

#[tokio::test]
async fn a_federated_token_file_that_is_not_a_jwt_is_not_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "CANARY not a jwt").unwrap();
    let bench = bench_with(vec![granted("t", "")], |_| {
        Credential::FederatedTokenFile(file.path().to_owned())
    })
    .await;
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::SecretUnavailable, Some(Detail::FederatedTokenFile))
    );
    assert!(!format!("{error:?}").contains("CANARY") && bench.calls() == 0);
}

#[tokio::test]
async fn a_managed_identity_is_asked_for_a_resource_without_a_secret() {
    let body = r#"{"access_token":"t1","token_type":"Bearer","expires_in":"86400","resource":"x"}"#;
    let credential = |fake: &FakeHttp| {
        let (endpoint, client_id) = (fake.origin.clone(), Some("mi".to_owned()));
        Credential::ManagedIdentity(ManagedIdentity::Imds { endpoint, client_id })
    };
    let bench = bench_with(vec![Act::json(200, body)], credential).await;
    assert!(bench.obtain().await.is_ok());
    let request = &bench.fake.requests()[0];
    assert!(request.starts_with("GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com&client_id=mi "), "{request}");
    assert!(request.contains("metadata: true"));
}

#[tokio::test]
async fn app_service_sends_its_header_and_410_is_transient() {
    let credential = |fake: &FakeHttp| {
        let endpoint = fake.origin.join("/msi/token").unwrap();
        let header = "CANARY-header".to_owned().into();
        Credential::ManagedIdentity(ManagedIdentity::AppService {
            endpoint,
            header,
            client_id: None,
        })
    };
    let bench = bench_with(vec![Act::json(410, ""), Act::json(403, "{}")], credential).await;
    assert_eq!(bench.code().await, Code::ProviderUnavailable);
    assert!(bench.fake.requests()[0].contains("x-identity-header: CANARY-header"));
    assert_eq!(bench.obtain().await.unwrap_err().detail(), Some(Detail::ManagedIdentityRefused));
    assert!(!format!("{:?}", bench.profile).contains("CANARY"));
}

#[tokio::test]
async fn a_certificate_signs_with_ps256_and_names_itself_by_sha_256() {
    use base64::Engine as _;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
    let chain = CertificateChain::from_pem(certificate.pem().as_bytes()).unwrap();
    let thumbprint = chain.thumbprint().to_owned();
    let mut bench = bench_with(vec![granted("t1", "")], |_| Credential::Certificate {
        chain,
        send_chain: true,
    })
    .await;
    bench.secrets = Values::new(&[Box::leak(pair.serialize_pem().into_boxed_str())]);
    bench.obtain().await.unwrap();
    let request = bench.fake.requests().remove(0);
    let jwt = request.split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
    let header = jsonwebtoken::decode_header(jwt).unwrap();
    assert_eq!(header.alg, jsonwebtoken::Algorithm::PS256);
    assert_eq!(header.x5t_s256, Some(thumbprint));
    assert_eq!(
        header.x5c,
        Some(vec![base64::engine::general_purpose::STANDARD.encode(certificate.der())])
    );
    let mut expected = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::PS256);
    expected.set_audience(&[bench.fake.origin.join("/contoso.example/oauth2/v2.0/token").unwrap()]);
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).unwrap();
    let claims = jsonwebtoken::decode::<serde_json::Value>(jwt, &key, &expected).unwrap().claims;
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("app"), Some("app")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

#[tokio::test]
async fn a_private_key_that_is_none_is_not_shown() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
    let chain = CertificateChain::from_pem(certificate.pem().as_bytes()).unwrap();
    let bench = bench_with(vec![granted("t1", "")], |_| Credential::Certificate {
        chain,
        send_chain: false,
    })
    .await;
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::PrivateKeyUnusable));
    assert!(!format!("{error:?}").contains("CANARY") && bench.calls() == 0);
}
