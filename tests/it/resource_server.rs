//! The tower layer from outside: which requests reach the service behind it, and how the others are answered.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

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
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::tokens::{ISSUER, NOW, RESOURCE, SigningKey, claims, encode, message};

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

// RS-9, RS-17, N64
#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let key = SigningKey::ec();
    let token = key.token("k1", json!({"aud": "https://b.example/servers/a/mcp"}));
    assert_snapshot!(wire(sent(&app(verifier(&key)), bearer(&token)).await).await, @r#"
    401 Unauthorized
    content-type: application/json
    cache-control: no-store
    www-authenticate: Bearer error="invalid_token", error_description="the access token is for another resource", scope="graph:read public:read", resource_metadata="https://b.example/.well-known/oauth-protected-resource/mcp"

    {"error":"invalid_token","error_description":"the access token is for another resource"}
    "#);
}

// RS-9
#[tokio::test]
async fn one_verifier_keeps_two_resources_apart() {
    let key = SigningKey::ec();
    let mut settings = settings(local(&key.jwks("k1")));
    settings.audiences.push("https://b.example/servers/a/mcp".to_owned());
    let verifier = Verifier::builder().issuer(settings).clock(clock());
    let guard = layer(verifier).only_for([RESOURCE]);
    let app = ServiceBuilder::new().layer(guard).service(service_fn(inner)).boxed_clone();
    let other = key.token("k1", json!({"aud": "https://b.example/servers/a/mcp"}));
    // The second time it is in the cache, and refused all the same.
    assert_eq!(refusal(&app, &other).await, Some(TokenError::WrongAudience));
    assert_eq!(refusal(&app, &other).await, Some(TokenError::WrongAudience));
    assert_eq!(refusal(&app, &key.token("k1", json!({}))).await, None);
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

// N67
#[tokio::test]
async fn the_algorithm_comes_from_the_key_never_from_the_header() {
    let jwks = RSA.jwks("k1");
    let app = app(Verifier::builder().issuer(settings(local(&jwks))).clock(clock()));
    assert_eq!(refusal(&app, &RSA.token("k1", json!({}))).await, None);
    let public = RSA.jwk("k1")["n"].as_str().unwrap().as_bytes().to_vec();
    let confused = SigningKey::Secret(public);
    for alg in ["none", "None", "HS256", "ES256", "PS256", "RS384", "rs256"] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k1"});
        let token = confused.sign(&header, &claims(json!({})));
        assert_eq!(refusal(&app, &token).await, Some(TokenError::AlgorithmNotAllowed), "{alg}");
    }
    let unsigned = format!("{}.", message(&json!({"alg": "none"}), &claims(json!({}))));
    assert_eq!(refusal(&app, &unsigned).await, Some(TokenError::AlgorithmNotAllowed));
}

// N68
#[tokio::test]
async fn a_kid_is_a_name_in_memory_and_nothing_else() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    for kid in ["../../etc/passwd", "' OR 1=1 --", "k1\0", "", "K1", &"k".repeat(3000)] {
        let outcome = refusal(&app, &key.token(kid, json!({}))).await;
        assert_eq!(outcome, Some(TokenError::UnknownKey), "{kid:?}");
    }
    let long = key.token(&"k".repeat(64 * 1024), json!({}));
    assert_eq!(refusal(&app, &long).await, Some(TokenError::Malformed));
}

// N68
#[tokio::test]
async fn a_missing_kid_is_allowed_where_one_key_fits() {
    let (key, other) = (SigningKey::ec(), SigningKey::ec());
    let header = json!({"alg": "ES256", "typ": "at+jwt"});
    let token = key.sign(&header, &claims(json!({})));
    assert_eq!(refusal(&app(verifier(&key)), &token).await, None);
    let both = json!({"keys": [key.jwk("k1"), other.jwk("k2")]}).to_string();
    let two = app(Verifier::builder().issuer(settings(local(&both))).clock(clock()));
    assert_eq!(refusal(&two, &token).await, Some(TokenError::UnknownKey));
    // An RSA key beside it does not make the EC key ambiguous.
    let mixed = json!({"keys": [key.jwk("k1"), RSA.jwk("k2")]}).to_string();
    let mixed = app(Verifier::builder().issuer(settings(local(&mixed))).clock(clock()));
    assert_eq!(refusal(&mixed, &token).await, None);
}

// N69
#[tokio::test]
async fn a_key_that_the_token_brings_along_is_ignored() {
    let (key, forger) = (SigningKey::ec(), SigningKey::ec());
    let header = json!({
        "alg": "ES256", "typ": "at+jwt", "kid": "k1", "jwk": forger.jwk("k1"),
        "jku": "http://127.0.0.1:9/jwks", "x5u": "http://127.0.0.1:9/x5u", "x5c": ["AAAA"],
    });
    let app = app(verifier(&key));
    let foreign = forger.sign(&header, &claims(json!({})));
    assert_eq!(refusal(&app, &foreign).await, Some(TokenError::BadSignature));
    assert_eq!(refusal(&app, &key.sign(&header, &claims(json!({})))).await, None);
}

// N70
#[tokio::test]
async fn extensions_that_change_the_meaning_are_refused() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    for (name, value) in [("crit", json!(["exp"])), ("b64", json!(false)), ("cty", json!("JWT"))] {
        let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"});
        header[name] = value;
        let token = key.sign(&header, &claims(json!({})));
        assert_eq!(refusal(&app, &token).await, Some(TokenError::Malformed), "{name}");
    }
    let header = encode(json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}).to_string());
    let good = claims(json!({})).to_string();
    let doubled = good.replacen('{', r#"{"aud":"x","#, 1);
    let message = format!("{header}.{}", encode(doubled));
    let token = format!("{message}.{}", encode(key.signature(message.as_bytes())));
    assert_eq!(refusal(&app, &token).await, Some(TokenError::Malformed));
}

// N71
#[tokio::test]
async fn only_the_raw_signature_of_the_right_length_counts() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    let message =
        message(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}), &claims(json!({})));
    let good = key.signature(message.as_bytes());
    let zero_r = [&[0; 32][..], &good[32..]].concat();
    let zero_s = [&good[..32], &[0; 32]].concat();
    let der = key.der_signature(message.as_bytes());
    let longer = [&good[..], &[0]].concat();
    for bad in [zero_r, zero_s, der, longer, good[..63].to_vec(), vec![0; 64], vec![]] {
        let token = format!("{message}.{}", encode(&bad));
        assert_eq!(refusal(&app, &token).await, Some(TokenError::BadSignature), "{bad:x?}");
    }
    assert_eq!(refusal(&app, &format!("{message}.{}", encode(good))).await, None);
}

#[tokio::test]
async fn every_kind_of_key_verifies_its_own_tokens() {
    for key in [&SigningKey::ec(), &SigningKey::ed(), &*RSA] {
        let app = app(verifier(key));
        assert_eq!(refusal(&app, &key.token("k1", json!({}))).await, None, "{}", key.algorithm());
    }
    let secret = SigningKey::Secret(b"0123456789abcdef0123456789abcdef".to_vec());
    let source = KeySource::SharedSecret("0123456789abcdef0123456789abcdef".to_owned().into());
    let app = app(Verifier::builder().issuer(settings(source)).clock(clock()));
    assert_eq!(refusal(&app, &secret.token("any", json!({}))).await, None);
    let wrong = SigningKey::Secret(b"another".to_vec()).token("any", json!({}));
    assert_eq!(refusal(&app, &wrong).await, Some(TokenError::BadSignature));
}

/// Another implementation's token verifies: we do not just agree with ourselves.
#[tokio::test]
async fn a_token_signed_by_jsonwebtoken_verifies() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.typ = Some("JWT".to_owned());
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let token = jsonwebtoken::encode(&header, &claims(json!({})), &key).unwrap();
    let source = KeySource::SharedSecret(String::from_utf8_lossy(secret).into_owned().into());
    let app = app(Verifier::builder().issuer(settings(source)).clock(clock()));
    assert_eq!(refusal(&app, &token).await, None);
}

// N65, N119
#[tokio::test]
async fn an_id_token_is_refused() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"});
    let with_nonce = key.sign(&header, &claims(json!({"nonce": "n"})));
    assert_eq!(refusal(&app, &with_nonce).await, Some(TokenError::WrongType));
    let header = json!({"alg": "ES256", "typ": "id_token+jwt", "kid": "k1"});
    let typed = key.sign(&header, &claims(json!({})));
    assert_eq!(refusal(&app, &typed).await, Some(TokenError::WrongType));
    let header = json!({"alg": "ES256", "typ": "application/AT+JWT", "kid": "k1"});
    assert_eq!(refusal(&app, &key.sign(&header, &claims(json!({})))).await, None);
}

#[tokio::test]
async fn the_issuer_is_compared_byte_for_byte() {
    let key = SigningKey::ec();
    let app = app(verifier(&key));
    for iss in
        [json!("https://idp.example/"), json!("HTTPS://idp.example"), json!([ISSUER]), json!("")]
    {
        let token = key.token("k1", json!({"iss": iss}));
        assert_eq!(refusal(&app, &token).await, Some(TokenError::UnknownIssuer), "{iss}");
    }
}

// N68
#[tokio::test]
async fn the_key_of_one_issuer_does_not_sign_for_another() {
    let (ours, theirs) = (SigningKey::ec(), SigningKey::ec());
    let mut second = settings(local(&theirs.jwks("k2")));
    second.issuer = "https://other.example".parse().unwrap();
    let app = app(verifier(&ours).issuer(second));
    let crossed = theirs.token("k2", json!({}));
    assert_eq!(refusal(&app, &crossed).await, Some(TokenError::UnknownKey));
    let straight = theirs.token("k2", json!({"iss": "https://other.example"}));
    assert_eq!(refusal(&app, &straight).await, None);
}

const TID: &str = "11111111-2222-3333-4444-555555555555";

#[tokio::test]
async fn a_tenant_of_entra_needs_to_be_listed_and_its_key_to_sign_for_it() {
    let key = SigningKey::ec();
    let issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let with_issuer = |issuer: &str| {
        let mut jwk = key.jwk("k1");
        jwk["issuer"] = json!(issuer);
        local(&json!({ "keys": [jwk] }).to_string())
    };
    let entra = |keys| {
        let mut settings = settings(keys);
        settings.issuer = issuer.parse().unwrap();
        settings.entra = true;
        settings.tenants = vec![TID.parse().unwrap()];
        app(Verifier::builder().issuer(settings).clock(clock()))
    };
    let token = |tid: &str, iss_tid: &str| {
        let iss = issuer.replace("{tenantid}", iss_tid);
        key.token("k1", json!({"iss": iss, "tid": tid, "oid": "o1", "scp": "access"}))
    };
    let good = entra(with_issuer(issuer));
    let other = "99999999-2222-3333-4444-555555555555";
    assert_eq!(refusal(&good, &token(TID, TID)).await, None);
    assert_eq!(refusal(&good, &token(other, other)).await, Some(TokenError::UnknownIssuer));
    assert_eq!(refusal(&good, &token(TID, other)).await, Some(TokenError::UnknownIssuer));
    let pinned = entra(with_issuer(&issuer.replace("{tenantid}", other)));
    assert_eq!(refusal(&pinned, &token(TID, TID)).await, Some(TokenError::UnknownKey));
    let unstated = entra(local(&key.jwks("k1")));
    assert_eq!(refusal(&unstated, &token(TID, TID)).await, Some(TokenError::UnknownKey));
}

#[derive(Debug, Default)]
struct Switch {
    on: AtomicBool,
    asked: AtomicUsize,
}

impl Revocations for Switch {
    fn is_revoked(&self, _principal: &Principal) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.on.load(Ordering::SeqCst)
    }
}

// RS-8
#[tokio::test]
async fn a_revoked_token_is_refused_on_the_next_request_though_it_is_cached() {
    let key = SigningKey::ec();
    let switch = Arc::new(Switch::default());
    let app = app(verifier(&key).revocations(Arc::clone(&switch) as Arc<dyn Revocations>));
    let token = key.token("k1", json!({}));
    assert_eq!(refusal(&app, &token).await, None);
    switch.on.store(true, Ordering::SeqCst);
    assert_snapshot!(wire(sent(&app, bearer(&token)).await).await, @r#"
    401 Unauthorized
    content-type: application/json
    cache-control: no-store
    www-authenticate: Bearer error="invalid_token", error_description="the access token is not valid", scope="graph:read public:read", resource_metadata="https://b.example/.well-known/oauth-protected-resource/mcp"

    {"error":"invalid_token","error_description":"the access token is not valid"}
    "#);
    assert_eq!(switch.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_cached_token_ends_with_its_expiry() {
    let key = SigningKey::ec();
    let clock = clock();
    let app = app(verifier(&key).clock(Arc::clone(&clock) as _));
    let token = key.token("k1", json!({"exp": NOW + 10}));
    assert_eq!(refusal(&app, &token).await, None);
    clock.advance(Duration::from_secs(39));
    assert_eq!(refusal(&app, &token).await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(&app, &token).await, Some(TokenError::Expired));
}

// N73
#[tokio::test]
async fn a_retired_key_serves_cached_tokens_for_a_minute_at_most() {
    let (old, new) = (SigningKey::ec(), SigningKey::ec());
    let keys = Arc::new(LocalKeys::new(old.jwks("k1").as_bytes()).unwrap());
    let clock = clock();
    let settings = settings(KeySource::Local(Arc::clone(&keys)));
    let app = app(Verifier::builder().issuer(settings).clock(Arc::clone(&clock) as _));
    let token = old.token("k1", json!({}));
    assert_eq!(refusal(&app, &token).await, None);
    keys.replace(new.jwks("k2").as_bytes()).unwrap();
    assert_eq!(refusal(&app, &new.token("k2", json!({}))).await, None);
    assert_eq!(refusal(&app, &token).await, None);
    clock.advance(Duration::from_mins(1));
    assert_eq!(refusal(&app, &token).await, Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn our_own_key_set_must_be_perfect() {
    let key = SigningKey::ec();
    let mut jwk = key.jwk("k1");
    jwk["d"] = json!(encode("private"));
    assert!(LocalKeys::new(json!({ "keys": [jwk] }).to_string().as_bytes()).is_err());
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
