//! Issuers that live elsewhere: key sets and introspection over real sockets, in good times and bad.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::resource_server::{
    IntrospectionTiming, IssuerSettings, JwksTiming, KeyHealth, KeySource, TokenError, Verifier,
};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply, loopback_outbound};
use crate::support::tokens::{ISSUER, NOW, RESOURCE, SigningKey, claims, encode};

/// A verifier with one remote issuer, and what it depends on.
struct Remote {
    verifier: Arc<Verifier>,
    clock: Arc<FixedClock>,
    issuer: FakeHttp,
}

impl Remote {
    async fn jwks(reply: Reply) -> Self {
        Self::new(reply, |url| KeySource::Jwks { url }).await
    }

    async fn introspection(reply: Reply) -> Self {
        Self::introspection_with(reply, IntrospectionTiming::default()).await
    }

    /// The same with these bounds; an answer has 300 ms.
    async fn introspection_with(reply: Reply, bounds: IntrospectionTiming) -> Self {
        let keys = |url| KeySource::Introspection {
            url,
            client_id: "bro:ker".parse().unwrap(),
            client_secret: "p%ss w".to_owned().into(),
        };
        Self::with(reply, keys, bounds).await
    }

    async fn new(reply: Reply, keys: impl Fn(url::Url) -> KeySource) -> Self {
        Self::with(reply, keys, IntrospectionTiming::default()).await
    }

    async fn with(
        reply: Reply,
        keys: impl Fn(url::Url) -> KeySource,
        bounds: IntrospectionTiming,
    ) -> Self {
        let issuer = FakeHttp::start(reply).await;
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let audiences = vec![RESOURCE.to_owned()];
        let mut settings =
            IssuerSettings::new(ISSUER.parse().unwrap(), audiences, keys(issuer.url()));
        settings.opaque_tokens = matches!(settings.keys, KeySource::Introspection { .. });
        let timeout = Duration::from_secs(2);
        let verifier = Verifier::builder()
            .issuer(settings)
            .outbound(loopback_outbound())
            .clock(Arc::clone(&clock) as _)
            .jwks_timing(JwksTiming { timeout, ..JwksTiming::default() })
            .introspection_timing(IntrospectionTiming { timeout, ..bounds })
            .build();
        Self { verifier: Arc::new(verifier.unwrap()), clock, issuer }
    }

    async fn refusal(&self, token: &str) -> Option<TokenError> {
        self.verifier.verify(token).await.err().map(|refusal| refusal.error())
    }

    fn health(&self) -> KeyHealth {
        self.verifier.health()[0].keys
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A token that is not in the cache.
fn fresh(key: &SigningKey, kid: &str, jti: usize) -> String {
    key.token(kid, json!({"jti": jti.to_string(), "exp": NOW + 1_000_000}))
}

#[tokio::test]
async fn keys_are_fetched_once_when_they_are_first_needed() {
    let key = SigningKey::ec();
    let remote = Remote::jwks(Reply::json(key.jwks("k1"))).await;
    assert_eq!((remote.issuer.count(), remote.health()), (0, KeyHealth::Unused));
    let tokens: Vec<_> = (0..20).map(|n| fresh(&key, "k1", n)).collect();
    let all = tokens.iter().map(|token| remote.refusal(token));
    assert!(futures_util::future::join_all(all).await.iter().all(Option::is_none));
    assert_eq!((remote.issuer.count(), remote.health()), (1, KeyHealth::Good));
}

// N69: a forged kid costs no network within the cool-down
#[tokio::test]
async fn unknown_kids_cost_one_fetch_per_cool_down() {
    let key = SigningKey::ec();
    let remote = Remote::jwks(Reply::json(key.jwks("k1"))).await;
    for n in 0..50 {
        let outcome = remote.refusal(&fresh(&key, &format!("kid-{n}"), n)).await;
        assert_eq!(outcome, Some(TokenError::UnknownKey));
    }
    assert_eq!(remote.issuer.count(), 1);
    remote.wait(30);
    for n in 0..50 {
        remote.refusal(&fresh(&key, &format!("kid-{n}"), n)).await;
    }
    assert_eq!(remote.issuer.count(), 2);
}

#[tokio::test]
async fn a_rotated_key_is_found_by_its_kid() {
    let (old, new) = (SigningKey::ec(), SigningKey::ec());
    let remote = Remote::jwks(Reply::json(old.jwks("k1"))).await;
    assert_eq!(remote.refusal(&fresh(&old, "k1", 0)).await, None);
    remote.issuer.answers(Reply::json(new.jwks("k2")));
    remote.wait(30);
    assert_eq!(remote.refusal(&fresh(&new, "k2", 1)).await, None);
    assert_eq!(remote.refusal(&fresh(&old, "k1", 2)).await, Some(TokenError::UnknownKey));
}

// RFC 7517 §4.5
#[tokio::test]
async fn a_rotated_key_without_a_name_is_found_once_the_cool_down_is_over() {
    let (old, new, other) = (SigningKey::ec(), SigningKey::ec(), SigningKey::rsa());
    let unnamed = |key: &SigningKey, jti: usize| {
        let header = json!({ "alg": key.algorithm(), "typ": "at+jwt" });
        key.sign(&header, &claims(json!({ "jti": jti.to_string() })))
    };
    let set = |key: &SigningKey| {
        let mut jwk = key.jwk("k");
        jwk.as_object_mut().unwrap().remove("kid");
        Reply::json(json!({ "keys": [jwk] }).to_string())
    };
    let remote = Remote::jwks(set(&old)).await;
    assert_eq!(remote.refusal(&unnamed(&old, 0)).await, None);
    for (key, before, count) in
        [(&new, TokenError::BadSignature, 2), (&other, TokenError::AlgorithmNotAllowed, 3)]
    {
        remote.issuer.answers(set(key));
        for jti in 0..20 {
            assert_eq!(remote.refusal(&unnamed(key, jti)).await, Some(before));
        }
        assert_eq!(remote.issuer.count(), count - 1, "none within the cool-down");
        remote.wait(30);
        assert_eq!(remote.refusal(&unnamed(key, 20)).await, None);
        assert_eq!(remote.issuer.count(), count);
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_fetch() {
    let key = SigningKey::ec();
    let remote = Remote::jwks(Reply::json(key.jwks("k1"))).await;
    let (first, second) = (fresh(&key, "k1", 0), fresh(&key, "k1", 1));
    // Polled once, then dropped: the fetch has begun and goes on without it.
    let mut abandoned = Box::pin(remote.verifier.verify(&first));
    assert!(futures_util::poll!(abandoned.as_mut()).is_pending());
    drop(abandoned);
    assert_eq!(remote.refusal(&second).await, None);
    assert_eq!(remote.issuer.count(), 1);
}

#[tokio::test]
async fn an_outage_is_503_without_keys_and_survived_with_them() {
    let key = SigningKey::ec();
    let remote = Remote::jwks(Reply::status(500)).await;
    assert_eq!(remote.refusal(&fresh(&key, "k1", 0)).await, Some(TokenError::IssuerUnavailable));
    assert_eq!((remote.issuer.count(), remote.health()), (1, KeyHealth::Unavailable));
    assert_eq!(remote.refusal(&fresh(&key, "k1", 0)).await, Some(TokenError::IssuerUnavailable));
    assert_eq!(remote.issuer.count(), 1);
    remote.issuer.answers(Reply::json(key.jwks("k1")));
    remote.wait(5);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 1)).await, None);
    remote.issuer.answers(Reply::Silence);
    remote.wait(3600);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 2)).await, None);
    assert_eq!(remote.health(), KeyHealth::Stale);
    remote.wait(23 * 3600);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 3)).await, Some(TokenError::IssuerUnavailable));
    assert_eq!(remote.health(), KeyHealth::Unavailable);
}

#[tokio::test]
async fn bad_answers_count_as_an_outage() {
    let key = SigningKey::ec();
    let jwks = key.jwks("k1");
    let huge = json!({"keys": [key.jwk("k1")], "x": "a".repeat(256 * 1024)}).to_string();
    let many: Vec<_> = (0..101).map(|n| key.jwk(&n.to_string())).collect();
    for reply in [
        Reply::Silence,
        Reply::status(404),
        Reply::status(304),
        Reply::Answer(302, vec![("location", "/keys".to_owned())], jwks.clone().into()),
        Reply::json(jwks.as_str()).header("content-type", "text/html"),
        Reply::json(jwks.as_str()).header("content-encoding", "gzip"),
        Reply::json(huge),
        Reply::json(json!({ "keys": many }).to_string()),
        Reply::json("not json"),
        Reply::json(jwks.replacen('{', r#"{"keys":[],"#, 1)),
    ] {
        let remote = Remote::jwks(reply.clone()).await;
        let outcome = remote.refusal(&fresh(&key, "k1", 0)).await;
        assert_eq!(outcome, Some(TokenError::IssuerUnavailable), "{reply:?}");
        assert_eq!(remote.issuer.count(), 1);
    }
}

#[tokio::test]
async fn private_and_repeated_keys_of_others_are_not_used() {
    let key = SigningKey::ec();
    let mut private = key.jwk("k1");
    private["d"] = json!(encode("private"));
    for keys in [json!([private]), json!([key.jwk("k1"), SigningKey::ec().jwk("k1")]), json!([])] {
        let remote = Remote::jwks(Reply::json(json!({ "keys": keys }).to_string())).await;
        assert_eq!(remote.refusal(&fresh(&key, "k1", 0)).await, Some(TokenError::UnknownKey));
    }
}

#[tokio::test]
async fn freshness_is_bounded_and_confirmed_by_etag() {
    let key = SigningKey::ec();
    let reply =
        Reply::json(key.jwks("k1")).header("etag", "\"v1\"").header("cache-control", "max-age=1");
    let remote = Remote::jwks(reply).await;
    assert_eq!(remote.refusal(&fresh(&key, "k1", 0)).await, None);
    remote.wait(299);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 1)).await, None);
    assert_eq!(remote.issuer.count(), 1);
    remote.issuer.answers(Reply::status(304).header("cache-control", "max-age=99999999"));
    remote.wait(1);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 2)).await, None);
    assert_eq!(remote.issuer.asked()[1].headers["if-none-match"], "\"v1\"");
    remote.wait(24 * 3600 - 1);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 3)).await, None);
    assert_eq!(remote.issuer.count(), 2);
    remote.wait(1);
    assert_eq!(remote.refusal(&fresh(&key, "k1", 4)).await, None);
    assert_eq!(remote.issuer.count(), 3);
}

// The wall clock decides about the token's dates, monotonic time about everything of ours.
#[tokio::test]
async fn a_step_of_the_wall_clock_ends_a_token_and_lengthens_nothing() {
    let key = SigningKey::ec();
    let remote = Remote::jwks(Reply::json(key.jwks("k1"))).await;
    let token = key.token("k1", json!({"nbf": NOW - 10}));
    assert_eq!(remote.refusal(&token).await, None);
    remote.clock.step_wall(Timestamp::from_unix_seconds(NOW + 630));
    assert_eq!(remote.refusal(&token).await, Some(TokenError::Expired), "though it is remembered");
    remote.clock.step_wall(Timestamp::from_unix_seconds(NOW));
    assert_eq!(remote.refusal(&token).await, None);
    // An hour back: what is remembered counts for its minute, and no longer.
    remote.clock.step_wall(Timestamp::from_unix_seconds(NOW - 3600));
    assert_eq!(remote.refusal(&token).await, None);
    remote.wait(60);
    assert_eq!(remote.refusal(&token).await, Some(TokenError::NotYetValid));
    assert_eq!((remote.issuer.count(), remote.health()), (1, KeyHealth::Good));
}

fn active(changes: Value) -> Reply {
    let mut claims = json!({
        "active": true, "iss": ISSUER, "aud": RESOURCE, "sub": "ada", "client_id": "c1",
        "scope": "graph:read", "exp": NOW + 600, "token_type": "Bearer",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    claims.as_object_mut().unwrap().extend(changes);
    Reply::json(claims.to_string())
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_with_our_own_credentials() {
    let remote = Remote::introspection(active(json!({}))).await;
    let principal = remote.verifier.verify("opaque+token/1").await.unwrap();
    assert_eq!(principal.subject().map(ToString::to_string).as_deref(), Some("ada"));
    assert_eq!(principal.scopes().to_string(), "graph:read");
    let asked = &remote.issuer.asked()[0];
    // base64("bro%3Aker:p%25ss+w"), RFC 6749 §2.3.1
    assert_eq!(asked.headers["authorization"], "Basic YnJvJTNBa2VyOnAlMjVzcyt3");
    assert_eq!(asked.body, "token=opaque%2Btoken%2F1&token_type_hint=access_token");
}

#[tokio::test]
async fn a_good_answer_counts_for_a_minute() {
    let remote = Remote::introspection(active(json!({}))).await;
    let all = (0..20).map(|_| remote.refusal("opaque"));
    assert!(futures_util::future::join_all(all).await.iter().all(Option::is_none));
    remote.wait(59);
    assert_eq!(remote.refusal("opaque").await, None);
    assert_eq!(remote.issuer.count(), 1);
    remote.issuer.answers(Reply::json(r#"{"active":false}"#));
    remote.wait(1);
    assert_eq!(remote.refusal("opaque").await, Some(TokenError::Inactive));
    assert_eq!(remote.issuer.count(), 2);
}

#[tokio::test]
async fn a_good_answer_does_not_outlive_the_token() {
    let remote = Remote::introspection(active(json!({"exp": NOW + 5}))).await;
    assert_eq!(remote.refusal("opaque").await, None);
    remote.wait(35);
    assert_eq!(remote.refusal("opaque").await, Some(TokenError::Expired));
}

// N79
#[tokio::test]
async fn a_bad_answer_counts_for_ten_seconds() {
    let remote = Remote::introspection(Reply::json(r#"{"active":false}"#)).await;
    assert_eq!(remote.refusal("opaque").await, Some(TokenError::Inactive));
    remote.wait(9);
    assert_eq!(remote.refusal("opaque").await, Some(TokenError::Inactive));
    assert_eq!(remote.issuer.count(), 1);
    remote.issuer.answers(active(json!({})));
    remote.wait(1);
    assert_eq!(remote.refusal("opaque").await, None);
}

// N64, N78
#[tokio::test]
async fn an_active_token_is_checked_like_any_other() {
    for (changes, error) in [
        (json!({"aud": "https://other.example"}), TokenError::WrongAudience),
        (json!({"aud": []}), TokenError::WrongAudience),
        (json!({"iss": "https://other.example"}), TokenError::UnknownIssuer),
        (json!({"exp": NOW - 60}), TokenError::Expired),
        (json!({"nbf": NOW + 60}), TokenError::NotYetValid),
        (json!({"token_type": "DPoP"}), TokenError::ClaimsInvalid),
        (json!({"cnf": {"jkt": "x"}}), TokenError::ClaimsInvalid),
        (json!({"active": "true"}), TokenError::IssuerUnavailable),
    ] {
        let remote = Remote::introspection(active(changes.clone())).await;
        assert_eq!(remote.refusal("opaque").await, Some(error), "{changes}");
    }
}

// N77: refused credentials of ours are our problem, not the caller's
#[tokio::test]
async fn an_introspection_outage_is_503_and_not_remembered() {
    for reply in [
        Reply::Silence,
        Reply::status(500),
        Reply::status(401),
        Reply::status(302),
        Reply::json("[]"),
    ] {
        let remote = Remote::introspection(reply.clone()).await;
        assert_eq!(remote.health(), KeyHealth::Unused);
        let outcome = remote.refusal("opaque").await;
        assert_eq!(outcome, Some(TokenError::IssuerUnavailable), "{reply:?}");
        assert_eq!(remote.health(), KeyHealth::Unavailable);
        remote.issuer.answers(active(json!({})));
        assert_eq!(remote.refusal("opaque").await, None, "{reply:?}");
        assert_eq!(remote.health(), KeyHealth::Good);
    }
}

// RFC 7662 §4
#[tokio::test]
async fn an_endpoint_that_hangs_holds_no_more_than_so_many_calls() {
    let bounds = IntrospectionTiming { concurrency: 2, ..IntrospectionTiming::default() };
    let remote = Remote::introspection_with(Reply::Silence, bounds).await;
    let tokens = ["one", "two", "three", "four"];
    let all = futures_util::future::join_all(tokens.map(|token| remote.refusal(token))).await;
    assert!(all.iter().all(|one| *one == Some(TokenError::IssuerUnavailable)), "{all:?}");
    assert_eq!(remote.issuer.count(), 2, "the others were answered without asking");
    remote.issuer.answers(active(json!({})));
    assert_eq!(remote.refusal("five").await, None, "there is room again");
}

/// Whoever sends tokens that are none fills no memory.
#[tokio::test]
async fn no_more_answers_are_remembered_than_there_is_room_for() {
    const MANY: usize = 300;
    let bounds = IntrospectionTiming { entries: 4, ..IntrospectionTiming::default() };
    let remote = Remote::introspection_with(Reply::json(r#"{"active":false}"#), bounds).await;
    for _ in 0..2 {
        for n in 0..MANY {
            assert_eq!(remote.refusal(&format!("token-{n}")).await, Some(TokenError::Inactive));
        }
    }
    assert!(remote.issuer.count() > MANY + MANY / 2, "{}", remote.issuer.count());
}

#[tokio::test]
async fn an_answer_without_end_is_none() {
    let endless = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(70 * 1024));
    let remote = Remote::introspection(Reply::json(endless)).await;
    assert_eq!(remote.refusal("opaque").await, Some(TokenError::IssuerUnavailable));
}

#[tokio::test]
async fn an_opaque_token_is_nobodys_where_none_is_configured() {
    let key = SigningKey::ec();
    let remote = Remote::jwks(Reply::json(key.jwks("k1"))).await;
    assert_eq!(remote.refusal("opaque").await, Some(TokenError::Malformed));
    assert_eq!(remote.issuer.count(), 0);
}
