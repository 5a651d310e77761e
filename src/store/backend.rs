//! Reads and commands, on either database.

use futures_util::future::BoxFuture;
use sqlx::{Pool, Postgres};
use tokio::task::JoinSet;

use super::cause::{fault, is_conflict, unavailable};
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
                Self::Postgres(pool) => {
                    let connection = pool.acquire().await.map_err(fault)?;
                    work(&mut Connection::Postgres(connection), arguments).await
                }
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
                Self::Postgres(pool) => on_postgres(pool, &arguments, work).await,
            }
        };
        tokio::time::timeout(PATIENCE, writing).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Tries again where PostgreSQL broke a deadlock; nothing of a failed attempt stays.
async fn on_postgres<A: Sync, T>(
    pool: &Pool<Postgres>,
    arguments: &A,
    work: Work<A, T>,
) -> Result<T, StoreError> {
    let mut attempts = 0;
    loop {
        let mut connection = Connection::Transaction(pool.begin().await.map_err(fault)?);
        let done = work(&mut connection, arguments).await;
        let Connection::Transaction(transaction) = connection else { return done };
        let done = match done {
            Ok(value) => transaction.commit().await.map_err(fault).map(|()| value),
            Err(error) => Err(error),
        };
        attempts += 1;
        match done {
            Err(error) if is_conflict(&error) && attempts < 5 => {}
            done => return done,
        }
    }
}

fn late() -> StoreError {
    unavailable("the database did not answer in time")
}
