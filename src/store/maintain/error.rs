//! Why a store could not be looked after.

use std::path::PathBuf;

use crate::store::error::StoreError;
use crate::store::open_error::OpenError;

#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    #[error(
        "there is no store yet\n  hint: broker serve makes one; store.url says where it would be"
    )]
    NoStore,
    #[error("{} exists already\n  hint: name a file that is not there yet", path.display())]
    Exists { path: PathBuf },
    #[error(
        "{} cannot be read or written\n  hint: its folder must be there and belong to whoever runs this, with room for a copy",
        path.display()
    )]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "PostgreSQL is backed up and restored by its own tools\n  \
         hint: pg_dump --format=custom --no-owner --file=broker.dump --dbname=… with the address of store.url, \
         and pg_restore --clean --if-exists --no-owner --single-transaction --dbname=… broker.dump while no broker runs"
    )]
    PostgresTools,
    #[error(
        "{} is no backup of a broker's store, or is damaged; nothing was changed\n  hint: try another one", path.display()
    )]
    NotABackup { path: PathBuf },
    #[error(
        "a broker, or another program, has the store open; nothing was changed\n  hint: stop the broker first"
    )]
    InUse,
}
