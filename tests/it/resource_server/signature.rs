//! Which signatures count: keys, algorithms, names of keys, header extensions.

use super::*;

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
