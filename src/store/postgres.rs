//! Opens a PostgreSQL database (15 or newer).

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Pool, Postgres};

use crate::secret_text::SecretText;

use super::backend::Backend;
use super::cause::fault;
use super::connection::{Connection, values};
use super::copy::refuse_unfinished;
use super::error::StoreError;
use super::migrate::migrate;
use super::open_error::OpenError;
use super::settings::PATIENCE;

/// Of each replica. PostgreSQL allows 100 in all unless told otherwise.
pub(super) const CONNECTIONS: u32 = 16;

/// Of a transaction whose broker went silent, as where the network between both is cut: until then it keeps its locks from
/// every other replica.
const ABANDONED: &str = "15s";

/// A step may have to read a large table, which no request does.
const MIGRATES: &str = "SET LOCAL statement_timeout = '10min'";

/// How often, and how long apart, it is looked whether an older program's connection is at rest after a migration.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What a broker calls itself to PostgreSQL.
pub(super) const SERVING: &str = "mcp-auth-broker";

/// What a copy under way calls itself.
const COPYING: &str = "mcp-auth-broker copy";

/// Connects when it is first used.
pub(super) fn pool(url: &SecretText) -> Result<Pool<Postgres>, OpenError> {
    Ok(pool_with(options(url)?))
}

/// The same, in which the server refuses every change.
pub(super) fn reading_pool(url: &SecretText) -> Result<Pool<Postgres>, OpenError> {
    Ok(pool_with(options(url)?.options([("default_transaction_read_only", "on")])))
}

/// For moving a whole store: a statement may take as long as it takes, and is not taken for one of a broker that serves.
pub(super) fn copying_pool(url: &SecretText) -> Result<Pool<Postgres>, OpenError> {
    let unhurried = [("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];
    Ok(pool_with(options(url)?.application_name(COPYING).options(unhurried)))
}

fn options(url: &SecretText) -> Result<PgConnectOptions, OpenError> {
    // The driver's own error may quote the URL, with its password.
    let options = PgConnectOptions::from_str(url.expose()).map_err(|_| OpenError::Url)?;
    Ok(options
        .application_name(SERVING)
        .statement_cache_capacity(256)
        // A row lock that nobody gives back must not hold a request longer than we wait for it.
        .options([("lock_timeout", "4s"), ("statement_timeout", "30s")])
        .options([("idle_in_transaction_session_timeout", ABANDONED)])
        .disable_statement_logging())
}

fn pool_with(options: PgConnectOptions) -> Pool<Postgres> {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .after_release(|connection, _| Box::pin(answers(connection)))
        // The pool's own question before it lends one would wait for ever, too.
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(answers(connection)))
        .connect_lazy_with(options)
}

/// Whether a connection that comes back may be lent again. The pool asks it, too, but waits for ever: connections to a
/// server that went silent would keep their places from those to the one that came back.
async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let answered = tokio::time::timeout(PATIENCE, connection.ping()).await;
    answered.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
}

pub(super) async fn open(url: &SecretText) -> Result<Backend, OpenError> {
    let pool = pool(url)?;
    let begun = pool.begin().await.map_err(|error| OpenError::Database(fault(error)))?;
    let mut connection = Connection::Transaction(begun);
    // One replica migrates, the others wait for it.
    let locked = connection.execute("SELECT pg_advisory_xact_lock(5570417001)", values![]).await;
    locked.map_err(OpenError::Database)?;
    refuse_unfinished(&mut connection).await?;
    let patient = connection.execute(MIGRATES, values![]).await;
    patient.map_err(OpenError::Database)?;
    let migrated = migrate(&mut connection).await? > 0;
    let older = if migrated { serving(&mut connection).await } else { Ok(Vec::new()) };
    let older = older.map_err(OpenError::Database)?;
    if let Connection::Transaction(transaction) = connection {
        transaction.commit().await.map_err(|error| OpenError::Database(fault(error)))?;
    }
    if let Err(error) = end(&pool, older).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "store.older_connections_stay");
    }
    Ok(Backend::Postgres(pool))
}

/// The connections of programs that serve on this database since before this transaction changed its schema: all but those that
/// wait to migrate it themselves.
async fn serving(connection: &mut Connection) -> Result<Vec<i64>, StoreError> {
    // 1 * 2^32 + 1275449705 is the lock of `open`.
    const SQL: &str = "SELECT pid::bigint AS pid FROM pg_stat_activity AS other WHERE datname = current_database() \
        AND usename = current_user AND application_name = $1 AND pid <> pg_backend_pid() AND NOT EXISTS \
        (SELECT 1 FROM pg_locks AS waits WHERE waits.pid = other.pid AND waits.locktype = 'advisory' \
        AND (waits.classid, waits.objid) = (1, 1275449705))";
    connection.rows(SQL, values![SERVING]).await?.iter().map(|row| row.int("pid")).collect()
}

/// Ends those connections. Versions up to schema 18 do not prepare anew what PostgreSQL refuses once a table has another column
/// (`SELECT *`, SQLSTATE 0A000), for as long as a connection lives: they would answer 503 until they are replaced. They look whether one
/// answers before they use it, and else make another. One at work is asked again when it is done.
async fn end(pool: &Pool<Postgres>, mut older: Vec<i64>) -> Result<(), StoreError> {
    const END: &str = "SELECT pid::bigint, CASE WHEN state = 'idle' THEN pg_terminate_backend(pid) ELSE FALSE END \
        FROM pg_stat_activity WHERE pid = ANY($1) AND application_name = $2";
    for _ in 0..LOOKS {
        if older.is_empty() {
            break;
        }
        let found = sqlx::query_as::<_, (i64, bool)>(END).bind(&older).bind(SERVING);
        let found = found.fetch_all(pool).await.map_err(fault)?;
        older = found.into_iter().filter_map(|(pid, ended)| (!ended).then_some(pid)).collect();
        if !older.is_empty() {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
    Ok(())
}
