//! `[store]`: where keys, clients and grants live.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_source::{RawSecret, SecretSource};
use crate::secret_text::SecretText;

/// `[store]`, parsed.
#[derive(Clone, Debug)]
pub struct Store {
    pub url: StoreUrl,
    /// Seals signing keys and stored credentials: 32 bytes in base64.
    pub key_encryption_key: Option<SecretSource>,
    pub replicas: u32,
}

/// Which database.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `sqlite:path`, relative to the working directory.
    Sqlite(PathBuf),
    /// `postgres://…` as written: it may hold a password.
    Postgres(SecretText),
}

/// Where keys, clients and grants are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    /// `sqlite:path` (made with mode 0600 in a directory with 0700) or `postgres://user@host/database`.
    pub(super) url: String,
    /// Seals signing keys and stored credentials at rest: 32 bytes in base64. prod requires it.
    pub(super) key_encryption_key: Option<RawSecret>,
    /// How many brokers share this store. More than one needs `PostgreSQL`.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) replicas: u32,
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            url: "sqlite:broker-data/broker.db".to_owned(),
            key_encryption_key: None,
            replicas: 1,
        }
    }
}
