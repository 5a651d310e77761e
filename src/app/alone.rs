//! One broker serves from a `SQLite` file. Commands work beside it; another broker would share rows, and not what it counts and
//! remembers: limits, proofs that were seen, refusals that are held back, and the chain of the audit log.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::{Config, StoreUrl};

use super::error::AppError;

/// Held for as long as the broker serves; the system takes it back when the process ends, however it does.
#[derive(Debug)]
pub(super) struct Alone {
    _lock: Option<File>,
}

impl Alone {
    /// Takes the lock beside the file. Never on the file itself: to close another descriptor of it would give up the locks of
    /// `SQLite` in this process.
    ///
    /// Does *not* look at PostgreSQL, which is for several, nor where the file system knows no locks.
    ///
    /// # Errors
    ///
    /// [`AppError::StoreServed`] where another broker has it.
    pub(super) fn with(config: &Config) -> Result<Self, AppError> {
        let StoreUrl::Sqlite(store) = &config.store.url else { return Ok(Self { _lock: None }) };
        let lock = match open(store) {
            Ok(lock) => lock,
            // What stands in the way of the store, too, that says better.
            Err(_) if store.parent().is_some_and(is_no_folder) => return Ok(Self { _lock: None }),
            Err(error) => return Ok(Self::without(&error)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(AppError::StoreServed { path: store.clone() }),
            Err(TryLockError::Error(error)) => Ok(Self::without(&error)),
        }
    }

    fn without(error: &std::io::Error) -> Self {
        tracing::warn!(error = error as &dyn std::error::Error, "store.no_locks_here");
        Self { _lock: None }
    }
}

fn is_no_folder(folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && !folder.is_dir()
}

/// `broker.db.lock`, in the folder that the store would make.
fn open(store: &Path) -> std::io::Result<File> {
    if let Some(folder) = store.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // `SQLite` follows a link, and there would be one database with two locks.
    let store = std::fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    let mut name = store.into_os_string();
    name.push(".lock");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(PathBuf::from(name))
}
