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
    #[error("the backup {} cannot be read or written", path.display())]
    Backup {
        path: PathBuf,
        #[source]
        source: StoreError,
    },
    #[error(
        "table {table} is not the same in the store and in the backup; try again, and look at the disks of both"
    )]
    Differs { table: String },
    #[error(
        "the database holds something else (table {table}); nothing was changed\n  hint: name an empty database in store.url"
    )]
    NotEmpty { table: String },
    #[error(
        "the database holds a store already (table {table} has rows); nothing was changed\n  \
         hint: --replace puts it aside, into a schema of its own in the same database, and restores the backup in its place"
    )]
    Occupied { table: String },
    #[error(
        "the store that is there cannot be put aside: schema {schema} could not be made; nothing was changed\n  \
         hint: the user of store.url needs it: GRANT CREATE ON DATABASE … TO …"
    )]
    NoSchema {
        schema: String,
        #[source]
        source: StoreError,
    },
    #[error(
        "{} is no backup of a broker's store, or is damaged; nothing was changed\n  hint: try another one", path.display()
    )]
    NotABackup { path: PathBuf },
    #[error(
        "a broker, or another program, has the store open; nothing was changed\n  hint: stop the broker first"
    )]
    InUse,
}
