//! What is in a store.

use std::path::Path;

use serde::Serialize;

use crate::store::cause::fault;
use crate::store::connection::{Connection, values};
use crate::store::copy::refuse_unfinished;
use crate::store::error::StoreError;
use crate::store::migrate::{KNOWN, version};
use crate::store::open_error::OpenError;
use crate::store::postgres;
use crate::store::sealing::SealedCount;
use crate::store::settings::{PATIENCE, StoreSettings};
use crate::store::sql::{find_sealing, sealed_counts};
use crate::store::sqlite::{Access, SqliteConnection};
use crate::time::Timestamp;

use super::error::MaintainError;

/// A store as it is at this moment.
#[derive(Clone, Debug, Serialize)]
pub struct StoreStatus {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    pub schema: i64,
    /// The newest schema that this version knows; it migrates to it at its start.
    pub schema_known: i64,
    pub bytes: u64,
    pub tables: Vec<TableStatus>,
    /// When the oldest signing key was made.
    pub oldest_signing_key: Option<Timestamp>,
    /// The id of the key-encryption key with which values are sealed. `None`: no broker has said so yet.
    pub sealed_with: Option<String>,
    /// How many values each key seals.
    pub sealed: Vec<SealedCount>,
    /// Of PostgreSQL: how many connections there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<StoreRoom>,
}

/// Connections of a PostgreSQL server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StoreRoom {
    /// To this role and database, the reserved ones left out.
    pub allowed: u64,
    /// How many a broker takes at most.
    pub each: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    pub name: &'static str,
    pub rows: u64,
}

macro_rules! tables {
    ($($schema:literal $name:literal),+ $(,)?) => {
        &[$(($schema, $name, concat!("SELECT COUNT(*) AS n FROM ", $name))),+]
    };
}

/// Each with the schema that it came with.
const TABLES: &[(i64, &str, &str)] = tables![
    1 "users",
    1 "identities",
    1 "sessions",
    1 "links",
    1 "login_failures",
    1 "clients",
    1 "metadata_documents",
    1 "authorization_requests",
    1 "grants",
    1 "codes",
    1 "refresh_tokens",
    1 "consents",
    1 "revocations",
    1 "assertions",
    1 "resources",
    1 "api_keys",
    1 "signing_keys",
    2 "approvals",
    3 "rates",
    6 "upstream_accounts",
    6 "upstream_clients",
    8 "device_requests",
    9 "logout_notices",
    11 "places",
    12 "registration_tokens",
    13 "authenticators",
    13 "recovery_codes",
    14 "identity_providers",
    15 "passkeys",
    16 "tool_pins",
    16 "tool_pin_servers",
    16 "ended_accounts",
    17 "sealing",
    17 "sealing_brokers",
    22 "provider_tokens",
];

/// The schema from which on the store says what it is sealed with.
const SEALING: i64 = 17;

/// Changes nothing, not even an old schema.
///
/// # Errors
///
/// [`MaintainError`]; a newer schema than ours is an error, too.
pub async fn status(settings: &StoreSettings) -> Result<StoreStatus, MaintainError> {
    let mut connection = match settings {
        StoreSettings::Sqlite(path) => sqlite_reader(path)?,
        StoreSettings::Postgres(url) => {
            let pool = postgres::pool(url)?;
            Connection::Postgres(pool.acquire().await.map_err(|error| lost(fault(error)))?)
        }
    };
    refuse_unfinished(&mut connection).await.map_err(|error| at(settings, error))?;
    let schema = version(&mut connection).await.map_err(|error| at(settings, error))?;
    read(&mut connection, schema).await.map_err(MaintainError::Store)
}

fn lost(error: StoreError) -> MaintainError {
    OpenError::Database(error).into()
}

/// `SQLite` says that a file is none where it is first read.
fn at(settings: &StoreSettings, error: OpenError) -> MaintainError {
    match (settings, error) {
        (StoreSettings::Sqlite(path), OpenError::Database(StoreError::Corrupt(_))) => {
            OpenError::NotADatabase { path: path.clone() }.into()
        }
        (_, error) => error.into(),
    }
}

/// A connection that cannot write.
pub(in crate::store) fn sqlite_reader(path: &Path) -> Result<Connection, MaintainError> {
    if !path.exists() {
        return Err(MaintainError::NoStore);
    }
    match SqliteConnection::open(path, Access::Read, PATIENCE) {
        Ok(connection) => Ok(Connection::Sqlite(connection)),
        Err(StoreError::Corrupt(_)) => {
            Err(OpenError::NotADatabase { path: path.to_owned() }.into())
        }
        Err(error) => Err(lost(error)),
    }
}

async fn read(connection: &mut Connection, schema: i64) -> Result<StoreStatus, StoreError> {
    const LITE: &str = "SELECT (SELECT page_count FROM pragma_page_count) * \
                        (SELECT page_size FROM pragma_page_size) AS n";
    const GRES: &str = "SELECT pg_database_size(current_database()) AS n";
    const OLDEST: &str = "SELECT MIN(created_at) AS oldest FROM signing_keys";
    let postgres = connection.is_postgres();
    let bytes = count(connection, if postgres { GRES } else { LITE }).await?;
    let mut tables = Vec::new();
    for (_, name, sql) in TABLES.iter().filter(|(since, ..)| *since <= schema) {
        tables.push(TableStatus { name, rows: count(connection, sql).await? });
    }
    let oldest = connection.row(OLDEST, values![]).await?;
    let oldest = oldest.map(|row| row.maybe_time("oldest")).transpose()?.flatten();
    let sealing = if schema < SEALING { None } else { find_sealing(connection, &()).await? };
    let sealed = match &sealing {
        Some(sealing) => sealed_counts(connection, (&sealing.first_key_id, schema)).await?,
        None => Vec::new(),
    };
    let database = if postgres { "postgres" } else { "sqlite" };
    Ok(StoreStatus {
        database,
        schema,
        schema_known: KNOWN,
        bytes,
        tables,
        oldest_signing_key: oldest,
        sealed_with: sealing.map(|sealing| sealing.key_id),
        sealed,
        connections: if postgres { Some(room(connection).await?) } else { None },
    })
}

async fn room(connection: &mut Connection) -> Result<StoreRoom, StoreError> {
    // LEAST leaves NULL out. A role or database without a limit has a negative one; reserved_connections came with version 16.
    const ALLOWED: &str = "SELECT LEAST(\
        current_setting('max_connections')::bigint \
          - current_setting('superuser_reserved_connections')::bigint \
          - COALESCE(NULLIF(current_setting('reserved_connections', true), ''), '0')::bigint, \
        (SELECT NULLIF(GREATEST(rolconnlimit, -1), -1)::bigint FROM pg_roles WHERE rolname = current_user), \
        (SELECT NULLIF(GREATEST(datconnlimit, -1), -1)::bigint FROM pg_database WHERE datname = current_database())) AS n";
    let allowed = count(connection, ALLOWED).await?;
    Ok(StoreRoom { allowed, each: postgres::CONNECTIONS.into() })
}

async fn count(connection: &mut Connection, sql: &'static str) -> Result<u64, StoreError> {
    let row = connection.row(sql, values![]).await?;
    let n = row.map(|row| row.int("n")).transpose()?.unwrap_or(0);
    Ok(u64::try_from(n).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use crate::store::migrate::STEPS;
    use crate::store::sealing::SealedPlace;

    use super::*;

    /// The schema that makes this table.
    fn came(table: &str) -> Option<i64> {
        let made = format!("CREATE TABLE {table} (");
        STEPS.iter().zip(1..).find(|(sql, _)| sql.contains(&made)).map(|(_, step)| step)
    }

    #[test]
    fn a_table_is_looked_for_from_the_schema_on_that_it_came_with() {
        for (since, name, _) in TABLES {
            assert_eq!(came(name), Some(*since), "{name}");
        }
        assert_eq!(came("sealing"), Some(SEALING));
        for place in SealedPlace::ALL {
            let since = came(place.table()).map(|since| since.max(SEALING));
            assert_eq!(since, Some(place.since()), "{place:?}");
        }
    }
}
