//! Waiting for what happens beside a test: it fails, and does not hang, where that does not happen.

use std::time::Duration;

use tokio::time::Instant;

use super::audit::LIMIT;

/// Asks again until there is something.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
