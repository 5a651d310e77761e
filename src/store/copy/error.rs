//! Why a store could not be copied.

use std::path::PathBuf;

use crate::store::error::StoreError;
use crate::store::maintain::MaintainError;
use crate::store::open_error::OpenError;

/// The store that is copied from is never changed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the store to copy from cannot be opened")]
    From(#[source] OpenError),
    #[error("the store to copy to cannot be opened")]
    To(#[source] OpenError),
    #[error(
        "the database to copy from holds no store of this broker; nothing was changed\n  \
         hint: is --from the store that is, and --to the one that is to be?"
    )]
    NotAStore,
    #[error(
        "--from and --to name the same store; nothing was changed\n  hint: name an empty database, or a file that is not there yet"
    )]
    Same,
    #[error(
        "the store to copy from, {}, cannot be written; nothing was changed\n  \
         hint: run this as the broker's user: before it is copied, its write-ahead log is brought into the one file", path.display()
    )]
    ReadOnly { path: PathBuf },
    #[error("there is no store to copy from at {}\n  hint: --from sqlite:PATH, or postgres://user@host/database", path.display())]
    NoSource { path: PathBuf },
    #[error(
        "the store to copy from has schema {found}, this version has {known}\n  \
         hint: back it up, then bring it up to date with broker store migrate"
    )]
    Old { found: i64, known: i64 },
    #[error(
        "a broker, or another program, has the store to copy from open; nothing was changed\n  \
         hint: stop every broker first: what one writes meanwhile, revocations among it, would be lost"
    )]
    InUse,
    #[error(
        "the store to copy to holds other data (table {table}); nothing was changed\n  \
         hint: name an empty database, or a file that is not there yet"
    )]
    NotEmpty { table: String },
    #[error(
        "the store to copy to holds a copy of another store that was not finished; nothing was changed\n  \
         hint: copy from the store it was begun with, or drop that database and begin anew"
    )]
    OtherSource,
    #[error(
        "table {table} is not the same in both stores: {from} rows here, {to} there{}\n  \
         hint: somebody changed one of them meanwhile. The store that was copied from is whole; drop the other one and \
         copy again", if from == to { ", with other content" } else { "" }
    )]
    Differs { table: String, from: u64, to: u64 },
    #[error("table {table} cannot be read from the store to copy from")]
    Read {
        table: String,
        #[source]
        source: StoreError,
    },
    #[error(
        "table {table} cannot be written to the store to copy to\n  \
         hint: run the same command again when that is mended; it goes on where it was cut off"
    )]
    Write {
        table: String,
        #[source]
        source: StoreError,
    },
}

impl CopyError {
    /// Of what is done with the store that is copied from, before a table is named.
    pub(super) fn from_store(error: StoreError) -> Self {
        Self::From(OpenError::Database(error))
    }

    pub(super) fn to_store(error: StoreError) -> Self {
        Self::To(OpenError::Database(error))
    }
}

impl From<MaintainError> for CopyError {
    fn from(error: MaintainError) -> Self {
        match error {
            MaintainError::InUse => Self::InUse,
            MaintainError::Open(error) => Self::From(error),
            MaintainError::Store(error) => Self::from_store(error),
            _ => Self::from_store(StoreError::Corrupt("it cannot be read as a store")),
        }
    }
}
