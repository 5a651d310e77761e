//! What is sealed in the store, and with which key-encryption key.
//!
//! A sealed value is JSON that begins with the id of its key: `{"key":"…"`. One that names no key is of the store's first. A
//! broker that has several keys gives a value once for each of them, as a list: what is kept is the one of the key that is
//! the store's at that moment, which nobody changes until it is written. So no row is ever sealed with a key that the store
//! has left behind, whoever writes it and when.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;

/// A broker counts as one that runs for so long after it last said which keys it has. It says so more often.
pub const BROKERS_LAST: Duration = Duration::from_secs(30);

/// How the store is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The key with which values are sealed from now on.
    pub key_id: String,
    /// The key of values that name none.
    pub first_key_id: String,
    /// What other secrets are derived from, sealed with that key.
    pub root: String,
}

/// What came of the wish to seal with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealingChange {
    Done,
    /// Another key than was thought is the store's: somebody was faster.
    Other,
    /// So many brokers that run do not have the new key.
    Waits {
        brokers: u64,
    },
}

/// What came of the wish to begin anew with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealingRestart {
    Done,
    /// Another key than was thought is the store's: somebody was faster.
    Other,
    /// It is not lost: so many brokers that run have it.
    Held {
        brokers: u64,
    },
}

/// Where sealed values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    SigningKeys,
    Authenticators,
    UpstreamAccounts,
    /// What identity providers gave with log-ins.
    ProviderTokens,
    /// Those that ended, until their tokens are given back.
    EndedAccounts,
    UpstreamClients,
    Approvals,
}

impl SealedPlace {
    pub const ALL: [Self; 7] = [
        Self::SigningKeys,
        Self::UpstreamClients,
        Self::Authenticators,
        Self::UpstreamAccounts,
        Self::ProviderTokens,
        // After those, for one that ends is copied as it is.
        Self::EndedAccounts,
        Self::Approvals,
    ];

    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::SigningKeys => "signing_keys",
            Self::Authenticators => "authenticators",
            Self::UpstreamAccounts => "upstream_accounts",
            Self::ProviderTokens => "provider_tokens",
            Self::EndedAccounts => "ended_accounts",
            Self::UpstreamClients => "upstream_clients",
            Self::Approvals => "approvals",
        }
    }

    /// The schema that it came with, of those that say what they are sealed with.
    #[must_use]
    pub(super) const fn since(self) -> i64 {
        match self {
            Self::ProviderTokens => 22,
            Self::SigningKeys
            | Self::Authenticators
            | Self::UpstreamAccounts
            | Self::EndedAccounts
            | Self::UpstreamClients
            | Self::Approvals => 17,
        }
    }
}

/// One sealed value.
#[derive(Clone)]
pub struct SealedRow {
    /// What it belongs to: `kid` and algorithm; a person; a person and a server; a person and an issuer; a server; an approval; a person, and a server
    /// and a version with a blank between.
    pub of: [String; 2],
    pub sealed: String,
}

impl std::fmt::Debug for SealedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SealedRow").field(&self.of).finish()
    }
}

/// The same value, sealed with another key.
#[derive(Clone, Debug)]
pub struct Resealed {
    pub row: SealedRow,
    pub sealed: String,
}

/// How many values of a table name a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SealedCount {
    pub table: &'static str,
    pub key_id: String,
    pub rows: u64,
}

#[async_trait]
pub trait SealingStore: Send + Sync {
    /// `None`: no broker of a version that knows of this has used the store.
    async fn sealing(&self) -> Result<Option<Sealing>, StoreError>;
    /// Where there is none yet. Of several brokers that come at once, the first one's stays.
    async fn adopt_sealing(&self, first: &Sealing) -> Result<(), StoreError>;
    /// Seals with another key from now on, if `from` is the store's and every broker that runs has the new one.
    async fn change_sealing(
        &self,
        from: &str,
        to: &Sealing,
        at: Option<Timestamp>,
    ) -> Result<SealingChange, StoreError>;
    /// The same where the key `from` is lost: what it sealed stays as it is, and so does its root, put aside under its id.
    /// Not while a broker runs that has it.
    async fn restart_sealing(&self, from: &str, to: &Sealing)
    -> Result<SealingRestart, StoreError>;
    /// A broker runs, for another [`BROKERS_LAST`], and has these keys. Gives the id of the store's.
    async fn announce_keys(
        &self,
        broker: Digest,
        key_ids: Vec<String>,
        at: Option<Timestamp>,
    ) -> Result<Option<String>, StoreError>;
    /// It ends.
    async fn withdraw_keys(&self, broker: Digest) -> Result<(), StoreError>;
    /// The next few hundred after `after`, in one order.
    async fn sealed_rows(
        &self,
        place: SealedPlace,
        after: Option<&SealedRow>,
    ) -> Result<Vec<SealedRow>, StoreError>;
    /// Puts them in the places of those that are still as they were. How many were.
    async fn reseal(&self, place: SealedPlace, rows: Vec<Resealed>) -> Result<u64, StoreError>;
    /// Of every table, by key; a value that names none is the first key's.
    async fn count_sealed(&self) -> Result<Vec<SealedCount>, StoreError>;
}
