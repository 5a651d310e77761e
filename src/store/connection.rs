//! One connection to either database, and rows read by column name.
//!
//! Both take the same text: numbered parameters, `RETURNING`, `ON CONFLICT`, times as integers.

use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Row as _, Transaction};

use crate::time::Timestamp;

use super::cause::{ZERO_BYTE, fault};
use super::digest::Digest;
use super::error::StoreError;
use super::sqlite::{SqliteConnection, SqliteRow};

/// What a command talks to.
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PoolConnection<Postgres>),
    /// Rolled back when it is dropped before its commit.
    Transaction(Transaction<'static, Postgres>),
}

/// A parameter. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

/// The parameters of a statement, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::connection::Value::from($value)),*] };
}
pub(super) use values;

macro_rules! bound {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query::<Postgres>($sql);
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Connection {
    /// All rows. The text is prepared once for each connection and kept.
    pub(super) async fn rows(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                refuse_zero_bytes(&values)?;
                let rows = connection.rows(sql, values)?;
                return Ok(rows.into_iter().map(Row::Sqlite).collect());
            }
            Self::Postgres(connection) => {
                let rows = bound!(sql, values).fetch_all(&mut **connection).await;
                rows.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
            Self::Transaction(connection) => {
                let rows = bound!(sql, values).fetch_all(&mut **connection).await;
                rows.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(fault)
    }

    /// The first row, of statements that give one at most.
    pub(super) async fn row(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// How many rows were changed.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                refuse_zero_bytes(&values)?;
                return connection.execute(sql, values);
            }
            Self::Postgres(connection) => bound!(sql, values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
            Self::Transaction(connection) => bound!(sql, values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err(fault)
    }

    pub(super) const fn is_postgres(&self) -> bool {
        !matches!(self, Self::Sqlite(_))
    }
}

/// As PostgreSQL does by itself.
fn refuse_zero_bytes(values: &[Value]) -> Result<(), StoreError> {
    let has_one = |value: &Value| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
    if values.iter().any(has_one) { Err(ZERO_BYTE) } else { Ok(()) }
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.get($column),
            Row::Postgres(row) => row.try_get($column).ok(),
        }
        .ok_or(StoreError::Corrupt($column))
    };
}

impl Row {
    pub(super) fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        column!(self, column)
    }

    pub(super) fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        column!(self, column)
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        column!(self, column)
    }

    pub(super) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        column!(self, column)
    }

    pub(super) fn blob(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        column!(self, column)
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_unix_millis)
    }

    pub(super) fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let millis = self.maybe_int(column)?;
        Ok(millis.map(Timestamp::from_unix_millis))
    }

    pub(super) fn digest(&self, column: &'static str) -> Result<Digest, StoreError> {
        let bytes = <[u8; 32]>::try_from(self.blob(column)?);
        bytes.map(Digest::from_bytes).map_err(|_| StoreError::Corrupt(column))
    }

    pub(super) fn maybe_digest(&self, column: &'static str) -> Result<Option<Digest>, StoreError> {
        let bytes: Option<Vec<u8>> = column!(self, column)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| StoreError::Corrupt(column))?;
        Ok(Some(Digest::from_bytes(bytes)))
    }

    /// Text that one of our types wrote.
    pub(super) fn parsed<T: std::str::FromStr>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| StoreError::Corrupt(column))
    }

    pub(super) fn maybe_parsed<T: std::str::FromStr>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text = self.maybe_text(column)?;
        text.map(|text| text.parse().map_err(|_| StoreError::Corrupt(column))).transpose()
    }

    /// A list kept as JSON.
    pub(super) fn list(&self, column: &'static str) -> Result<Vec<String>, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| StoreError::Corrupt(column))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.unix_millis()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::unix_millis))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Digest> for Value {
    fn from(value: Digest) -> Self {
        Self::Blob(Some(value.as_bytes().to_vec()))
    }
}

impl From<Option<Digest>> for Value {
    fn from(value: Option<Digest>) -> Self {
        Self::Blob(value.map(|digest| digest.as_bytes().to_vec()))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

impl From<&[String]> for Value {
    /// As JSON.
    fn from(value: &[String]) -> Self {
        Self::Text(Some(serde_json::Value::from(value).to_string()))
    }
}
