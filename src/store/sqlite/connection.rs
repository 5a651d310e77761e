//! One connection to a `SQLite` file. Its calls do not wait for others: they work, on the thread that makes them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{FromSql, Value as Cell};
use rusqlite::{CachedStatement, OpenFlags};

use crate::store::connection::Value;
use crate::store::error::StoreError;

use super::fault::fault;

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 256;

/// What a connection is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Access {
    Read,
    Write,
}

/// A connection; one thread at a time.
pub(in crate::store) struct SqliteConnection(rusqlite::Connection);

impl SqliteConnection {
    /// The file must be there. `patience`: how long it waits for a lock of somebody else's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]: the file is no database. The others as the system says.
    pub(in crate::store) fn open(
        path: &Path,
        access: Access,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        Self::prepared(path, access, patience).map_err(fault)
    }

    /// An empty database that is kept nowhere.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]
    pub(in crate::store) fn in_memory() -> Result<Self, StoreError> {
        rusqlite::Connection::open_in_memory().map(Self).map_err(fault)
    }

    fn prepared(path: &Path, access: Access, patience: Duration) -> rusqlite::Result<Self> {
        let flags = match access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let connection =
            rusqlite::Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(patience)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A plan is for a statement and not for the values in it: else each use of one may mean to prepare it again.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "cache_size", -8192)?;
        if access == Access::Write {
            connection.pragma_update(None, "journal_mode", "wal")?;
        }
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(Self(connection))
    }

    /// All rows.
    pub(in crate::store) fn rows(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(fault)?;
        bind(&mut statement, values).map_err(fault)?;
        let names = statement.column_names();
        let columns: Arc<[Box<str>]> = names.into_iter().map(Box::from).collect();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(fault)? {
            let cells = (0..columns.len()).map(|at| row.get(at)).collect::<Result<Vec<_>, _>>();
            found.push(SqliteRow { columns: Arc::clone(&columns), cells: cells.map_err(fault)? });
        }
        Ok(found)
    }

    /// How many rows were changed.
    pub(in crate::store) fn execute(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(fault)?;
        bind(&mut statement, values).map_err(fault)?;
        let mut rows = statement.raw_query();
        while rows.next().map_err(fault)?.is_some() {}
        drop(rows);
        drop(statement);
        Ok(self.0.changes())
    }

    /// Several statements without parameters.
    pub(in crate::store) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.0.execute_batch(sql).map_err(fault)
    }
}

/// `$1` is a name for `SQLite`, which numbers names in the order in which they come.
fn bind(statement: &mut CachedStatement<'_>, values: Vec<Value>) -> rusqlite::Result<()> {
    let mut values: Vec<_> = values.into_iter().map(Some).collect();
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place).and_then(|name| name.strip_prefix('$'));
        let number = name.and_then(|name| name.parse::<usize>().ok());
        let value = number.and_then(|number| values.get_mut(number.checked_sub(1)?)?.take());
        let value = value.ok_or(rusqlite::Error::InvalidParameterCount(place, values.len()))?;
        match value {
            Value::Int(value) => statement.raw_bind_parameter(place, value)?,
            Value::Text(value) => statement.raw_bind_parameter(place, value)?,
            Value::Blob(value) => statement.raw_bind_parameter(place, value)?,
        }
    }
    Ok(())
}

/// One row of an answer.
pub(in crate::store) struct SqliteRow {
    columns: Arc<[Box<str>]>,
    cells: Vec<Cell>,
}

impl SqliteRow {
    /// `None`: there is no such column, or it holds something else.
    pub(in crate::store) fn get<T: FromSql>(&self, column: &str) -> Option<T> {
        let place = self.columns.iter().position(|name| **name == *column)?;
        T::column_result(self.cells.get(place)?.into()).ok()
    }

    /// All of it, in the order of its columns.
    pub(in crate::store) fn into_cells(self) -> Vec<Cell> {
        self.cells
    }
}
