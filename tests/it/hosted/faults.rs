//! Children that hang, crash, flood, babble and fork.

use super::{gone, is_running, said, start, until_not};

/// One whose calls fail and which is still there.
#[tokio::test]
async fn a_call_that_is_not_answered_times_out_and_the_child_goes_on() {
    let product = start(&[], "timeout_ms = 2000").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_nothing").await, "provider.timeout");
    assert_eq!(said(&product, "get_pid").await, pid);
}

#[tokio::test]
async fn a_child_that_hangs_is_ended_and_started_anew() {
    let product = start(&[], "timeout_ms = 2000\nstart_timeout_ms = 10000").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_stuck").await, "provider.timeout");
    gone(&pid).await;
    let other = until_not(&product, "get_pid", "provider.unavailable").await;
    assert_ne!(other, pid);
}

#[tokio::test]
async fn a_child_that_crashes_rests_and_is_started_anew() {
    let product = start(&[], "").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_crash").await, "provider.unavailable");
    assert_eq!(said(&product, "get_pid").await, "provider.unavailable", "it rests");
    let ready = product.get("/ready").await;
    assert_eq!(ready.status, 200, "others are served");
    let degraded = &ready.json()["degraded"][0];
    assert_eq!(degraded["name"], "upstream weather");
    let reason = degraded["reason"].as_str().unwrap();
    assert!(reason.starts_with("provider.unavailable: the server ended"), "{reason}");
    assert_ne!(until_not(&product, "get_pid", "provider.unavailable").await, pid);
    assert_eq!(product.get("/ready").await.json()["degraded"], serde_json::json!([]));
}

#[tokio::test]
async fn what_cannot_be_started_is_unavailable_and_what_says_nothing_is_too_slow() {
    let dead = start(&[("MODE", "dead")], "").await;
    assert_eq!(said(&dead, "get_pid").await, "provider.unavailable");
    let mute = start(&[("MODE", "mute")], "start_timeout_ms = 300").await;
    assert_eq!(said(&mute, "get_pid").await, "provider.timeout");
    let secret = start(&[("KEY", "file:/does/not/exist")], "").await;
    assert_eq!(said(&secret, "get_pid").await, "secret.unavailable");
}

#[tokio::test]
async fn a_banner_is_passed_over_and_babble_ends_the_child() {
    let product = start(&[], "").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_banner").await, "ok");
    assert_eq!(said(&product, "get_garbage").await, "provider.bad_response");
    gone(&pid).await;
}

#[tokio::test]
async fn a_line_that_is_too_long_fails_its_call_and_one_without_an_end_ends_the_child() {
    let product = start(&[], "max_response_bytes = 65536").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_huge").await, "provider.bad_response");
    assert_eq!(said(&product, "get_pid").await, pid);
    assert_eq!(said(&product, "get_endless").await, "provider.bad_response");
    gone(&pid).await;
}

#[tokio::test]
async fn a_flood_of_complaints_keeps_nobody_waiting() {
    let product = start(&[], "").await;
    assert_eq!(said(&product, "get_flood").await, "ok");
}

#[tokio::test]
async fn what_a_child_started_ends_with_it() {
    let product = start(&[], "").await;
    let forked = said(&product, "get_fork").await;
    assert!(is_running(&forked));
    said(&product, "get_crash").await;
    gone(&forked).await;
}

#[tokio::test]
async fn calls_are_refused_when_the_child_answers_as_many_as_it_may() {
    let product = start(&[], "max_calls = 1\ntimeout_ms = 2000").await;
    said(&product, "get_pid").await;
    let (one, other) = tokio::join!(said(&product, "get_nothing"), said(&product, "get_nothing"));
    let mut codes = [one, other];
    codes.sort();
    assert_eq!(codes, ["provider.rate_limited", "provider.timeout"]);
}

#[tokio::test]
async fn a_line_that_is_too_long_fails_nobody_elses_call() {
    let product = start(&[], "max_response_bytes = 65536\ntimeout_ms = 2000").await;
    said(&product, "get_pid").await;
    let both = tokio::join!(said(&product, "get_nothing"), said(&product, "get_large"));
    assert_eq!(both, ("provider.timeout".to_owned(), "provider.bad_response".to_owned()));
}
