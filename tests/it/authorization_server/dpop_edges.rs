//! Proofs at the edges: of their minute (RFC 9449 §11.1), to the second, and of their URL, to the last slash.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use mcp_auth_broker::resource_server::{MemoryReplay, ProofChecker, ProofError, ProofRequest};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::json;

use crate::support::product::Product;

use super::dpop::{ALLOWED, Client, ClientKey, call};
use super::flow::text;

const NOW: i64 = 1_800_000_000;

// RFC 9449 §4.3, item 11 — N88
#[tokio::test]
async fn a_proof_counts_a_minute_before_and_after_it_was_made_and_no_second_longer() {
    let url = "https://broker.example/mcp";
    for (off, counts) in [(0, true), (60, true), (-60, true), (61, false), (-61, false)] {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let checker = ProofChecker::new(Arc::new(MemoryReplay::new(clock)), None);
        let proof = ClientKey::new().proof("POST", url, &json!({ "iat": NOW + off }));
        let mut headers = HeaderMap::new();
        headers.insert("dpop", HeaderValue::try_from(proof).unwrap());
        let request = ProofRequest {
            method: "POST",
            urls: &[url.parse().unwrap()],
            access_token: None,
            key: None,
            now: Timestamp::from_unix_seconds(NOW),
        };
        let first = checker.check(&headers, request).await;
        assert_eq!(first.is_ok(), counts, "{off}: {first:?}");
        // It is remembered for as long as it would count.
        let again = checker.check(&headers, request).await;
        assert_eq!(again.unwrap_err(), ProofError::Invalid, "{off}");
    }
}

/// A client signs the URL that its person gave it.
// RFC 9449 §4.3 — N88
#[tokio::test]
async fn a_proof_is_for_the_url_that_was_asked_to_its_last_slash() {
    let product = Product::start(ALLOWED).await;
    let client = Client::with_code(&product, false).await;
    let tokens = client.tokens(&product).await;
    let token = text(&tokens, "access_token");
    for (path, signed, status) in
        [("/mcp/", "/mcp/", 200), ("/mcp/", "/mcp", 401), ("/mcp", "/mcp/", 401)]
    {
        let proof = client.key.for_call(&product.url(signed), token, &json!({}));
        let answer = product.send(call("DPoP", token, Some(&proof)).path(path)).await;
        assert_eq!(answer.status, status, "{path} {signed}: {answer:?}");
    }
}
