//! Whose tokens count, and what they are for.

use super::*;

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

#[tokio::test]
async fn our_own_key_set_must_be_perfect() {
    let key = SigningKey::ec();
    let mut jwk = key.jwk("k1");
    jwk["d"] = json!(encode("private"));
    assert!(LocalKeys::new(json!({ "keys": [jwk] }).to_string().as_bytes()).is_err());
}
