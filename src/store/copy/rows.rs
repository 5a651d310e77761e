//! Rows of any table, read in the order of their keys and written in batches, on either database.
//!
//! The statements are made of the names in our own schema and of nothing else.

use sqlx::{AssertSqlSafe, Postgres};

use crate::store::cause::fault;
use crate::store::connection::{Connection, Value, values};
use crate::store::error::StoreError;

use super::layout::{Column, Kind, Table};

/// Of one batch at most.
const ROWS: i64 = 5000;
/// Of one batch, roughly, whatever the size of its rows.
const BYTES: i64 = 4 * 1024 * 1024;
/// What a value costs beside its content.
const OVERHEAD: i64 = 32;

pub(super) type Cells = Vec<Value>;

/// Reads a table from a key on. One at a time on each connection.
pub(super) struct Reader<'t> {
    table: &'t Table,
    after: Option<Cells>,
    batch: i64,
    begun: bool,
    ended: bool,
}

impl<'t> Reader<'t> {
    /// On PostgreSQL `connection` must be in a transaction.
    pub(super) async fn after(
        connection: &mut Connection,
        table: &'t Table,
        after: Option<Cells>,
    ) -> Result<Self, StoreError> {
        let largest = largest(connection, table).await?;
        let batch = BYTES.checked_div(largest).unwrap_or(ROWS).clamp(1, ROWS);
        Ok(Self { table, after, batch, begun: false, ended: false })
    }

    /// The next rows; none at the end.
    pub(super) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Vec<Cells>, StoreError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let rows = if connection.is_postgres() {
            self.fetch(connection).await?
        } else {
            let sql = format!("{} LIMIT {}", self.select(false), self.batch);
            rows(connection, sql, self.after.clone().unwrap_or_default(), self.table).await?
        };
        self.ended = i64::try_from(rows.len()).unwrap_or(i64::MAX) < self.batch;
        if let Some(last) = rows.last() {
            self.after = Some(self.table.key_of(last));
        }
        if self.ended && self.begun {
            execute(connection, "CLOSE copied".to_owned(), values![]).await?;
        }
        Ok(rows)
    }

    /// The server sorts once and hands the rows out in portions.
    async fn fetch(&mut self, connection: &mut Connection) -> Result<Vec<Cells>, StoreError> {
        if !self.begun {
            let sql = format!("DECLARE copied NO SCROLL CURSOR FOR {}", self.select(true));
            execute(connection, sql, self.after.clone().unwrap_or_default()).await?;
            self.begun = true;
        }
        let sql = format!("FETCH FORWARD {} FROM copied", self.batch);
        rows(connection, sql, values![], self.table).await
    }

    fn select(&self, postgres: bool) -> String {
        let Table { name, .. } = self.table;
        let key = self.table.ordered_key(postgres, "");
        let from = match &self.after {
            None => String::new(),
            Some(after) => {
                let places = (1..=after.len()).map(|place| format!("${place}"));
                format!(" WHERE ({key}) > ({})", places.collect::<Vec<_>>().join(", "))
            }
        };
        format!("SELECT {} FROM \"{name}\"{from} ORDER BY {key}", self.table.names())
    }
}

/// How many bytes the largest row takes in memory.
async fn largest(connection: &mut Connection, table: &Table) -> Result<i64, StoreError> {
    let length = |column: &Column| match column.kind {
        Kind::Int => None,
        Kind::Text | Kind::Blob => Some(format!("COALESCE(octet_length(\"{}\"), 0)", column.name)),
    };
    let lengths: Vec<_> = table.columns.iter().filter_map(length).collect();
    let own = i64::try_from(table.columns.len()).unwrap_or(i64::MAX).saturating_mul(OVERHEAD);
    let sum = if lengths.is_empty() { "0".to_owned() } else { lengths.join(" + ") };
    let sql =
        format!("SELECT CAST(COALESCE(MAX({sum}), 0) AS BIGINT) AS n FROM \"{}\"", table.name);
    Ok(number(connection, sql).await?.saturating_add(own).max(1))
}

pub(super) async fn count(connection: &mut Connection, table: &Table) -> Result<u64, StoreError> {
    let n = number(connection, format!("SELECT COUNT(*) AS n FROM \"{}\"", table.name)).await?;
    Ok(u64::try_from(n).unwrap_or(0))
}

/// The greatest key, in the order of its bytes: `None` of an empty table.
pub(super) async fn last_key(
    connection: &mut Connection,
    table: &Table,
) -> Result<Option<Cells>, StoreError> {
    let order = table.ordered_key(connection.is_postgres(), " DESC");
    let sql = format!("SELECT {} FROM \"{}\" ORDER BY {order} LIMIT 1", table.names(), table.name);
    let rows = rows(connection, sql, values![], table).await?;
    Ok(rows.first().map(|row| table.key_of(row)))
}

/// Writes rows of new keys. The caller's transaction ends it.
pub(super) async fn insert(
    connection: &mut Connection,
    table: &Table,
    rows: Vec<Cells>,
) -> Result<(), StoreError> {
    let (name, names) = (&table.name, table.names());
    if let Connection::Sqlite(connection) = connection {
        let places = (1..=table.columns.len()).map(|place| format!("${place}"));
        let places = places.collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO \"{name}\" ({names}) VALUES ({places})");
        return rows.into_iter().try_for_each(|row| connection.execute(&sql, row).map(drop));
    }
    let given = if table.is_numbered { " OVERRIDING SYSTEM VALUE" } else { "" };
    let array = |(at, column): (usize, &Column)| match column.kind {
        Kind::Int => format!("${}::int8[]", at.saturating_add(1)),
        Kind::Text => format!("${}::text[]", at.saturating_add(1)),
        Kind::Blob => format!("${}::bytea[]", at.saturating_add(1)),
    };
    let arrays: Vec<_> = table.columns.iter().enumerate().map(array).collect();
    let sql = format!(
        "INSERT INTO \"{name}\" ({names}){given} SELECT * FROM UNNEST({})",
        arrays.join(", ")
    );
    let mut query = sqlx::query::<Postgres>(AssertSqlSafe(sql));
    for column in columns(table, rows)? {
        query = match column {
            Values::Int(values) => query.bind(values),
            Values::Text(values) => query.bind(values),
            Values::Blob(values) => query.bind(values),
        };
    }
    match connection {
        Connection::Sqlite(_) => return Err(WRONG),
        Connection::Postgres(connection) => query.execute(&mut **connection).await,
        Connection::Transaction(connection) => query.execute(&mut **connection).await,
    }
    .map(drop)
    .map_err(fault)
}

/// The database goes on counting after the greatest number that was copied.
pub(super) async fn count_on(connection: &mut Connection, table: &Table) -> Result<(), StoreError> {
    let Some(key) = table.key().next().filter(|_| table.is_numbered && connection.is_postgres())
    else {
        return Ok(()); // SQLite does so by itself
    };
    let (name, key) = (&table.name, &key.name);
    let sql = format!(
        "SELECT setval(pg_get_serial_sequence('{name}', '{key}'), MAX(\"{key}\")) AS n FROM \"{name}\" HAVING MAX(\"{key}\") > 0"
    );
    execute(connection, sql, values![]).await.map(drop)
}

const WRONG: StoreError = StoreError::Corrupt("a value of another type than its column");

enum Values {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Blob(Vec<Option<Vec<u8>>>),
}

/// Rows turned into columns.
fn columns(table: &Table, rows: Vec<Cells>) -> Result<Vec<Values>, StoreError> {
    let empty = |column: &Column| match column.kind {
        Kind::Int => Values::Int(Vec::with_capacity(rows.len())),
        Kind::Text => Values::Text(Vec::with_capacity(rows.len())),
        Kind::Blob => Values::Blob(Vec::with_capacity(rows.len())),
    };
    let mut columns: Vec<_> = table.columns.iter().map(empty).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            match (column, value) {
                (Values::Int(values), Value::Int(value)) => values.push(value),
                (Values::Text(values), Value::Text(value)) => values.push(value),
                (Values::Blob(values), Value::Blob(value)) => values.push(value),
                _ => return Err(WRONG),
            }
        }
    }
    Ok(columns)
}

async fn number(connection: &mut Connection, sql: String) -> Result<i64, StoreError> {
    let column = Column { name: "n".to_owned(), kind: Kind::Int };
    match read(connection, sql, values![], &[column]).await?.first().map(Vec::as_slice) {
        Some([Value::Int(Some(n))]) => Ok(*n),
        _ => Err(WRONG),
    }
}

async fn rows(
    connection: &mut Connection,
    sql: String,
    values: Cells,
    table: &Table,
) -> Result<Vec<Cells>, StoreError> {
    read(connection, sql, values, &table.columns).await
}

async fn read(
    connection: &mut Connection,
    sql: String,
    values: Cells,
    columns: &[Column],
) -> Result<Vec<Cells>, StoreError> {
    let query = match connection {
        Connection::Sqlite(connection) => {
            let rows = connection.rows(&sql, values)?;
            return rows.into_iter().map(|row| from_sqlite(row.into_cells(), columns)).collect();
        }
        Connection::Postgres(_) | Connection::Transaction(_) => bound(sql, values),
    };
    let rows = match connection {
        Connection::Sqlite(_) => return Err(WRONG),
        Connection::Postgres(connection) => query.fetch_all(&mut **connection).await,
        Connection::Transaction(connection) => query.fetch_all(&mut **connection).await,
    };
    rows.map_err(fault)?.iter().map(|row| from_postgres(row, columns)).collect()
}

async fn execute(
    connection: &mut Connection,
    sql: String,
    values: Cells,
) -> Result<u64, StoreError> {
    let query = match connection {
        Connection::Sqlite(connection) => return connection.execute(&sql, values),
        Connection::Postgres(_) | Connection::Transaction(_) => bound(sql, values),
    };
    let done = match connection {
        Connection::Sqlite(_) => return Err(WRONG),
        Connection::Postgres(connection) => query.execute(&mut **connection).await,
        Connection::Transaction(connection) => query.execute(&mut **connection).await,
    };
    done.map(|done| done.rows_affected()).map_err(fault)
}

fn bound(
    sql: String,
    values: Cells,
) -> sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments> {
    // Not kept: each is for one table, and what FETCH gives is of another cursor the next time.
    let mut query = sqlx::query::<Postgres>(AssertSqlSafe(sql)).persistent(false);
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
        };
    }
    query
}

fn from_sqlite(
    cells: Vec<rusqlite::types::Value>,
    columns: &[Column],
) -> Result<Cells, StoreError> {
    use rusqlite::types::Value as Cell;
    let value = |(cell, column): (Cell, &Column)| match (column.kind, cell) {
        (Kind::Int, Cell::Null) => Ok(Value::Int(None)),
        (Kind::Int, Cell::Integer(value)) => Ok(Value::Int(Some(value))),
        (Kind::Text, Cell::Null) => Ok(Value::Text(None)),
        (Kind::Text, Cell::Text(value)) => Ok(Value::Text(Some(value))),
        (Kind::Blob, Cell::Null) => Ok(Value::Blob(None)),
        (Kind::Blob, Cell::Blob(value)) => Ok(Value::Blob(Some(value))),
        _ => Err(WRONG),
    };
    cells.into_iter().zip(columns).map(value).collect()
}

fn from_postgres(row: &sqlx::postgres::PgRow, columns: &[Column]) -> Result<Cells, StoreError> {
    use sqlx::Row as _;
    let value = |(at, column): (usize, &Column)| match column.kind {
        Kind::Int => row.try_get(at).map(Value::Int).map_err(|_| WRONG),
        Kind::Text => row.try_get(at).map(Value::Text).map_err(|_| WRONG),
        Kind::Blob => row.try_get(at).map(Value::Blob).map_err(|_| WRONG),
    };
    columns.iter().enumerate().map(value).collect()
}
