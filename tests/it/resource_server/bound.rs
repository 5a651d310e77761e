//! Tokens that are bound to keys (RFC 9449), and proofs that come with others.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, ready};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use mcp_auth_broker::resource_server::{
    ClientCertificate, DpopSettings, ProofChecker, ProofReplay, ReplayUnavailable, TokenError,
};
use mcp_auth_broker::time::Timestamp;
use serde_json::json;
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, service_fn};

use crate::support::tokens::{NOW, RESOURCE, SigningKey, encode};

use super::{App, Body, clock, layer, sent, verifier};

/// Knows every proof for a new one, and how often it was asked.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl ProofReplay for Counting {
    fn first_use<'a>(
        &'a self,
        _proof: &'a str,
        _until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(true)))
    }
}

/// Says which headers came through.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
    Ok(Response::new(names.join(",").into()))
}

fn app(key: &SigningKey, replay: &Arc<Counting>) -> App {
    let layer = layer(verifier(key)).dpop(DpopSettings {
        base: "https://b.example".parse().unwrap(),
        required: false,
        checker: ProofChecker::new(Arc::clone(replay) as Arc<dyn ProofReplay>, None),
        clock: clock(),
    });
    BoxCloneService::new(ServiceBuilder::new().layer(layer).service(service_fn(echo)))
}

fn digest(text: &str) -> String {
    encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

/// RFC 7638
fn thumbprint(key: &SigningKey) -> String {
    let jwk = key.jwk("k");
    digest(&format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]))
}

fn call(token: &str, by: &SigningKey) -> Request<Body> {
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": by.jwk("k") });
    let ath = digest(token);
    let claims = json!({ "htm": "GET", "htu": RESOURCE, "iat": NOW, "jti": "1", "ath": ath });
    let request = Request::get("/mcp").header(AUTHORIZATION, format!("DPoP {token}"));
    request.header("dpop", by.sign(&header, &claims)).body(Body::default()).unwrap()
}

// RFC 9449 §4.3, §11.1 — N88
#[tokio::test]
async fn who_has_a_bound_token_and_not_its_key_makes_nobody_remember_anything() {
    let (issuer, own, other) = (SigningKey::ec(), SigningKey::ec(), SigningKey::ec());
    let replay = Arc::new(Counting::default());
    let app = app(&issuer, &replay);
    let token = issuer.token("k1", json!({ "cnf": { "jkt": thumbprint(&own) } }));
    for _ in 0..2 {
        assert_eq!(sent(&app, call(&token, &other)).await.status(), 401);
    }
    assert_eq!(replay.0.load(Ordering::SeqCst), 0);
    assert_eq!(sent(&app, call(&token, &own)).await.status(), 200);
    assert_eq!(replay.0.load(Ordering::SeqCst), 1);
}

// RFC 9449 §7.1 — N88
#[tokio::test]
async fn no_proof_goes_on_to_the_service_also_beside_a_bearer_token_that_is_remembered() {
    use http_body_util::BodyExt as _;
    let issuer = SigningKey::ec();
    let app = app(&issuer, &Arc::default());
    let token = issuer.token("k1", json!({}));
    for _ in 0..2 {
        let request = Request::get("/mcp")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header("dpop", "x")
            .header("x-other", "y")
            .body(Body::default())
            .unwrap();
        let names = sent(&app, request).await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(names, "x-other");
    }
}

// RFC 8705 §3
#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_of_no_use_where_nobody_tells_of_one() {
    let issuer = SigningKey::ec();
    let certificate = |der: &[u8]| ClientCertificate::new([der.to_vec()]).unwrap();
    let own = certificate(b"its own");
    let token = issuer.token("k1", json!({ "cnf": { "x5t#S256": own.thumbprint() } }));
    let request = |certificate: Option<ClientCertificate>| {
        let request = Request::get("/mcp").header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header("x-client-cert", own.thumbprint());
        let mut request = request.body(Body::default()).unwrap();
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        request
    };
    let plain = layer(verifier(&issuer));
    let plain = BoxCloneService::new(ServiceBuilder::new().layer(plain).service(service_fn(echo)));
    for app in [plain, app(&issuer, &Arc::default())] {
        // First seen, then remembered.
        for _ in 0..2 {
            assert_eq!(sent(&app, request(None)).await.status(), 401);
            assert_eq!(sent(&app, request(Some(certificate(b"another")))).await.status(), 401);
            assert_eq!(sent(&app, request(Some(own.clone()))).await.status(), 200);
        }
    }
    let layer = layer(verifier(&issuer));
    let refused = layer.verify(request(Some(own.clone())).headers()).await.unwrap_err();
    assert_eq!(refused.error(), TokenError::ClaimsInvalid, "headers tell of no certificate");
}
