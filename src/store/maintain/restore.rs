//! Back from a backup.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::connection::{Connection, values};
use crate::store::copy::put_back;
use crate::store::error::StoreError;
use crate::store::settings::{PATIENCE, StoreSettings};
use crate::store::sqlite::{Access, SqliteConnection};
use crate::time::Timestamp;

use super::backup::verify;
use super::error::MaintainError;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the store that was there is now.
    pub previous: Option<PathBuf>,
    /// The same of a store in PostgreSQL: a schema of the same database.
    pub previous_schema: Option<String>,
}

/// What becomes of a store in PostgreSQL that is there and holds something. A file is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is restored.
    Refuse,
    /// It moves into a schema of its own.
    PutAside,
}

/// Puts the backup in the place of the store; the store that was there is kept beside it. No broker may run.
///
/// What was revoked, disabled or used up after the backup is as it was before: the caller must say so.
///
/// # Errors
///
/// [`MaintainError`]: nothing was changed.
pub async fn restore(
    settings: &StoreSettings,
    backup: &Path,
    (existing, now): (Existing, Timestamp),
) -> Result<Restored, MaintainError> {
    let failed = |path: &Path, source| MaintainError::File { path: path.to_owned(), source };
    File::open(backup).map_err(|source| failed(backup, source))?;
    verify(backup).await?;
    let store = match settings {
        StoreSettings::Sqlite(store) => store,
        StoreSettings::Postgres(url) => {
            let previous_schema = put_back(backup, url, (existing, now)).await?;
            return Ok(Restored { previous: None, previous_schema });
        }
    };
    let new = beside(store, "restoring");
    copy(backup, &new).map_err(|source| failed(&new, source))?;
    let done = swap(store, &new, now).await;
    if done.is_err() {
        std::fs::remove_file(&new).ok();
    }
    done
}

async fn swap(store: &Path, new: &Path, now: Timestamp) -> Result<Restored, MaintainError> {
    let failed = |source| MaintainError::File { path: store.to_owned(), source };
    let mut previous = None;
    if store.exists() {
        settle(store).await?;
        let kept = beside(store, &format!("before-restore-{}", now.unix_seconds()));
        std::fs::hard_link(store, &kept).map_err(failed)?;
        // Of a file that was damaged: it must not be read beside the new one.
        for leftover in ["wal", "shm"] {
            std::fs::rename(attached(store, leftover), attached(&kept, leftover)).ok();
        }
        previous = Some(kept);
    }
    std::fs::rename(new, store).map_err(failed)?;
    if let Some(folder) = store.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(Restored { previous, previous_schema: None })
}

/// Brings everything into the one file and takes its WAL away, which `SQLite` does only where nobody else has it open.
pub(in crate::store) async fn settle(store: &Path) -> Result<(), MaintainError> {
    let mut connection = match SqliteConnection::open(store, Access::Write, PATIENCE) {
        Ok(connection) => Connection::Sqlite(connection),
        // A file that is none cannot be in use, and is kept all the same.
        Err(StoreError::Corrupt(_)) => return Ok(()),
        Err(_) => return Err(MaintainError::InUse),
    };
    let mode = connection.row("PRAGMA journal_mode = DELETE", values![]).await;
    let alone = mode.ok().flatten().and_then(|row| row.text("journal_mode").ok());
    if alone.as_deref() == Some("delete") { Ok(()) } else { Err(MaintainError::InUse) }
}

/// `SQLite`'s own files.
pub(super) fn attached(store: &Path, what: &str) -> PathBuf {
    let name = store.file_name().unwrap_or_default().to_string_lossy();
    store.with_file_name(format!("{name}-{what}"))
}

fn beside(store: &Path, what: &str) -> PathBuf {
    let name = store.file_name().unwrap_or_default().to_string_lossy();
    store.with_file_name(format!("{name}.{what}"))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Of a restore that was cut off.
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut source = File::open(from)?;
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    std::io::copy(&mut source, &mut new)?;
    new.sync_all()
}
