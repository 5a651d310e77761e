//! Proofs at the edge of their minute (RFC 9449 §11.1), to the second.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use mcp_auth_broker::resource_server::{MemoryReplay, ProofChecker, ProofError, ProofRequest};
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::json;

use super::dpop::ClientKey;

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
