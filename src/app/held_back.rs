//! Says in the audit log, each minute and at the end, how many refusals had no line there.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::Auditor;

const EVERY: Duration = Duration::from_mins(1);

/// Runs until `stop`, and once more then.
pub(super) async fn run(auditor: Auditor, stop: CancellationToken) {
    loop {
        let last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        if let Err(error) = auditor.record_held_back().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "audit.held_back_not_recorded"
            );
        }
        if last {
            return;
        }
    }
}
