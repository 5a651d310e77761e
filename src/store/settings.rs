//! Where the store is.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret_text::SecretText;

/// Which database.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// A file of its own; made when it is missing, readable by its owner only.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`. The URL is a secret as a whole.
    Postgres(SecretText),
}

/// How long one call may wait for a connection, a lock or the disk before it is [`Unavailable`](super::StoreError).
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How often revocations of other processes are looked for; they must be seen within a second.
pub(super) const POLL: Duration = Duration::from_millis(250);
