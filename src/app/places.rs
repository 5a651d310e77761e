//! Whether a start could make its files where the settings say, found out without making any.
//!
//! *Not* found out: what the file system says only when it is written to, such as that it is full or a quota is used up.

use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{Access, PROC_SUPER_MAGIC, access, statfs};

use crate::audit::OpenError as AuditOpenError;
use crate::config::{AuditSink, Config, StoreUrl};
use crate::store::OpenError;

use super::error::AppError;

/// The files of the audit log that could not be made, by their place in the list.
pub(super) fn audit(config: &Config) -> Vec<(usize, AppError)> {
    let unusable = |(place, sink): (usize, &AuditSink)| {
        let AuditSink::File(file) = sink else { return None };
        let source = can_be_written(&file.path).err()?;
        let error = AuditOpenError::Io { path: file.path.clone(), source };
        Some((place, AppError::OpenAudit(error)))
    };
    config.audit.sinks.iter().enumerate().filter_map(unusable).collect()
}

/// The database file of the store, where it is one and not there yet: who only looks need not be able to write to it.
///
/// # Errors
///
/// [`AppError::OpenStore`]
pub(super) fn store(config: &Config) -> Result<(), AppError> {
    let StoreUrl::Sqlite(path) = &config.store.url else { return Ok(()) };
    let unusable = |source: io::Error| OpenError::File { path: path.clone(), source };
    let there = match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => nearest(path),
        Err(error) => Err(error),
    };
    Ok(there.map_err(unusable)?)
}

/// A file that is there and may be written to, or a folder in which it, and folders before it, could be made.
fn can_be_written(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == ErrorKind::NotFound => nearest(path),
        Err(error) => Err(error),
    }
}

/// The nearest folder above that is there.
fn nearest(path: &Path) -> io::Result<()> {
    for above in path.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match std::fs::metadata(above) {
            Ok(found) if !found.is_dir() => return Err(ErrorKind::NotADirectory.into()),
            // Root may do everything there by its mode, and nothing in fact.
            Ok(_) if statfs(above)?.f_type == PROC_SUPER_MAGIC => {
                return Err(ErrorKind::ReadOnlyFilesystem.into());
            }
            Ok(_) => return Ok(access(above, Access::WRITE_OK | Access::EXEC_OK)?),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::NotFound.into())
}
