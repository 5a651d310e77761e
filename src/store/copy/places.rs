//! The two ends of a copy, each held so that nobody else changes it meanwhile.

use std::path::Path;

use sqlx::{AssertSqlSafe, Pool, Postgres};

use crate::store::cause::fault;
use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::maintain::settle;
use crate::store::migrate::{KNOWN, migrate, version};
use crate::store::open_error::OpenError;
use crate::store::postgres::{SERVING, copying_pool};
use crate::store::settings::{PATIENCE, StoreSettings};
use crate::store::sqlite::{Access, SqliteConnection, at_open, prepare};

use super::error::CopyError;
use super::layout::Table;
use super::unfinished::{check, is_a_store, mark, refuse_unfinished};

/// Opens the store to copy from for reading, in one transaction, which nobody else writes in as long as it lasts.
///
/// # Errors
///
/// [`CopyError::InUse`] and others
pub(super) async fn source(
    settings: &StoreSettings,
    tables: &[Table],
) -> Result<Connection, CopyError> {
    let mut connection = match settings {
        StoreSettings::Sqlite(path) => {
            if !path.exists() {
                return Err(CopyError::NoSource { path: path.clone() });
            }
            if std::fs::OpenOptions::new().write(true).open(path).is_err() {
                return Err(CopyError::ReadOnly { path: path.clone() });
            }
            // Not a write-ahead log any more: as long as one reads such a file, nobody writes.
            settle(path).await?;
            let reader = SqliteConnection::open(path, Access::Read, PATIENCE);
            let reader = reader.map_err(|error| CopyError::From(at_open(path, error)))?;
            let mut reader = Connection::Sqlite(reader);
            let begun = reader.execute("BEGIN", values![]).await;
            begun.map_err(|error| CopyError::From(at_open(path, error)))?;
            reader
        }
        StoreSettings::Postgres(url) => {
            let pool = copying_pool(url).map_err(CopyError::From)?;
            begin(&pool).await.map_err(CopyError::from_store)?
        }
    };
    refuse_unfinished(&mut connection).await.map_err(|error| from_settings(settings, error))?;
    if !is_a_store(&mut connection).await.map_err(|error| from_settings(settings, error))? {
        return Err(CopyError::NotAStore);
    }
    let found = version(&mut connection).await.map_err(|error| from_settings(settings, error))?;
    if found != KNOWN {
        return Err(CopyError::Old { found, known: KNOWN });
    }
    hold(&mut connection, tables).await?;
    Ok(connection)
}

/// Whether both are the same place. Two URLs of one database that differ are not known for one: then the source is in use.
pub(super) fn are_one(from: &StoreSettings, to: &StoreSettings) -> bool {
    match (from, to) {
        (StoreSettings::Sqlite(from), StoreSettings::Sqlite(to)) => {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            real(from) == real(to)
        }
        (StoreSettings::Postgres(from), StoreSettings::Postgres(to)) => {
            from.expose() == to.expose()
        }
        _ => false,
    }
}

fn from_settings(settings: &StoreSettings, error: OpenError) -> CopyError {
    match (settings, error) {
        (StoreSettings::Sqlite(path), OpenError::Database(error)) => {
            CopyError::From(at_open(path, error))
        }
        (_, error) => CopyError::From(error),
    }
}

/// No broker is connected, and nobody writes until this transaction ends.
async fn hold(connection: &mut Connection, tables: &[Table]) -> Result<(), CopyError> {
    const OTHERS: &str = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = $1";
    let Connection::Transaction(transaction) = &mut *connection else {
        // Whoever opened it since it was settled, and would write, has made it a write-ahead log again.
        let mode = connection.row("PRAGMA journal_mode", values![]).await;
        let mode = mode.and_then(|row| row.map(|row| row.text("journal_mode")).transpose());
        let alone = mode.map_err(CopyError::from_store)?.as_deref() == Some("delete");
        return if alone { Ok(()) } else { Err(CopyError::InUse) };
    };
    let names: Vec<_> = tables.iter().map(|table| format!("\"{}\"", table.name)).collect();
    let lock = format!("LOCK TABLE {} IN SHARE MODE", names.join(", "));
    let locked = sqlx::query::<Postgres>(AssertSqlSafe(lock)).execute(&mut **transaction);
    if let Err(error) = locked.await {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let in_use = code.as_deref() == Some(LOCK_NOT_AVAILABLE);
        return Err(if in_use { CopyError::InUse } else { CopyError::from_store(fault(error)) });
    }
    let others = connection.row(OTHERS, values![SERVING]).await;
    let others = others.and_then(|row| row.map(|row| row.int("n")).transpose());
    match others.map_err(CopyError::from_store)? {
        Some(0) => Ok(()),
        _ => Err(CopyError::InUse),
    }
}

pub(super) async fn begin(pool: &Pool<Postgres>) -> Result<Connection, StoreError> {
    Ok(Connection::Transaction(pool.begin().await.map_err(fault)?))
}

/// The store to copy to.
pub(super) enum Target {
    Sqlite(Option<SqliteConnection>),
    Postgres(Pool<Postgres>),
}

impl Target {
    /// # Errors
    ///
    /// [`CopyError::To`]
    pub(super) fn open(settings: &StoreSettings) -> Result<Self, CopyError> {
        match settings {
            StoreSettings::Sqlite(path) => {
                prepare(path).map_err(CopyError::To)?;
                let opened = SqliteConnection::open(path, Access::Write, PATIENCE);
                let opened = opened.map_err(|error| CopyError::To(at_open(path, error)))?;
                Ok(Self::Sqlite(Some(opened)))
            }
            StoreSettings::Postgres(url) => {
                copying_pool(url).map(Self::Postgres).map_err(CopyError::To)
            }
        }
    }

    /// A transaction, rolled back unless it is [ended](Self::commit).
    pub(super) async fn begin(&mut self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let connection =
                    connection.take().ok_or(StoreError::Corrupt("a transaction is under way"))?;
                let mut connection = Connection::Sqlite(connection);
                connection.execute("BEGIN IMMEDIATE", values![]).await?;
                Ok(connection)
            }
            Self::Postgres(pool) => begin(pool).await,
        }
    }

    pub(super) async fn commit(&mut self, connection: Connection) -> Result<(), StoreError> {
        match (self, connection) {
            (Self::Sqlite(place), mut connection @ Connection::Sqlite(_)) => {
                connection.execute("COMMIT", values![]).await?;
                if let Connection::Sqlite(connection) = connection {
                    *place = Some(connection);
                }
                Ok(())
            }
            (_, Connection::Transaction(transaction)) => transaction.commit().await.map_err(fault),
            _ => Err(StoreError::Corrupt("the other database's transaction")),
        }
    }

    /// Makes the schema and the mark of a copy under way, or finds them.
    ///
    /// # Errors
    ///
    /// [`CopyError::NotEmpty`] and others
    pub(super) async fn prepare(
        &mut self,
        tables: &[Table],
        source: Digest,
    ) -> Result<(), CopyError> {
        let mut connection = self.begin().await.map_err(CopyError::to_store)?;
        if connection.is_postgres() {
            let turn = connection.execute("SELECT pg_advisory_xact_lock(5570417001)", values![]);
            turn.await.map_err(CopyError::to_store)?;
        }
        check(&mut connection, source).await?;
        migrate(&mut connection).await.map_err(CopyError::To)?;
        mark(&mut connection, tables, source).await?;
        self.commit(connection).await.map_err(CopyError::to_store)
    }
}
