//! Clients that registered themselves and were never seen again.

use std::time::Duration;

use crate::authorization_server::server::AuthorizationServer;
use crate::store::StoreError;

const IDLE: Duration = Duration::from_hours(90 * 24);
const BATCH: u32 = 500;

/// Deletes registrations that nobody used for 90 days and that have no live grant. How many; one bounded batch a call.
///
/// Strands nobody: a public client is recognised by its id, only its name is lost.
///
/// # Errors
///
/// [`StoreError`]
pub(in crate::authorization_server) async fn reap(
    server: &AuthorizationServer,
) -> Result<u64, StoreError> {
    let days = i64::try_from(IDLE.as_secs()).unwrap_or(i64::MAX);
    let since = server.clock.now().plus_seconds(days.saturating_neg());
    server.store.reap_clients(since, BATCH).await
}
