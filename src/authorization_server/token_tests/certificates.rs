//! Tokens of public clients that are bound to a certificate (RFC 8705 §3, §4).

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;

use crate::authorization_server::ClientCertificates;
use crate::resource_server::ClientCertificate;

use super::support::{Answer, Site, client, posting, redemption, refreshing, refused};

fn certificate(der: &[u8]) -> Option<ClientCertificate> {
    ClientCertificate::new([der.to_vec()])
}

/// A site at which tokens of the public client `app` are bound.
async fn site() -> Site {
    Site::with(|settings| {
        settings.client_certificates =
            ClientCertificates { self_signed: true, ..ClientCertificates::default() };
        settings.clients = vec![client("app", None, "authorization_code refresh_token", "")];
        for client in &mut settings.clients {
            client.tls.bound = true;
        }
    })
    .await
}

/// What is posted on a connection with this certificate, or without one.
async fn post(
    site: &Site,
    path: &str,
    (form, certificate): (&[(&str, &str)], Option<ClientCertificate>),
) -> Answer {
    let mut request = posting(path, form);
    if let Some(certificate) = certificate {
        request.extensions_mut().insert(certificate);
    }
    site.send(request).await
}

// RFC 8705 §4
#[tokio::test]
async fn the_refresh_token_of_a_public_client_is_bound_to_its_certificate() {
    let site = site().await;
    let code = site.code("app", "graph:read openid offline_access").await;
    let fields = redemption(&code);
    let without = post(&site, "/token", (&fields, None)).await;
    assert_eq!(without.error(), refused(400, "unauthorized_client"), "the code is not used up");
    let first = post(&site, "/token", (&fields, certificate(b"mine"))).await;
    let thumbprint = certificate(b"mine").unwrap().thumbprint().to_owned();
    assert_eq!(first.claims()["cnf"], json!({ "x5t#S256": thumbprint }));
    assert_eq!(first.member("token_type"), "Bearer");
    let token = first.member("refresh_token");
    let refresh = refreshing(&token);
    let stolen = post(&site, "/token", (&refresh, certificate(b"another"))).await;
    assert_eq!(stolen.error(), refused(400, "invalid_grant"));
    let without = post(&site, "/token", (&refresh, None)).await;
    assert_eq!(without.error(), refused(400, "unauthorized_client"));
    let second = post(&site, "/token", (&refresh, certificate(b"mine"))).await;
    assert_eq!(second.claims()["cnf"], json!({ "x5t#S256": thumbprint }));
    // The same answer again within the grace is for who holds the certificate, too.
    let stolen = post(&site, "/token", (&refresh, certificate(b"another"))).await;
    assert_eq!(stolen.error(), refused(400, "invalid_grant"));
    let again = post(&site, "/token", (&refresh, certificate(b"mine"))).await;
    assert_eq!(again.text, second.text);
}

// RFC 8705 §3, OIDC Core §5.3
#[tokio::test]
async fn userinfo_answers_on_a_connection_with_the_certificate_of_the_token() {
    let site = site().await;
    let code = site.code("app", "graph:read openid").await;
    let answer = post(&site, "/token", (&redemption(&code), certificate(b"mine"))).await;
    let token = answer.member("access_token");
    let ask = async |scheme: &str, certificate: Option<ClientCertificate>| {
        let mut request = Request::get("/userinfo")
            .header(header::AUTHORIZATION, format!("{scheme} {token}"))
            .body(Body::empty())
            .unwrap();
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        site.send(request).await.status.as_u16()
    };
    assert_eq!(ask("Bearer", certificate(b"mine")).await, 200);
    assert_eq!(ask("Bearer", certificate(b"another")).await, 401);
    assert_eq!(ask("Bearer", None).await, 401);
    assert_eq!(ask("DPoP", certificate(b"mine")).await, 401);
}

// RFC 8705 §3, RFC 9449 §5
#[tokio::test]
async fn a_token_is_bound_to_one_thing() {
    let site = site().await;
    let code = site.code("app", "graph:read").await;
    let mut request = posting("/token", &redemption(&code));
    request.headers_mut().insert("dpop", "a.b.c".parse().unwrap());
    request.extensions_mut().insert(certificate(b"mine").unwrap());
    assert_eq!(site.send(request).await.error(), refused(400, "invalid_dpop_proof"));
}
