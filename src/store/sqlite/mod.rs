//! A store in a `SQLite` file: private, WAL, every commit on disk before it is answered.
//!
//! Reads are done where they are asked for: they find single rows by their keys in a few microseconds, less than it takes to
//! wake another thread and to be woken by it. Commands go to one thread, which writes those that wait to the disk together.

mod checkpoint;
mod connection;
mod fault;
mod place;
mod readers;
mod writer;

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use super::backend::Backend;
use super::connection::{Connection, values};
use super::copy::refuse_unfinished;
use super::error::StoreError;
use super::migrate::migrate;
use super::open_error::OpenError;
use super::settings::PATIENCE;

use place::FilePlace;

pub(super) use connection::{Access, SqliteConnection, SqliteRow};
pub(super) use readers::Readers;
pub(super) use writer::Writer;

/// How long the writer waits for a lock of another process: less than its callers wait, so that they are still there when
/// it has it.
const WRITER: Duration = PATIENCE.saturating_sub(Duration::from_secs(1));

/// How long a checkpoint waits for readers. It holds up the writer meanwhile, and a backup reads for minutes.
const BRIEF: Duration = Duration::from_millis(20);

pub(super) async fn open(path: &Path) -> Result<Backend, OpenError> {
    prepare(path)?;
    let wrong = |error| at_open(path, error);
    let mut connection = SqliteConnection::open(path, Access::Write, WRITER).map_err(wrong)?;
    // The commits leave the log as it is: `checkpoint` moves it.
    connection.script("PRAGMA wal_autocheckpoint = 0").map_err(wrong)?;
    let mut connection = Connection::Sqlite(connection);
    connection.execute("BEGIN IMMEDIATE", values![]).await.map_err(wrong)?;
    let migrated = match refuse_unfinished(&mut connection).await {
        Ok(()) => migrate(&mut connection).await,
        Err(error) => Err(error),
    };
    if let Err(error) = migrated {
        let _ = connection.execute("ROLLBACK", values![]).await;
        return Err(match error {
            OpenError::Database(error) => at_open(path, error),
            error => error,
        });
    }
    connection.execute("COMMIT", values![]).await.map_err(wrong)?;
    let checkpoints = SqliteConnection::open(path, Access::Write, BRIEF).map_err(wrong)?;
    let place = FilePlace::of(path);
    Ok(Backend::Sqlite {
        readers: Readers::of(place.clone()),
        writer: Writer::start(connection, place).map_err(wrong)?,
        _checkpoints: checkpoint::start(checkpoints),
    })
}

/// A store that is there, of which nothing can be changed.
pub(super) fn reading(path: &Path) -> Result<Backend, OpenError> {
    let wrong = |error| at_open(path, error);
    let reader = SqliteConnection::open(path, Access::Read, PATIENCE).map_err(wrong)?;
    let place = FilePlace::of(path);
    Ok(Backend::Sqlite {
        readers: Readers::of(place.clone()),
        writer: Writer::start(Connection::Sqlite(reader), place).map_err(wrong)?,
        _checkpoints: JoinSet::new(),
    })
}

pub(super) fn at_open(path: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Corrupt(_) => OpenError::NotADatabase { path: path.to_owned() },
        error => OpenError::Database(error),
    }
}

/// Makes the folder (0700) and the file (0600) before `SQLite` would with the umask's mode. WAL files take the file's mode.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let wrong = |source: std::io::Error| OpenError::File { path: path.to_owned(), source };
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
        Err(source) => Err(OpenError::File { path: path.to_owned(), source }),
    }
}
