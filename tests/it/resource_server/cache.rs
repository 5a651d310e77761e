//! How long a verified token is remembered, and that revocation does not wait for it.

use super::*;

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
