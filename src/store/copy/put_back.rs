//! A backup becomes a PostgreSQL store: all of it, in one transaction, or nothing.

use std::path::Path;

use sqlx::{AssertSqlSafe, Postgres};

use crate::secret_text::SecretText;
use crate::store::cause::fault;
use crate::store::connection::{Connection, values};
use crate::store::error::StoreError;
use crate::store::maintain::{Existing, MaintainError, sqlite_reader};
use crate::store::migrate::{KNOWN, migrate_to, version};
use crate::store::open_error::OpenError;
use crate::store::postgres::{SERVING, copying_pool};
use crate::time::Timestamp;

use super::layout::layout;
use super::places::begin;
use super::pour::{Spilt, pour};
use super::rows::count;
use super::unfinished::{MARK, names};

/// Where the store that was there is now: a schema of the same database. `None`: there was none, or it held nothing.
///
/// No broker may run. One that starts meanwhile waits, and gives up.
///
/// # Errors
///
/// [`MaintainError`]: nothing was changed, but where the database goes away in the very moment that it commits.
pub(in crate::store) async fn put_back(
    backup: &Path,
    url: &SecretText,
    (existing, now): (Existing, Timestamp),
) -> Result<Option<String>, MaintainError> {
    let wrong = |source| MaintainError::Backup { path: backup.to_owned(), source };
    let mut file = sqlite_reader(backup)?;
    file.execute("BEGIN", values![]).await.map_err(wrong)?;
    let schema = version(&mut file).await?;
    let tables = layout(schema).await?;
    let pool = copying_pool(url)?;
    let mut store = begin(&pool).await.map_err(OpenError::Database)?;
    alone(&mut store).await?;
    let aside = make_room(&mut store, (existing, now)).await?;
    migrate_to(&mut store, schema).await?;
    pour(&mut file, &mut store, &tables).await.map_err(|spilt| match spilt {
        Spilt::From(error) => wrong(error),
        Spilt::To(error) => MaintainError::Store(error),
        Spilt::Differs(table) => MaintainError::Differs { table },
    })?;
    if let Connection::Transaction(transaction) = store {
        transaction.commit().await.map_err(fault)?;
    }
    Ok(aside)
}

/// No broker is connected, and none can start before this transaction ends.
async fn alone(store: &mut Connection) -> Result<(), MaintainError> {
    const TURN: &str = "SELECT pg_advisory_xact_lock(5570417001)";
    const OTHERS: &str = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = $1";
    store.execute(TURN, values![]).await.map_err(in_use)?;
    let others = store.row(OTHERS, values![SERVING]).await?;
    match others.map(|row| row.int("n")).transpose()? {
        Some(0) => Ok(()),
        _ => Err(MaintainError::InUse),
    }
}

/// A lock that somebody else has for longer than we wait.
fn in_use(error: StoreError) -> MaintainError {
    if error.is_of_code("55P03") { MaintainError::InUse } else { error.into() }
}

/// Leaves no table of a store. What held something is put aside as a whole, and tables of others stay as they are.
async fn make_room(
    store: &mut Connection,
    (existing, now): (Existing, Timestamp),
) -> Result<Option<String>, MaintainError> {
    let found = names(store).await?;
    let Some(first) = found.first() else { return Ok(None) };
    let is_there = |name: &str| found.iter().any(|found| found == name);
    if !is_there("schema_versions") {
        return Err(MaintainError::NotEmpty { table: first.clone() });
    }
    version(store).await?;
    let known = layout(KNOWN).await?;
    let mut filled = None;
    for table in known.iter().filter(|table| is_there(&table.name)) {
        if filled.is_none() && count(store, table).await? > 0 {
            filled = Some(table.name.clone());
        }
    }
    let ours = known.iter().map(|table| table.name.as_str()).chain(["schema_versions", MARK]);
    let ours: Vec<_> = ours.filter(|name| is_there(name)).collect();
    let Some(table) = filled else {
        let all = ours.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        run(store, format!("DROP TABLE {all}")).await.map_err(in_use)?;
        return Ok(None);
    };
    if existing == Existing::Refuse {
        return Err(MaintainError::Occupied { table });
    }
    let aside = format!("before_restore_{}", now.unix_seconds());
    let made = run(store, format!("CREATE SCHEMA {aside}")).await;
    made.map_err(|source| MaintainError::NoSchema { schema: aside.clone(), source })?;
    for name in ours {
        let moved = run(store, format!("ALTER TABLE \"{name}\" SET SCHEMA {aside}")).await;
        moved.map_err(in_use)?;
    }
    Ok(Some(aside))
}

/// Made of our own names and of nothing else.
async fn run(store: &mut Connection, sql: String) -> Result<(), StoreError> {
    let Connection::Transaction(transaction) = store else {
        return Err(StoreError::Corrupt("no transaction of PostgreSQL"));
    };
    let done = sqlx::query::<Postgres>(AssertSqlSafe(sql)).execute(&mut **transaction).await;
    done.map(drop).map_err(fault)
}
