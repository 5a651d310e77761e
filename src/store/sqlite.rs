//! Opens a `SQLite` file: private, WAL, every commit on disk before it is answered.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Pool, Sqlite};

use super::backend::Backend;
use super::cause::fault;
use super::checkpoint;
use super::connection::{Connection, values};
use super::error::StoreError;
use super::migrate::migrate;
use super::open_error::OpenError;
use super::settings::PATIENCE;
use super::writer::Writer;

/// Connections that only read; each has a thread of its own.
const READERS: u32 = 4;
/// How long a checkpoint waits for readers. It holds up the writer meanwhile, and a backup reads for minutes.
const BRIEF: Duration = Duration::from_millis(20);

pub(super) async fn open(path: &Path) -> Result<Backend, OpenError> {
    prepare(path)?;
    // The commits leave the log as it is: `checkpoint` moves it.
    let write = connect(options(path, false).pragma("wal_autocheckpoint", "0"), 1);
    let mut connection =
        Connection::Sqlite(write.acquire().await.map_err(|error| at_open(path, fault(error)))?);
    let begun = connection.execute("BEGIN IMMEDIATE", values![]).await;
    begun.map_err(|error| at_open(path, error))?;
    if let Err(error) = migrate(&mut connection).await {
        let _ = connection.execute("ROLLBACK", values![]).await;
        return Err(match error {
            OpenError::Database(error) => at_open(path, error),
            error => error,
        });
    }
    connection.execute("COMMIT", values![]).await.map_err(|error| at_open(path, error))?;
    drop(connection);
    Ok(Backend::Sqlite {
        readers: pool(path, READERS, true),
        writer: Writer::start(write),
        _checkpoints: checkpoint::start(connect(options(path, false).busy_timeout(BRIEF), 1)),
    })
}

pub(super) fn at_open(path: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Corrupt(_) => OpenError::NotADatabase { path: path.to_owned() },
        error => OpenError::Database(error),
    }
}

/// Makes the folder (0700) and the file (0600) before `SQLite` would with the umask's mode. WAL files take the file's mode.
fn prepare(path: &Path) -> Result<(), OpenError> {
    let wrong =
        |error: std::io::Error| OpenError::File { path: path.to_owned(), kind: error.kind() };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(wrong(error)),
    }
    is_private(path, std::fs::metadata(path).map_err(wrong)?.permissions().mode())
}

fn is_private(path: &Path, mode: u32) -> Result<(), OpenError> {
    let mode = mode & 0o777;
    if mode.trailing_zeros() >= 6 {
        Ok(())
    } else {
        Err(OpenError::Mode { path: path.to_owned(), mode })
    }
}

/// Whether there is a file to read; makes none.
pub(super) fn is_there(path: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(path) {
        Ok(found) => is_private(path, found.permissions().mode()).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(OpenError::File { path: path.to_owned(), kind: error.kind() }),
    }
}

fn options(path: &Path, read_only: bool) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(read_only)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .statement_cache_capacity(256)
        .pragma("cache_size", "-8192")
        .disable_statement_logging();
    if read_only { options } else { options.journal_mode(SqliteJournalMode::Wal) }
}

pub(super) fn pool(path: &Path, connections: u32, read_only: bool) -> Pool<Sqlite> {
    connect(options(path, read_only), connections)
}

fn connect(options: SqliteConnectOptions, connections: u32) -> Pool<Sqlite> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}
