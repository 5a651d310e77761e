//! What goes on beside the requests: other processes' revocations, times of last use, and whether both still work.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::connection::{Connection, values};
use crate::store::error::StoreError;
use crate::store::settings::POLL;
use crate::time::Timestamp;

use super::database::Shared;
use super::revocation;

/// Runs until it is dropped.
pub(super) async fn tend(shared: Arc<Shared>) {
    let mut reachable = true;
    let mut writes = Writes::default();
    let mut rounds: u32 = 0;
    loop {
        tokio::time::sleep(POLL).await;
        let mut read = revocation::read_on(&shared).await;
        // All there is: a revocation behind a thousand others counts no later than one behind none.
        while matches!(read, Ok(true)) {
            read = revocation::read_on(&shared).await;
        }
        if reachable && read.is_err() {
            tracing::warn!("the store does not answer: revocations by other replicas are not seen");
        }
        reachable = read.is_ok();
        rounds = rounds.wrapping_add(1);
        if reachable && rounds.is_multiple_of(4) {
            writes.look(&shared).await;
        }
        shared.answers.store(reachable && !writes.fail, Ordering::Relaxed);
        if rounds.is_multiple_of(240) {
            shared.revoked.forget(shared.clock.now());
        }
    }
}

/// On a disk that is full, or that can only be read, every read goes on as before.
#[derive(Debug, Default)]
struct Writes {
    /// Until one succeeds: a read that does says nothing about it.
    fail: bool,
    /// How many commands of requests had failed at the last look.
    failed: u64,
}

impl Writes {
    /// Writes what there is; and something that changes nothing where a write has failed since the last look, for whatever
    /// reason, and for as long as that fails.
    async fn look(&mut self, shared: &Shared) {
        let failed = shared.load.failed_writes.get();
        let suspect = write_last_used(shared).await.is_err() || self.fail || failed != self.failed;
        self.failed = failed;
        if !suspect {
            return;
        }
        let tried = shared.backend.write((), |c, ()| Box::pin(nothing(c))).await;
        if let (false, Err(error)) = (self.fail, &tried) {
            tracing::error!(error = error as &dyn std::error::Error, "store.cannot_be_written");
        }
        self.fail = tried.is_err();
    }
}

/// A row that is there in every store is written as it is: that takes room on the disk as any other write does.
async fn nothing(c: &mut Connection) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE signing_keys SET state = state \
                       WHERE kid = (SELECT MIN(kid) FROM signing_keys)";
    c.execute(SQL, values![]).await?;
    Ok(())
}

/// What cannot be written is forgotten: times of last use are a best effort.
pub(super) async fn write_last_used(shared: &Shared) -> Result<(), StoreError> {
    for part in shared.clients_used.take().chunks(500) {
        shared.backend.write(part.to_vec(), |c, uses| Box::pin(clients(c, uses))).await?;
    }
    for part in shared.api_keys_used.take().chunks(500) {
        shared.backend.write(part.to_vec(), |c, uses| Box::pin(api_keys(c, uses))).await?;
    }
    Ok(())
}

type Uses = Vec<(String, Timestamp)>;

async fn clients(c: &mut Connection, uses: &Uses) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE clients SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2";
    for (id, at) in uses {
        c.execute(SQL, values![id.as_str(), *at]).await?;
    }
    Ok(())
}

async fn api_keys(c: &mut Connection, uses: &Uses) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE api_keys SET last_used_at = $2 WHERE prefix = $1 \
                       AND (last_used_at IS NULL OR last_used_at < $2)";
    for (prefix, at) in uses {
        c.execute(SQL, values![prefix.as_str(), *at]).await?;
    }
    Ok(())
}
