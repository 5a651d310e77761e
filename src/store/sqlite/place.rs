//! Where a store's file is, and whether it is there still.
//!
//! A file that is moved or deleted stays open, and `SQLite` goes on writing to it: all of that would be gone with the process,
//! what was revoked and used up meanwhile among it. So nothing is written then.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::store::cause::unavailable;
use crate::store::error::StoreError;

/// A file by its path, and by what it was there when it was opened.
#[derive(Clone, Debug)]
pub(in crate::store) struct FilePlace {
    path: PathBuf,
    file: Option<(u64, u64)>,
}

impl FilePlace {
    pub(in crate::store) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: file(path) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    ///
    /// [`StoreError::Unavailable`]: nothing, or another file, is there now.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.file.is_some() && file(&self.path) == self.file {
            return Ok(());
        }
        Err(unavailable("the store's file was moved away, deleted or replaced while it was open"))
    }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    let number = |found: Metadata| (found.dev(), found.ino());
    std::fs::metadata(path).ok().map(number)
}
