//! Keys that a client publishes itself (`jwks_uri`), where they are not as they should be.

use std::time::Duration;

use axum::http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::authorization_server::{ClientError, DocumentError, OAuthError};
use crate::fake_http::{Act, FakeHttp, loopback_client};

use super::authentication::{Signer, add, claims, present, publishes};
use super::support::Site;

/// Longer than a key set or a document may take, and less than twice as long.
const LIMIT: Duration = Duration::from_secs(9);

/// A client whose keys an operator says are there.
async fn keyed(site: &Site, host: &FakeHttp) {
    let uri = format!("{}jwks", host.origin);
    let metadata = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri });
    add(site, "signer", &metadata.to_string(), None).await;
}

fn is_an_outage(error: &OAuthError) {
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", error.description());
}

// RFC 7517 §4.5, RFC 7523 §3 — N87
#[tokio::test]
async fn a_key_without_a_name_may_be_replaced_and_garbage_causes_no_storm() {
    let (site, old, new) = (Site::new().await, Signer::new(), Signer::new());
    let sets = [&old, &new].map(|signer| Act::json(200, &signer.jwks().to_string()));
    let host = FakeHttp::start(sets.to_vec()).await;
    keyed(&site, &host).await;
    assert!(present(&site, &old.sign(&claims())).await.is_ok());
    let mut next = claims();
    next["jti"] = json!("2");
    for _ in 0..5 {
        let refused = present(&site, &new.sign(&next)).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(host.requests().len(), 1, "none within the cool-down");
    site.clock.advance(Duration::from_secs(30));
    assert!(present(&site, &new.sign(&next)).await.is_ok());
    assert!(present(&site, &old.sign(&claims())).await.is_err(), "the old one is none any more");
    assert_eq!(host.requests().len(), 2);
}

// RFC 6749 §5.2 — N87
#[tokio::test]
async fn a_key_set_that_is_none_is_no_word_on_the_client() {
    let huge = format!("{{\"keys\":[\"{}\"]}}", "x".repeat(300 * 1024));
    for act in [Act::json(200, &huge), Act::json(200, "[]"), Act::json(302, "{}"), Act::Reset] {
        let told = format!("{act:?}").chars().take(60).collect::<String>();
        let (site, host) = (Site::new().await, FakeHttp::start(vec![act]).await);
        keyed(&site, &host).await;
        for _ in 0..2 {
            let error = present(&site, &Signer::new().sign(&claims())).await.unwrap_err();
            assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{told}");
        }
        assert_eq!(host.requests().len(), 1, "{told}: one try");
    }
}

// SSRF — N87, N94
#[tokio::test]
async fn where_a_client_says_that_its_keys_are_is_reached_as_its_document_is() {
    let (site, signer) = (Site::with_outbound(loopback_client()).await, Signer::new());
    let host = FakeHttp::start(vec![Act::json(200, &signer.jwks().to_string())]).await;
    let id = "https://app.example/client";
    publishes(&site, id, &format!("{}keys", host.origin)).await;
    let mut theirs = claims();
    (theirs["iss"], theirs["sub"]) = (json!(id), json!(id));
    is_an_outage(&present(&site, &signer.sign(&theirs)).await.unwrap_err());
    assert!(host.requests().is_empty());
    // What an operator names is another matter.
    keyed(&site, &host).await;
    assert!(present(&site, &signer.sign(&claims())).await.is_ok());
}

// RFC 7515 §4.1.2, RFC 8725 §3.10 — N87
#[tokio::test]
async fn an_assertion_does_not_say_where_its_key_is() {
    let site = Site::new().await;
    let (own, stranger) = (Signer::new(), Signer::new());
    let host = FakeHttp::start(vec![Act::json(200, &stranger.jwks().to_string())]).await;
    let metadata = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": own.jwks() });
    add(&site, "signer", &metadata.to_string(), None).await;
    let mut header = Header::new(Algorithm::ES256);
    header.jku = Some(format!("{}jwks", host.origin));
    header.jwk = Some(serde_json::from_value(stranger.jwks()["keys"][0].clone()).unwrap());
    let key = EncodingKey::from_ec_der(stranger.key.serialized_der());
    let forged = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    let refused = present(&site, &forged).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(host.requests().is_empty());
    let key = EncodingKey::from_ec_der(own.key.serialized_der());
    let own = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    assert!(present(&site, &own).await.is_ok(), "neither is looked at");
}

/// Real time passes: of a host that never answers, and of one that sends a byte at a time.
// CIMD §3, RFC 6749 §5.2 — N87, N97
#[tokio::test]
async fn a_document_or_a_key_set_that_comes_slowly_or_never_is_waited_for_no_longer_than_its_time()
{
    let slowly = async |act: Act| {
        let (site, host) = (Site::new().await, FakeHttp::start(vec![act]).await);
        keyed(&site, &host).await;
        let assertion = Signer::new().sign(&claims());
        let url = format!("{}client", host.origin);
        let both = async { tokio::join!(site.find(&url), present(&site, &assertion)) };
        let ended = tokio::time::timeout(LIMIT, both).await;
        let (document, keys) = ended.expect("each has its time");
        assert!(matches!(document, Err(ClientError::Document(DocumentError::Outbound(_)))));
        is_an_outage(&keys.unwrap_err());
    };
    tokio::join!(slowly(Act::Hang), slowly(Act::Trickle));
}
