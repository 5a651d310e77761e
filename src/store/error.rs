//! Why the store did not answer.

/// A fault of the store. Never means that something was not found, was used up, or was refused.
///
/// The caller answers 503 (`temporarily_unavailable`), never `invalid_grant`: a client throws its tokens away on that.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store is not reachable or too busy")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the disk of the store is full or cannot be written\n  hint: make room, and look whether it is mounted read-only"
    )]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row that this program did not write, or a newer schema.
    #[error(
        "the store holds something this version cannot read: {0}\n  hint: start the newer broker that wrote it, or restore a backup"
    )]
    Corrupt(&'static str),
    /// Written would be what only another key than the store's opens.
    #[error(
        "the store is sealed with a key-encryption key that this broker does not have; nothing was written\n  hint: give it that key as store.key_encryption_key, and restart it"
    )]
    OtherKey,
}

impl StoreError {
    /// What kind of fault it is, in a word that never changes.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Full(_) => "full",
            Self::Corrupt(_) => "corrupt",
            Self::OtherKey => "other_key",
        }
    }
}
