//! Deletes from the store what is past its end, while a broker runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::authorization_server::AuthorizationServer;
use crate::store::{Database, StoreError};
use crate::time::Clock;

/// How long after one round of cleaning up the next one begins.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// Cleans up in the store until `stop`. A store that is away is tried again the next time.
pub(super) async fn clean_up(server: AuthorizationServer, stop: CancellationToken) {
    while due(&stop).await {
        // Whatever a round has not come to is left to the next process.
        let Some(cleaned) = stop.run_until_cancelled(server.clean_up()).await else { return };
        report(cleaned);
    }
}

/// The same for a broker that issues no tokens: what it keeps are approvals and rates.
pub(super) async fn clean_store(
    (store, clock): (Arc<dyn Database>, Arc<dyn Clock>),
    stop: CancellationToken,
) {
    while due(&stop).await {
        let round = store.clean_up(clock.now());
        let Some(cleaned) = stop.run_until_cancelled(round).await else { return };
        report(cleaned);
    }
}

/// Waits until it is time; `false` when all is over.
async fn due(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(CLEAN_UP) => true,
    }
}

fn report(cleaned: Result<u64, StoreError>) {
    match cleaned {
        Ok(rows) => tracing::debug!(rows, "store.cleaned_up"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "store.clean_up_failed");
        }
    }
}
