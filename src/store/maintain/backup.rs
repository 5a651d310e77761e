//! A copy of a store as it was at one moment, while brokers go on writing: a `SQLite` file, whatever the database.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::store::connection::{Connection, values};
use crate::store::copy::{refuse_unfinished, snapshot};
use crate::store::error::StoreError;
use crate::store::migrate::version;
use crate::store::open_error::OpenError;
use crate::store::settings::StoreSettings;

use super::error::MaintainError;
use super::restore::attached;
use super::status::sqlite_reader;

/// Writes a backup to `to`, for its owner alone, and reads it back before it is called one. How many bytes it has.
///
/// It holds everything but the key-encryption key, without which the signing keys and what else is sealed in it are
/// of no use.
///
/// # Errors
///
/// [`MaintainError`]; a file that is there already is left alone, one that was begun is removed.
pub async fn backup(settings: &StoreSettings, to: &Path) -> Result<u64, MaintainError> {
    let written = match settings {
        StoreSettings::Sqlite(from) => {
            let mut store = sqlite_reader(from)?;
            refuse_unfinished(&mut store).await?;
            version(&mut store).await?;
            reserve(to)?;
            copy(&mut store, to).await
        }
        StoreSettings::Postgres(url) => {
            reserve(to)?;
            snapshot(url, to).await
        }
    };
    let whole = match written {
        Ok(()) => finish(to).await,
        Err(error) => Err(error),
    };
    if whole.is_err() {
        for file in [to.to_owned(), attached(to, "wal"), attached(to, "shm")] {
            std::fs::remove_file(file).ok();
        }
    }
    whole
}

/// Makes the file with its mode before `SQLite` would with the umask's. It takes an empty file.
fn reserve(to: &Path) -> Result<(), MaintainError> {
    let path = to.to_owned();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(to) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(MaintainError::Exists { path })
        }
        Err(source) => Err(MaintainError::File { path, source }),
    }
}

async fn copy(store: &mut Connection, to: &Path) -> Result<(), MaintainError> {
    let failed = |source| MaintainError::File { path: to.to_owned(), source };
    let name = to.to_str().ok_or_else(|| failed(ErrorKind::InvalidFilename.into()))?;
    store.execute("VACUUM INTO $1", values![name]).await?;
    Ok(())
}

/// On the disk, and read back.
async fn finish(to: &Path) -> Result<u64, MaintainError> {
    let failed = |source| MaintainError::File { path: to.to_owned(), source };
    let file = File::open(to).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    verify(to).await?;
    Ok(file.metadata().map_err(failed)?.len())
}

/// Whether the file is a whole store of a schema that we know.
///
/// # Errors
///
/// [`MaintainError::NotABackup`]; a newer schema says so.
pub(super) async fn verify(path: &Path) -> Result<(), MaintainError> {
    let damaged = || MaintainError::NotABackup { path: path.to_owned() };
    let mut connection = match sqlite_reader(path) {
        Err(MaintainError::Open(OpenError::NotADatabase { .. })) => return Err(damaged()),
        opened => opened?,
    };
    let checked = connection.row("PRAGMA integrity_check", values![]).await;
    let whole = |row: crate::store::connection::Row| row.text("integrity_check");
    match checked.map(|row| row.map(whole)) {
        Ok(Some(Ok(text))) if text == "ok" => {}
        Err(error @ StoreError::Unavailable(_)) => return Err(error.into()),
        _ => return Err(damaged()),
    }
    refuse_unfinished(&mut connection).await?;
    match version(&mut connection).await {
        Ok(found) if found > 0 => Ok(()),
        Err(error @ OpenError::Newer { .. }) => Err(error.into()),
        _ => Err(damaged()),
    }
}
