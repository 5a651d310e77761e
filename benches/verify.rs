//! What a request pays for its token: remembered, seen for the first time, or forged.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot start should say so"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName};
use mcp_auth_broker::resource_server::{
    IssuerSettings, KeySource, LocalKeys, MemoryReplay, ProofChecker, ProofRequest, Verifier,
};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::json;
use tokio::runtime::Runtime;

#[path = "../tests/it/support/tokens.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod tokens;

use tokens::{ISSUER, NOW, RESOURCE, SigningKey};

fn verifier(key: &SigningKey, keep: Duration) -> Verifier {
    let keys = LocalKeys::new(key.jwks("k1").as_bytes()).unwrap();
    let audiences = vec![RESOURCE.to_owned()];
    let source = KeySource::Local(Arc::new(keys));
    let settings = IssuerSettings::new(ISSUER.parse().unwrap(), audiences, source);
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
    Verifier::builder().issuer(settings).clock(clock).cache(10_000, keep).build().unwrap()
}

fn verify(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let run = |verifier: &Verifier, token: &str| {
        runtime.block_on(async { black_box(verifier.verify(black_box(token)).await).is_ok() })
    };
    let (ec, rsa) = (SigningKey::ec(), SigningKey::rsa());
    let token = ec.token("k1", json!({}));

    let remembers = verifier(&ec, Duration::from_mins(1));
    assert!(run(&remembers, &token));
    c.bench_function("cached", |b| b.iter(|| run(&remembers, &token)));

    // A cache that keeps nothing: every look is the first.
    for (name, key) in [("first-seen ES256", &ec), ("first-seen RS256", &rsa)] {
        let forgets = verifier(key, Duration::ZERO);
        let token = key.token("k1", json!({}));
        assert!(run(&forgets, &token));
        c.bench_function(name, |b| b.iter(|| run(&forgets, &token)));
    }

    let forged = SigningKey::ec().token("k1", json!({}));
    assert!(!run(&remembers, &forged));
    c.bench_function("forged ES256", |b| {
        b.iter_batched(|| forged.clone(), |token| run(&remembers, &token), BatchSize::SmallInput);
    });
}

/// What a request with a bound token pays beside its token (RFC 9449 §4.3): one signature check, like a token that is
/// seen for the first time.
fn proof(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
    let checker = ProofChecker::new(Arc::new(MemoryReplay::new(clock)), None);
    let (key, urls) = (SigningKey::ec(), [RESOURCE.parse().unwrap()]);
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk("k1") });
    let mut count = 0_u64;
    let mut headers = || {
        count += 1;
        let ath = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"; // of `Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU`
        let claims = json!({ "htm": "POST", "htu": RESOURCE, "iat": NOW, "jti": count.to_string(), "ath": ath });
        HeaderMap::from_iter([(
            HeaderName::from_static("dpop"),
            key.sign(&header, &claims).parse().unwrap(),
        )])
    };
    let run = |headers: &HeaderMap| {
        let now = Timestamp::from_unix_seconds(NOW);
        let access_token = Some("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
        let request = ProofRequest { method: "POST", urls: &urls, access_token, key: None, now };
        runtime.block_on(async { black_box(checker.check(headers, request).await).is_ok() })
    };
    assert!(run(&headers()));
    c.bench_function("proof ES256", |b| {
        b.iter_batched(&mut headers, |headers| run(&headers), BatchSize::SmallInput);
    });
}

criterion_group!(benches, verify, proof);
criterion_main!(benches);
