//! Moves `SQLite`'s write-ahead log into its file beside the writer, so that no commit waits for that.

use std::time::Duration;

use sqlx::{Pool, Row as _, Sqlite};
use tokio::task::JoinSet;

use super::cause::fault;
use super::error::StoreError;

const EVERY: Duration = Duration::from_millis(250);
/// 64 MiB of pages of 4 KiB. From here on the log begins anew, for which writers wait a moment.
const LONG: i64 = 16 * 1024;

/// Runs until it is dropped. `pool` has one connection, for this alone; the writer's must not do it by itself.
pub(super) fn start(pool: Pool<Sqlite>) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = once(&pool).await {
                // The log grows meanwhile; a full disk is told by the commits.
                tracing::debug!(error = &error as &dyn std::error::Error, "store.no_checkpoint");
            }
        }
    });
    task
}

async fn once(pool: &Pool<Sqlite>) -> Result<(), StoreError> {
    if frames(pool, "PRAGMA wal_checkpoint(PASSIVE)").await? > LONG {
        frames(pool, "PRAGMA wal_checkpoint(RESTART)").await?;
    }
    Ok(())
}

/// How many pages the log holds; -1 where there is none.
async fn frames(pool: &Pool<Sqlite>, sql: &'static str) -> Result<i64, StoreError> {
    let row = sqlx::query(sql).fetch_one(pool).await.map_err(fault)?;
    row.try_get(1).map_err(fault)
}
