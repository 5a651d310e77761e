//! A PostgreSQL store as it was at one moment, in a `SQLite` file: what a backup of it is.

use std::path::Path;

use crate::secret_text::SecretText;
use crate::store::connection::{Connection, values};
use crate::store::maintain::{MaintainError, settle};
use crate::store::migrate::{migrate_to, version};
use crate::store::open_error::OpenError;
use crate::store::postgres::copying_pool;
use crate::store::settings::PATIENCE;
use crate::store::sqlite::{Access, SqliteConnection};

use super::layout::layout;
use super::places::begin;
use super::pour::{Spilt, pour};
use super::unfinished::{names, refuse_unfinished};

/// Fills the empty file `to`. Brokers go on meanwhile: nothing is locked, and nothing of what they write is in it.
///
/// # Errors
///
/// [`MaintainError`]: the file is of no use then.
pub(in crate::store) async fn snapshot(url: &SecretText, to: &Path) -> Result<(), MaintainError> {
    let pool = copying_pool(url)?;
    let mut source = begin(&pool).await.map_err(OpenError::Database)?;
    let schema = one_moment(&mut source).await?;
    let tables = layout(schema).await?;
    let wrong = |source| MaintainError::Backup { path: to.to_owned(), source };
    let opened = SqliteConnection::open(to, Access::Write, PATIENCE).map_err(wrong)?;
    let mut file = Connection::Sqlite(opened);
    file.execute("BEGIN IMMEDIATE", values![]).await.map_err(wrong)?;
    migrate_to(&mut file, schema).await?;
    pour(&mut source, &mut file, &tables).await.map_err(|spilt| match spilt {
        Spilt::From(error) => MaintainError::Store(error),
        Spilt::To(error) => wrong(error),
        Spilt::Differs(table) => MaintainError::Differs { table },
    })?;
    file.execute("COMMIT", values![]).await.map_err(wrong)?;
    drop(file);
    settle(to).await
}

/// From now on the connection sees what is there now, whatever others write. Which schema that has.
async fn one_moment(source: &mut Connection) -> Result<i64, MaintainError> {
    const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    source.execute(SNAPSHOT, values![]).await?;
    let found = names(source).await?;
    if !found.iter().any(|name| name == "schema_versions") {
        return Err(MaintainError::NoStore);
    }
    refuse_unfinished(source).await?;
    Ok(version(source).await?)
}
