//! Why a store could not be opened.

use std::path::PathBuf;

use super::error::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the store's file {path} cannot be made or read\n  \
         hint: its folder must exist or be creatable, and belong to the broker's user"
    )]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the store's file {path} is readable by others (mode {mode:o})\n  hint: chmod 600 {path}"
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "the store's file {path} is no SQLite database, or is damaged\n  \
         hint: restore a backup, or move the file away to start with an empty store"
    )]
    NotADatabase { path: PathBuf },
    #[error(
        "the store has schema {found}, this version knows up to {known}\n  \
         hint: start the newer broker that wrote it, or restore the backup from before the upgrade"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "the store's schema has a step {0} that this version did not write\n  \
         hint: this database belongs to another program or was changed by hand; restore a backup"
    )]
    Foreign(i64),
    #[error(
        "the store is a copy that was not finished\n  \
         hint: run the same broker store copy again; it goes on where it was cut off"
    )]
    Unfinished,
    #[error(
        "the store's database URL cannot be read\n  \
         hint: postgres://user:password@host:5432/database; percent-encode special characters of the password"
    )]
    Url,
    #[error(
        "the store's database does not answer\n  hint: check that it runs, its address, user and password"
    )]
    Database(#[source] StoreError),
}
