//! A verifier that takes another's place: what that one knew of issuers elsewhere, it knows too, and nothing of others.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::resource_server::{
    Algorithm, IntrospectionTiming, IssuerSettings, KeySource, TokenError, Verifier,
    VerifierBuilder,
};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::json;
use tokio::sync::Notify;
use url::Url;

use crate::support::fake_http::{FakeHttp, Reply, loopback_outbound};
use crate::support::tokens::{ISSUER, NOW, RESOURCE, SigningKey};

const OTHER: &str = "https://b.example/servers/other/mcp";

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)))
}

fn settings(keys: KeySource) -> IssuerSettings {
    let mut settings =
        IssuerSettings::new(ISSUER.parse().unwrap(), vec![RESOURCE.to_owned()], keys);
    settings.opaque_tokens = matches!(settings.keys, KeySource::Introspection { .. });
    settings
}

fn builder(settings: IssuerSettings, clock: &Arc<FixedClock>) -> VerifierBuilder {
    let clock = Arc::clone(clock) as _;
    Verifier::builder().issuer(settings).outbound(loopback_outbound()).clock(clock)
}

fn jwks(url: Url) -> IssuerSettings {
    settings(KeySource::Jwks { url })
}

fn asking(url: Url, client: &str, secret: &str) -> IssuerSettings {
    let client_secret = secret.to_owned().into();
    settings(KeySource::Introspection { url, client_id: client.parse().unwrap(), client_secret })
}

async fn refusal(verifier: &Verifier, token: &str) -> Option<TokenError> {
    verifier.verify(token).await.err().map(|refusal| refusal.error())
}

#[tokio::test]
async fn keys_outlast_a_change_of_audiences_while_their_issuer_is_away() {
    let (key, clock) = (SigningKey::ec(), clock());
    let issuer = FakeHttp::start(Reply::json(key.jwks("k1"))).await;
    let first = builder(jwks(issuer.url()), &clock).build().unwrap();
    assert_eq!(refusal(&first, &key.token("k1", json!({}))).await, None);
    issuer.answers(Reply::status(503));
    let mut changed = jwks(issuer.url());
    changed.audiences = vec![OTHER.to_owned()];
    let next = builder(changed, &clock).going_on_from(&first).build().unwrap();
    drop(first);
    assert_eq!(refusal(&next, &key.token("k1", json!({ "aud": OTHER }))).await, None);
    let for_before = refusal(&next, &key.token("k1", json!({}))).await;
    assert_eq!(for_before, Some(TokenError::WrongAudience), "though its token was verified");
    assert_eq!(issuer.count(), 1);
    // As long as they would have lasted there, and no longer.
    clock.advance(Duration::from_hours(24));
    let late = key.token("k1", json!({ "aud": OTHER, "exp": NOW + 1_000_000, "jti": "late" }));
    assert_eq!(refusal(&next, &late).await, Some(TokenError::IssuerUnavailable));
}

#[tokio::test]
async fn keys_of_another_place_for_other_algorithms_or_of_another_clock_are_fetched() {
    let (key, own) = (SigningKey::ec(), clock());
    let issuer = FakeHttp::start(Reply::json(key.jwks("k1"))).await;
    let elsewhere = FakeHttp::start(Reply::status(503)).await;
    let first = builder(jwks(issuer.url()), &own).build().unwrap();
    let token = key.token("k1", json!({}));
    assert_eq!(refusal(&first, &token).await, None);
    issuer.answers(Reply::status(503));
    let mut others = jwks(issuer.url());
    others.algorithms = vec![Algorithm::ES256];
    let mut renamed = jwks(issuer.url());
    renamed.issuer = "https://other.example".parse().unwrap();
    let of_renamed = key.token("k1", json!({ "iss": "https://other.example" }));
    for (settings, clock, token) in [
        (jwks(elsewhere.url()), Arc::clone(&own), &token),
        (others, Arc::clone(&own), &token),
        (renamed, Arc::clone(&own), &of_renamed),
        (jwks(issuer.url()), clock(), &token),
    ] {
        let next = builder(settings, &clock).going_on_from(&first).build().unwrap();
        assert_eq!(refusal(&next, token).await, Some(TokenError::IssuerUnavailable));
    }
    assert_eq!((issuer.count(), elsewhere.count()), (4, 1));
}

#[tokio::test]
async fn a_fetch_under_way_goes_on_for_the_one_that_comes_next() {
    let (key, clock, gate) = (SigningKey::ec(), clock(), Arc::new(Notify::new()));
    let keys = Box::new(Reply::json(key.jwks("k1")));
    let issuer = FakeHttp::start(Reply::When(Arc::clone(&gate), keys)).await;
    let first = builder(jwks(issuer.url()), &clock).build().unwrap();
    let token = key.token("k1", json!({}));
    let mut asked = Box::pin(first.verify(&token));
    assert!(futures_util::poll!(asked.as_mut()).is_pending());
    let next = builder(jwks(issuer.url()), &clock).going_on_from(&first).build().unwrap();
    drop(asked);
    drop(first);
    gate.notify_one();
    assert_eq!(refusal(&next, &token).await, None);
    assert_eq!(issuer.count(), 1);
}

#[tokio::test]
async fn answers_about_tokens_outlast_a_change_but_not_that_of_who_asks_or_for_how_long() {
    let clock = clock();
    let good = json!({ "active": true, "iss": ISSUER, "aud": [RESOURCE, OTHER], "sub": "ada", "exp": NOW + 600 });
    let issuer = FakeHttp::start(Reply::json(good.to_string())).await;
    let first = builder(asking(issuer.url(), "us", "old"), &clock).build().unwrap();
    assert_eq!(refusal(&first, "opaque").await, None);
    issuer.answers(Reply::json(r#"{"active":false}"#));
    let mut changed = asking(issuer.url(), "us", "new");
    changed.audiences = vec![OTHER.to_owned()];
    let next = builder(changed, &clock).going_on_from(&first).build().unwrap();
    assert_eq!((refusal(&next, "opaque").await, issuer.count()), (None, 1));
    let positive = Duration::from_secs(30);
    let timing = IntrospectionTiming { positive, ..IntrospectionTiming::default() };
    let again = || builder(asking(issuer.url(), "us", "new"), &clock).going_on_from(&first);
    let other = builder(asking(issuer.url(), "others", "new"), &clock).going_on_from(&first);
    for builder in [other, again().introspection_timing(timing)] {
        assert_eq!(refusal(&builder.build().unwrap(), "opaque").await, Some(TokenError::Inactive));
    }
    // What is asked anew is asked with the secret of now (base64("us:new")), and the answer is for both.
    assert_eq!(refusal(&next, "more").await, Some(TokenError::Inactive));
    assert_eq!(issuer.asked().last().unwrap().headers["authorization"], "Basic dXM6bmV3");
    let before = issuer.count();
    assert_eq!(refusal(&first, "more").await, Some(TokenError::Inactive));
    assert_eq!(issuer.count(), before);
}
