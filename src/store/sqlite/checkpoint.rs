//! Moves `SQLite`'s write-ahead log into its file beside the writer, so that no commit waits for that.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::store::cause::unavailable;
use crate::store::connection::values;
use crate::store::error::StoreError;

use super::connection::SqliteConnection;

const EVERY: Duration = Duration::from_millis(250);
/// 64 MiB of pages of 4 KiB. From here on the log begins anew, for which writers wait a moment.
const LONG: i64 = 16 * 1024;

/// Runs until it is dropped. `connection` is for this alone; the writer's must not do it by itself.
pub(super) fn start(mut connection: SqliteConnection) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            // It writes to the disk, so on a thread that may wait for that.
            let moved = tokio::task::spawn_blocking(move || (once(&mut connection), connection));
            let Ok((moved, back)) = moved.await else { break };
            connection = back;
            if let Err(error) = moved {
                // The log grows meanwhile; a full disk is told by the commits.
                tracing::debug!(error = &error as &dyn std::error::Error, "store.no_checkpoint");
            }
        }
    });
    task
}

fn once(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    if frames(connection, "PRAGMA wal_checkpoint(PASSIVE)")? > LONG {
        frames(connection, "PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(())
}

/// How many pages the log holds; -1 where there is none.
fn frames(connection: &mut SqliteConnection, sql: &str) -> Result<i64, StoreError> {
    let rows = connection.rows(sql, values![])?;
    let log = rows.first().and_then(|row| row.get("log"));
    log.ok_or_else(|| unavailable("a checkpoint did not say what it did"))
}
