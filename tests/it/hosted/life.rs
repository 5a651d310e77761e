//! When a child starts and ends.

use super::{gone, said, start};

#[tokio::test]
async fn a_child_ends_with_the_broker_and_all_that_it_started() {
    for mode in ["", "stubborn"] {
        let product = start(&[("MODE", if mode.is_empty() { "plain" } else { mode })], "").await;
        let (pid, forked) = (said(&product, "get_pid").await, said(&product, "get_fork").await);
        // In a group and a session of its own.
        let stray = said(&product, "get_stray").await;
        assert!(super::is_running(&stray));
        product.into_directory().await;
        assert!(!super::is_running(&pid), "{mode}: the broker waited for it");
        gone(&forked).await;
        gone(&stray).await;
    }
}

#[tokio::test]
async fn a_child_is_one_for_all_and_stays() {
    let product = start(&[], "").await;
    let (one, other) = tokio::join!(said(&product, "get_pid"), said(&product, "get_pid"));
    assert_eq!(one, other);
    assert_eq!(said(&product, "get_pid").await, one);
}
