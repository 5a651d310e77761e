//! Issuers whose keys are found through their own metadata, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::resource_server::{
    IssuerSettings, JwksTiming, KeyHealth, KeySource, TokenError, Verifier,
};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::json;

use crate::support::fake_http::{FakeHttp, Reply, loopback_outbound};
use crate::support::tokens::{NOW, RESOURCE, SigningKey};

const OAUTH: &str = "/.well-known/oauth-authorization-server/t1";
const OPENID_INSERTED: &str = "/.well-known/openid-configuration/t1";
const OPENID: &str = "/t1/.well-known/openid-configuration";

/// An issuer with a path, which answers 404 everywhere but for its keys.
struct Discovered {
    verifier: Verifier,
    clock: Arc<FixedClock>,
    fake: FakeHttp,
    issuer: String,
    key: SigningKey,
}

impl Discovered {
    async fn new() -> Self {
        let fake = FakeHttp::start(Reply::status(404)).await;
        let key = SigningKey::ec();
        fake.answers_at("/keys", Reply::json(key.jwks("k1")));
        let issuer = fake.url().join("t1").unwrap().to_string();
        let audiences = vec![RESOURCE.to_owned()];
        let settings =
            IssuerSettings::new(issuer.parse().unwrap(), audiences, KeySource::Discovery);
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let timeout = Duration::from_secs(2);
        let verifier = Verifier::builder()
            .issuer(settings)
            .outbound(loopback_outbound())
            .clock(Arc::clone(&clock) as _)
            .jwks_timing(JwksTiming { timeout, ..JwksTiming::default() })
            .build()
            .unwrap();
        Self { verifier, clock, fake, issuer, key }
    }

    fn metadata(&self, keys: &str) -> Reply {
        let jwks_uri = self.fake.url().join(keys).unwrap();
        Reply::json(json!({"issuer": self.issuer, "jwks_uri": jwks_uri}).to_string())
    }

    async fn refusal(&self, jti: &str) -> Option<TokenError> {
        let claims = json!({"iss": self.issuer, "jti": jti, "exp": NOW + 1_000_000});
        let token = self.key.token("k1", claims);
        self.verifier.verify(&token).await.err().map(|refusal| refusal.error())
    }

    fn health(&self) -> KeyHealth {
        self.verifier.health()[0].keys
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn paths(&self) -> Vec<String> {
        self.fake.asked().into_iter().map(|asked| asked.path).collect()
    }
}

#[tokio::test]
async fn each_well_known_form_is_tried_until_one_answers() {
    for (place, asked) in [
        (OAUTH, vec![OAUTH, "/keys"]),
        (OPENID_INSERTED, vec![OAUTH, OPENID_INSERTED, "/keys"]),
        (OPENID, vec![OAUTH, OPENID_INSERTED, OPENID, "/keys"]),
    ] {
        let discovered = Discovered::new().await;
        discovered.fake.answers_at(place, discovered.metadata("/keys"));
        assert_eq!(discovered.refusal("1").await, None);
        assert_eq!(discovered.refusal("2").await, None);
        assert_eq!(discovered.paths(), asked);
    }
}

// RFC 8414 §3.3
#[tokio::test]
async fn metadata_of_another_issuer_gives_no_keys() {
    let discovered = Discovered::new().await;
    let jwks_uri = discovered.fake.url().join("/keys").unwrap();
    for issuer in [format!("{}/", discovered.issuer), "https://idp.example".to_owned()] {
        let other = json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
        discovered.fake.answers_at(OAUTH, Reply::json(other));
        assert_eq!(discovered.refusal("1").await, Some(TokenError::IssuerUnavailable));
        assert_eq!(discovered.health(), KeyHealth::Unavailable);
        discovered.wait(5);
    }
    assert!(!discovered.paths().contains(&"/keys".to_owned()));
}

#[tokio::test]
async fn bad_metadata_counts_as_an_outage_and_is_asked_for_once_per_cool_down() {
    for reply in [
        Reply::Silence,
        Reply::status(500),
        Reply::json("not json"),
        Reply::json(format!(r#"{{"x":"{}"}}"#, "a".repeat(64 * 1024))),
        Reply::Answer(302, vec![("location", "/keys".to_owned())], "".into()),
        Reply::json("{}").header("content-type", "text/html"),
    ] {
        let discovered = Discovered::new().await;
        discovered.fake.answers_at(OAUTH, reply.clone());
        assert_eq!(discovered.refusal("1").await, Some(TokenError::IssuerUnavailable), "{reply:?}");
        let asked = discovered.fake.count();
        assert_eq!(discovered.refusal("2").await, Some(TokenError::IssuerUnavailable));
        assert_eq!(discovered.fake.count(), asked);
        discovered.fake.answers_at(OAUTH, discovered.metadata("/keys"));
        discovered.wait(5);
        assert_eq!(discovered.refusal("3").await, None);
    }
}

#[tokio::test]
async fn the_last_place_is_used_while_nobody_answers_for_the_metadata() {
    let discovered = Discovered::new().await;
    discovered.fake.answers_at(OAUTH, discovered.metadata("/keys"));
    assert_eq!(discovered.refusal("1").await, None);
    discovered.fake.answers_at(OAUTH, Reply::status(500));
    discovered.wait(3600);
    assert_eq!(discovered.refusal("2").await, None);
    assert_eq!((discovered.paths().len(), discovered.health()), (4, KeyHealth::Good));
    // The place is believed for a day, the keys that it gave in the end for another.
    discovered.wait(23 * 3600);
    assert_eq!(discovered.refusal("3").await, None);
    assert_eq!(discovered.health(), KeyHealth::Stale);
    discovered.wait(3600);
    assert_eq!(discovered.refusal("4").await, Some(TokenError::IssuerUnavailable));
}

#[tokio::test]
async fn a_key_set_that_moves_is_found_again() {
    let discovered = Discovered::new().await;
    let keys = Reply::json(discovered.key.jwks("k1")).header("etag", "\"v1\"");
    discovered.fake.answers_at("/keys", keys);
    discovered.fake.answers_at(OAUTH, discovered.metadata("/keys"));
    assert_eq!(discovered.refusal("1").await, None);
    discovered.fake.answers_at(OAUTH, discovered.metadata("/new"));
    discovered.fake.answers_at("/new", Reply::json(discovered.key.jwks("k1")));
    discovered.wait(3600);
    assert_eq!(discovered.refusal("2").await, None);
    let last = discovered.fake.asked().pop().unwrap();
    assert_eq!(last.path, "/new");
    // An ETag of the old place means nothing at the new one.
    assert!(!last.headers.contains_key("if-none-match"));
}
