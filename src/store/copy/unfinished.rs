//! The mark of a copy that is not finished: no broker starts on one, and no other store is copied into it.

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::open_error::OpenError;

use super::error::CopyError;
use super::layout::Table;
use super::rows::count;

/// No part of the schema: it is there only while a copy is under way.
pub(super) const MARK: &str = "copy_in_progress";

/// # Errors
///
/// [`OpenError::Unfinished`]
pub(in crate::store) async fn refuse_unfinished(
    connection: &mut Connection,
) -> Result<(), OpenError> {
    let tables = names(connection).await.map_err(OpenError::Database)?;
    if tables.iter().any(|table| table == MARK) { Err(OpenError::Unfinished) } else { Ok(()) }
}

/// Whether this product's tables are there.
pub(super) async fn is_a_store(connection: &mut Connection) -> Result<bool, OpenError> {
    let tables = names(connection).await.map_err(OpenError::Database)?;
    Ok(tables.iter().any(|table| table == "schema_versions"))
}

/// Whether the database to copy to may be: nothing is there yet, or a store of ours, or a copy of this source that was cut off.
///
/// # Errors
///
/// [`CopyError::NotEmpty`], [`CopyError::OtherSource`]
pub(super) async fn check(connection: &mut Connection, source: Digest) -> Result<(), CopyError> {
    let tables = names(connection).await.map_err(CopyError::to_store)?;
    if tables.iter().any(|table| table == MARK) {
        let found = connection.row("SELECT source FROM copy_in_progress", values![]).await;
        let found = found.and_then(|row| row.map(|row| row.digest("source")).transpose());
        return match found.map_err(CopyError::to_store)? {
            Some(found) if found == source => Ok(()),
            _ => Err(CopyError::OtherSource),
        };
    }
    match tables.first() {
        None => Ok(()),
        Some(_) if tables.iter().any(|table| table == "schema_versions") => Ok(()),
        Some(table) => Err(CopyError::NotEmpty { table: table.clone() }),
    }
}

/// Marks it, unless it is marked: then it must be empty.
pub(super) async fn mark(
    connection: &mut Connection,
    tables: &[Table],
    source: Digest,
) -> Result<(), CopyError> {
    const MAKE: &str = "CREATE TABLE copy_in_progress (source BYTEA NOT NULL)";
    const MAKE_LITE: &str = "CREATE TABLE copy_in_progress (source BLOB NOT NULL)";
    const SOURCE: &str = "INSERT INTO copy_in_progress (source) VALUES ($1)";
    if refuse_unfinished(connection).await.is_err() {
        return Ok(());
    }
    for table in tables {
        if count(connection, table).await.map_err(CopyError::to_store)? > 0 {
            return Err(CopyError::NotEmpty { table: table.name.clone() });
        }
    }
    let make = if connection.is_postgres() { MAKE } else { MAKE_LITE };
    connection.execute(make, values![]).await.map_err(CopyError::to_store)?;
    let marked = connection.execute(SOURCE, values![source]).await;
    marked.map(drop).map_err(CopyError::to_store)
}

/// It is a store from now on.
pub(super) async fn unmark(connection: &mut Connection) -> Result<(), CopyError> {
    let done = connection.execute("DROP TABLE copy_in_progress", values![]).await;
    done.map(drop).map_err(CopyError::to_store)
}

/// Of all tables that are there, whoever made them.
pub(super) async fn names(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    const LITE: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' \
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    const GRES: &str = "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables \
        WHERE schemaname = current_schema() ORDER BY 1";
    let sql = if connection.is_postgres() { GRES } else { LITE };
    connection.rows(sql, values![]).await?.iter().map(|row| row.text("name")).collect()
}
