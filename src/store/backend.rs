//! Reads and commands, on either database.

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, Pool, Postgres};
use tokio::task::JoinSet;

use super::cause::{fault, is_conflict, is_of_older_schema, unavailable};
use super::connection::Connection;
use super::error::StoreError;
use super::settings::PATIENCE;
use super::sqlite::{Readers, Writer};

/// A read or a command: no captures, so that it can be run again. All it needs is in `A`.
pub(super) type Work<A, T> =
    for<'c> fn(&'c mut Connection, &'c A) -> BoxFuture<'c, Result<T, StoreError>>;

pub(super) enum Backend {
    Sqlite { readers: Readers, writer: Writer, _checkpoints: JoinSet<()> },
    Postgres(Pool<Postgres>),
}

impl Backend {
    /// Which database it is, by OpenTelemetry's names.
    pub(super) const fn system(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }

    /// Runs `work` without a transaction. It must change nothing.
    pub(super) async fn read<A: Sync, T>(
        &self,
        arguments: &A,
        work: Work<A, T>,
    ) -> Result<T, StoreError> {
        let reading = async {
            match self {
                Self::Sqlite { readers, .. } => {
                    let mut connection = readers.take()?;
                    let found = work(&mut connection, arguments).await?;
                    readers.give_back(connection);
                    Ok(found)
                }
                Self::Postgres(pool) => read_postgres(pool, arguments, work).await,
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| Err(late()))
    }

    /// Runs `work` in a transaction; on disk when this returns. It may be run more than once, and is committed once.
    ///
    /// After [`StoreError::Unavailable`] it is not known whether it happened.
    pub(super) async fn write<A, T>(&self, arguments: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let writing = async {
            match self {
                Self::Sqlite { writer, .. } => writer.run(arguments, work).await,
                Self::Postgres(pool) => write_postgres(pool, &arguments, work).await,
            }
        };
        tokio::time::timeout(PATIENCE, writing).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Once more where a statement was prepared before the schema changed.
async fn read_postgres<A: Sync, T>(
    pool: &Pool<Postgres>,
    arguments: &A,
    work: Work<A, T>,
) -> Result<T, StoreError> {
    let mut connection = Connection::Postgres(pool.acquire().await.map_err(fault)?);
    let found = work(&mut connection, arguments).await;
    match (&found, &mut connection) {
        (Err(error), Connection::Postgres(stale)) if is_of_older_schema(error) => {
            stale.clear_cached_statements().await.map_err(fault)?;
            work(&mut connection, arguments).await
        }
        _ => found,
    }
}

/// Tries again where PostgreSQL broke a deadlock, or a statement was prepared before the schema changed; nothing of a failed
/// attempt stays.
async fn write_postgres<A: Sync, T>(
    pool: &Pool<Postgres>,
    arguments: &A,
    work: Work<A, T>,
) -> Result<T, StoreError> {
    let (mut attempts, mut stale) = (0, false);
    loop {
        let mut transaction = pool.begin().await.map_err(fault)?;
        if stale {
            // It may be another connection than the last one: those have statements of before, too.
            transaction.clear_cached_statements().await.map_err(fault)?;
        }
        let mut connection = Connection::Transaction(transaction);
        let done = work(&mut connection, arguments).await;
        let Connection::Transaction(transaction) = connection else { return done };
        let done = match done {
            Ok(value) => transaction.commit().await.map_err(fault).map(|()| value),
            Err(error) => Err(error),
        };
        attempts += 1;
        match done {
            Err(error) if is_of_older_schema(&error) && attempts < 5 => stale = true,
            Err(error) if is_conflict(&error) && attempts < 5 => {}
            done => return done,
        }
    }
}

fn late() -> StoreError {
    unavailable("the database did not answer in time")
}
