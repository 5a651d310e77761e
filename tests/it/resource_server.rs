//! The tower layer from outside: which requests reach the service behind it, and how the others are answered.

use crate::support::tokens::{ISSUER, NOW, RESOURCE, SigningKey, claims, encode, message};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use insta::assert_snapshot;
use mcp_auth_broker::resource_server::{
    IssuerSettings, KeySource, LocalKeys, Principal, Refusal, RequireTokenLayer, Revocations,
    TokenError, Verifier, VerifierBuilder, well_known_url,
};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::json;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

mod bound;
mod cache;
mod issuer;
mod signature;

type Body = Full<Bytes>;

type App = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

/// Made once: RSA keys take a while.
static RSA: LazyLock<SigningKey> = LazyLock::new(SigningKey::rsa);

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)))
}

fn settings(keys: KeySource) -> IssuerSettings {
    IssuerSettings::new(ISSUER.parse().unwrap(), vec![RESOURCE.to_owned()], keys)
}

fn local(jwks: &str) -> KeySource {
    KeySource::Local(Arc::new(LocalKeys::new(jwks.as_bytes()).unwrap()))
}

fn verifier(key: &SigningKey) -> VerifierBuilder {
    Verifier::builder().issuer(settings(local(&key.jwks("k1")))).clock(clock())
}

/// Says who came through, and whether the token did.
async fn inner(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let caller = request.extensions().get::<Principal>().expect("a principal");
    let text = format!(
        "{:?} {:?} [{}] fresh={} authorization={}",
        caller.subject().map(ToString::to_string),
        caller.client_id().map(ToString::to_string),
        caller.scopes(),
        caller.is_fresh(),
        request.headers().contains_key(AUTHORIZATION),
    );
    Ok(Response::new(text.into()))
}

fn layer(verifier: VerifierBuilder) -> RequireTokenLayer {
    let metadata = well_known_url(&RESOURCE.parse().unwrap());
    RequireTokenLayer::new(verifier.build().unwrap(), &metadata)
        .scope_hint(&"public:read graph:read offline_access".parse().unwrap())
}

fn app(verifier: VerifierBuilder) -> App {
    ServiceBuilder::new().layer(layer(verifier)).service(service_fn(inner)).boxed_clone()
}

fn request(uri: &str, authorization: &[&str]) -> Request<Body> {
    let mut request = Request::get(uri);
    for value in authorization {
        request = request.header(AUTHORIZATION, *value);
    }
    request.body(Body::default()).unwrap()
}

fn bearer(token: &str) -> Request<Body> {
    request("/mcp", &[&format!("Bearer {token}")])
}

/// Status, headers and body, as the client sees them.
async fn wire(response: Response<Body>) -> String {
    let (parts, body) = response.into_parts();
    let mut text = parts.status.to_string();
    for (name, value) in &parts.headers {
        text.extend(["\n", name.as_str(), ": ", value.to_str().unwrap()]);
    }
    let body = body.collect().await.unwrap().to_bytes();
    format!("{text}\n\n{}", String::from_utf8_lossy(&body))
}

async fn sent(app: &App, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

/// Why a token is refused, as an audit layer would learn it; `None` when it is let through.
async fn refusal(app: &App, token: &str) -> Option<TokenError> {
    let response = sent(app, bearer(token)).await;
    response.extensions().get::<Refusal>().map(Refusal::error)
}

// RS-8, RS-10, RS-11, RS-13
#[tokio::test]
async fn a_good_token_gets_through_and_stays_behind() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    let token = key.token("k1", json!({}));
    assert_snapshot!(wire(sent(&app, bearer(&token)).await).await, @r#"
    200 OK

    Some("ada") Some("c1") [graph:read public:read] fresh=true authorization=false
    "#);
    assert_snapshot!(wire(sent(&app, bearer(&token)).await).await, @r#"
    200 OK

    Some("ada") Some("c1") [graph:read public:read] fresh=false authorization=false
    "#);
}

// RS-3, RS-17, RS-18, RS-19, RS-20
#[tokio::test]
async fn without_credentials_the_challenge_names_no_error() {
    let app = app(verifier(&SigningKey::ec()));
    let bare = wire(sent(&app, request("/mcp", &[])).await).await;
    assert_snapshot!(bare, @r#"
    401 Unauthorized
    content-type: application/json
    cache-control: no-store
    www-authenticate: Bearer scope="graph:read public:read", resource_metadata="https://b.example/.well-known/oauth-protected-resource/mcp"

    {"error":"unauthorized","error_description":"a bearer token is required"}
    "#);
    assert_eq!(wire(sent(&app, request("/mcp", &["Basic YTpi"])).await).await, bare);
}

// RS-12, N58
#[tokio::test]
async fn a_token_in_the_query_is_not_looked_at() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    let uri = format!("/mcp?access_token={}", key.token("k1", json!({})));
    let response = sent(&app, request(&uri, &[])).await;
    assert_eq!(
        response.extensions().get::<Refusal>().map(Refusal::error),
        Some(TokenError::Missing)
    );
}

// RS-17
#[tokio::test]
async fn two_authorization_headers_are_a_bad_request() {
    let app = app(verifier(&SigningKey::ec()));
    let response = sent(&app, request("/mcp", &["Bearer a", "Bearer b"])).await;
    assert_snapshot!(wire(response).await, @r#"
    400 Bad Request
    content-type: application/json
    cache-control: no-store
    www-authenticate: Bearer error="invalid_request", error_description="send one Authorization header with one bearer token", scope="graph:read public:read", resource_metadata="https://b.example/.well-known/oauth-protected-resource/mcp"

    {"error":"invalid_request","error_description":"send one Authorization header with one bearer token"}
    "#);
}

// RS-17
#[tokio::test]
async fn an_expired_token_is_named_in_the_refusal_by_its_jti() {
    let key = SigningKey::ec();
    let token = key.token("k1", json!({"exp": NOW - 31}));
    let response = sent(&app(verifier(&key)), bearer(&token)).await;
    let refusal = response.extensions().get::<Refusal>().cloned().unwrap();
    assert_eq!((refusal.error(), refusal.token_name()), (TokenError::Expired, Some("token-1")));
}

// RS-14, N58
#[tokio::test]
async fn a_forged_token_is_named_by_its_hash_and_shown_nowhere() {
    let key = SigningKey::ec();
    let token = SigningKey::ec().token("k1", json!({"jti": "chosen-by-the-forger"}));
    let response = sent(&app(verifier(&key)), bearer(&token)).await;
    let refusal = response.extensions().get::<Refusal>().cloned().unwrap();
    assert_eq!(refusal.error(), TokenError::BadSignature);
    assert_eq!(refusal.token_name().map(str::len), Some(8));
    let shown = format!("{refusal:?} {}", wire(response).await);
    assert!(!shown.contains("chosen") && !shown.contains("eyJ"), "{shown}");
}

// RS-14
#[tokio::test]
async fn a_principal_prints_identifiers_only() {
    let key = SigningKey::ec();
    let verifier = verifier(&key).build().unwrap();
    let token = key.token("k1", json!({"email": "ada@contoso.example"}));
    let principal = verifier.verify(&token).await.unwrap();
    let shown = format!("{principal:?} {verifier:?}");
    assert!(
        shown.contains("ada\"") && !shown.contains("contoso") && !shown.contains("eyJ"),
        "{shown}"
    );
}

// N76
#[tokio::test]
async fn the_host_header_changes_nothing() {
    let app = app(verifier(&SigningKey::ec()));
    let plain = wire(sent(&app, request("/mcp", &[])).await).await;
    let mut spoofed = request("/mcp", &[]);
    for name in ["host", "x-forwarded-host", "forwarded"] {
        spoofed.headers_mut().insert(name, "host=evil.example".parse().unwrap());
    }
    assert_eq!(wire(sent(&app, spoofed).await).await, plain);
}
