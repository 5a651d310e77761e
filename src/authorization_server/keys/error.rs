//! Why there are no keys to sign with.

use std::io;
use std::path::PathBuf;

use crate::store::StoreError;

/// Nothing is ever replaced or deleted because it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the key file {} cannot be read or removed\n  hint: it must belong to the broker's user, in a folder that it may write",
        path.display()
    )]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the key file {} is not one that this program wrote\n  \
         hint: move it away; tokens signed with its keys are refused then", path.display()
    )]
    CorruptFile { path: PathBuf },
    #[error("the key file {} may be read by others than its owner\n  hint: chmod 600 {}", path.display(), path.display())]
    Exposed { path: PathBuf },
    #[error(
        "the keys in {} were sealed with another store.key_encryption_key; nothing was changed\n  \
         hint: set the key they were sealed with", path.display()
    )]
    WrongFileKey { path: PathBuf },
    #[error(
        "signing key {kid} in the store was sealed with another store.key_encryption_key; nothing was changed\n  \
         hint: set the key it was sealed with (in development: the file key-encryption-key beside the store); \
         if that is lost: broker key rotate --now"
    )]
    WrongKey { kid: String },
    #[error(
        "signing key {kid} in the store is not one that this program wrote\n  \
         hint: restore a backup, or start anew with: broker key rotate --now"
    )]
    Corrupt { kid: String },
    #[error(
        "a signing key could not be made\n  hint: this is a fault of the machine or of the broker: please report it"
    )]
    Generate,
    #[error("the signing keys in the store cannot be read or written")]
    Store(#[from] StoreError),
}
