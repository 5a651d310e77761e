//! A look at a store that leaves it as it is.

use std::sync::Arc;

use crate::time::Clock;

use super::Database;
use super::backend::Backend;
use super::cause::fault;
use super::connection::{Connection, values};
use super::copy::refuse_unfinished;
use super::migrate::{KNOWN, version};
use super::open_error::OpenError;
use super::postgres;
use super::settings::StoreSettings;
use super::sql::SqlDatabase;
use super::sqlite;

/// What is there.
#[derive(Debug)]
pub enum Found {
    /// Nothing yet: a start makes it.
    Nothing,
    /// An older schema, which a start brings up to date, forwards only. This version cannot read it before.
    Older { found: i64, known: i64 },
    /// A store to read. Whatever would change it fails.
    Store(Arc<dyn Database>),
}

/// Opens a store so that nothing can be made, migrated or changed, and loads what is revoked.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
///
/// [`OpenError`], as for [`open`](super::open()).
pub async fn look(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Found, OpenError> {
    let backend = match settings {
        StoreSettings::Sqlite(path) => {
            if !sqlite::is_there(path)? {
                return Ok(Found::Nothing);
            }
            sqlite::reading(path)?
        }
        StoreSettings::Postgres(url) => Backend::Postgres(postgres::reading_pool(url)?),
    };
    let schema = schema(&backend).await.map_err(|error| match (settings, error) {
        (StoreSettings::Sqlite(path), OpenError::Database(error)) => sqlite::at_open(path, error),
        (_, error) => error,
    })?;
    match schema {
        None => Ok(Found::Nothing),
        Some(found) if found < KNOWN => Ok(Found::Older { found, known: KNOWN }),
        Some(_) => {
            let database = SqlDatabase::start(backend, clock).await;
            Ok(Found::Store(Arc::new(database.map_err(OpenError::Database)?)))
        }
    }
}

/// `None` for a database in which this product never was.
async fn schema(backend: &Backend) -> Result<Option<i64>, OpenError> {
    const LITE: &str = "SELECT COUNT(*) AS n FROM sqlite_master WHERE name = 'schema_versions'";
    const GRES: &str = "SELECT COUNT(to_regclass('schema_versions')) AS n";
    let lost = |error| OpenError::Database(fault(error));
    let (mut connection, sql) = match backend {
        Backend::Sqlite { readers, .. } => (readers.take().map_err(OpenError::Database)?, LITE),
        Backend::Postgres(pool) => {
            (Connection::Postgres(pool.acquire().await.map_err(lost)?), GRES)
        }
    };
    let row = connection.row(sql, values![]).await.map_err(OpenError::Database)?;
    let tables = row.map(|row| row.int("n")).transpose().map_err(OpenError::Database)?;
    refuse_unfinished(&mut connection).await?;
    if tables.unwrap_or(0) == 0 {
        return Ok(None);
    }
    version(&mut connection).await.map(Some)
}
