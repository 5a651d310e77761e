//! Why an assertion was not taken: on record for who runs the broker, and in no answer.

use serde_json::{Value, json};

use super::assertions::Trusting;
use super::support::{Answer, refused};

/// The rule on record of the last refusal.
async fn rule(trusting: &Trusting, answer: &Answer) -> String {
    assert_eq!(answer.error(), refused(400, "invalid_grant"));
    let told = answer.json();
    let uri = told["error_uri"].as_str().unwrap();
    let (_, log) = trusting.site.events().await;
    let id = uri.rsplit('/').next().unwrap();
    let line = log.lines().find(|line| line.contains(id)).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    line["payload"]["rule"].as_str().unwrap_or_default().to_owned()
}

// RFC 7523 §3.1 — N86
#[tokio::test]
async fn the_rule_that_an_assertion_breaks_is_on_record_and_in_no_answer() {
    let trusting = Trusting::new().await;
    let mut told = Vec::new();
    for (name, value, named) in [
        ("aud", json!("https://other.example"), "aud"),
        ("client_id", json!("other"), "client_id"),
        ("iss", json!("https://stranger.example"), "iss: nobody who is trusted here"),
        ("resource", json!("https://broker.example/other"), "resource: no server of ours"),
        ("cnf", json!({ "jkt": "x" }), "cnf"),
    ] {
        let assertion = trusting.id_jag(|claims| claims[name] = value);
        let answer = trusting.brings(&assertion, &[]).await;
        assert_eq!(rule(&trusting, &answer).await, named);
        told.push(answer.json()["error_description"].clone());
    }
    let strange = trusting.job(|claims| claims["sub"] = json!("repo:evil/app:ref:refs/heads/main"));
    let answer = trusting.brings_as(None, &strange, &[]).await;
    assert_eq!(rule(&trusting, &answer).await, "claims");
    told.push(answer.json()["error_description"].clone());
    assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
}
