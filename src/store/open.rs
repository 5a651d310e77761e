//! Opens a store.

use std::sync::Arc;

use crate::time::Clock;

use super::Database;
use super::open_error::OpenError;
use super::postgres;
use super::settings::StoreSettings;
use super::sql::SqlDatabase;
use super::sqlite;

/// Opens the store, makes it where it is missing, brings its schema up to date and loads what is revoked.
///
/// Everything it starts ends when the last handle is dropped. Must be called within a Tokio runtime.
///
/// # Errors
///
/// [`OpenError`]: the file or the database cannot be used, or a newer version wrote it. Never holds the URL.
pub async fn open(
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Database>, OpenError> {
    let backend = match settings {
        StoreSettings::Sqlite(path) => sqlite::open(path).await?,
        StoreSettings::Postgres(url) => postgres::open(url).await?,
    };
    Ok(Arc::new(SqlDatabase::start(backend, clock).await.map_err(OpenError::Database)?))
}
