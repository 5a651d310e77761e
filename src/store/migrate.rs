//! The schema, step by step, forwards only.

use sqlx::{AssertSqlSafe, Executor as _};

use super::cause::fault;
use super::connection::{Connection, values};
use super::error::StoreError;
use super::open_error::OpenError;

/// Every step that ever was, in order; a step that was released never changes.
pub(super) const STEPS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
    include_str!("schema/0010.sql"),
    include_str!("schema/0011.sql"),
    include_str!("schema/0012.sql"),
    include_str!("schema/0013.sql"),
    include_str!("schema/0014.sql"),
    include_str!("schema/0015.sql"),
    include_str!("schema/0016.sql"),
    include_str!("schema/0017.sql"),
    include_str!("schema/0018.sql"),
    include_str!("schema/0019.sql"),
    include_str!("schema/0020.sql"),
    include_str!("schema/0021.sql"),
    include_str!("schema/0022.sql"),
];

/// The newest schema that this version knows.
pub(super) const KNOWN: i64 = 22;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, \
                        organisation TEXT NOT NULL DEFAULT 'default', digest BLOB NOT NULL)";

/// Brings the schema up to date within the caller's transaction. How many steps it took.
pub(super) async fn migrate(connection: &mut Connection) -> Result<i64, OpenError> {
    migrate_to(connection, KNOWN).await
}

/// The same up to an older schema, for what was written with that.
pub(super) async fn migrate_to(connection: &mut Connection, last: i64) -> Result<i64, OpenError> {
    run(connection, VERSIONS).await.map_err(OpenError::Database)?;
    let found = version(connection).await?;
    for (index, step) in STEPS.iter().enumerate() {
        let number = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
        if number <= found || number > last {
            continue;
        }
        run(connection, step).await.map_err(OpenError::Database)?;
        let digest = super::digest::Digest::of(step);
        connection
            .execute(
                "INSERT INTO schema_versions (version, digest) VALUES ($1, $2)",
                values![number, digest],
            )
            .await
            .map_err(OpenError::Database)?;
    }
    Ok(last.saturating_sub(found))
}

/// The schema that is there, checked step by step against ours.
pub(super) async fn version(connection: &mut Connection) -> Result<i64, OpenError> {
    let rows = connection
        .rows("SELECT version, digest FROM schema_versions ORDER BY version", values![])
        .await
        .map_err(OpenError::Database)?;
    let mut found = 0;
    for row in &rows {
        found = row.int("version").map_err(OpenError::Database)?;
        if found > KNOWN {
            continue;
        }
        let ours = usize::try_from(found.saturating_sub(1)).ok().and_then(|at| STEPS.get(at));
        let digest = row.digest("digest").map_err(OpenError::Database)?;
        if ours.map(|step| super::digest::Digest::of(step)) != Some(digest) {
            return Err(OpenError::Foreign(found));
        }
    }
    if found > KNOWN { Err(OpenError::Newer { found, known: KNOWN }) } else { Ok(found) }
}

/// Several statements without parameters, in the words of the database.
async fn run(connection: &mut Connection, text: &'static str) -> Result<(), StoreError> {
    let postgres = connection.is_postgres();
    let text = if postgres {
        text.replace(" BLOB", " BYTEA")
            .replace(" SEQUENCE,", " BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,")
    } else {
        text.replace(" SEQUENCE,", " INTEGER PRIMARY KEY AUTOINCREMENT,")
    };
    // Of our own files only.
    let query = |text| sqlx::raw_sql(AssertSqlSafe(text));
    match connection {
        Connection::Sqlite(connection) => return connection.script(&text),
        Connection::Postgres(connection) => {
            (&mut **connection).execute(query(text)).await.map(drop)
        }
        Connection::Transaction(connection) => {
            (&mut **connection).execute(query(text)).await.map(drop)
        }
    }
    .map_err(fault)
}
