//! The store, each behaviour on `SQLite` and on PostgreSQL.
//!
//! `scripts/tools/postgres` installs PostgreSQL; the tests start and stop a cluster of their own.

mod approvals;
mod authenticators;
mod clients;
mod consents;
mod copy;
mod devices;
mod endings;
mod faults;
mod grants;
mod identity_providers;
mod leases;
mod logouts;
mod maintain;
mod maintain_postgres;
mod model;
mod model_run;
mod organisations;
mod passkey_accounts;
mod passkeys;
mod people;
pub(crate) mod postgres;
mod provider_tokens;
mod races;
mod refresh;
mod registration_tokens;
mod removal;
mod resources;
pub(crate) mod rows;
mod sealing;
mod sqlite;
mod tool_pins;
mod upgrades;
mod upstream_accounts;

use std::sync::Arc;

use mcp_auth_broker::store::{Database, StoreSettings, open};
use mcp_auth_broker::time::{FixedClock, Timestamp};

/// Runs each function of the file once on each database.
macro_rules! on_both {
    ($($name:ident;)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let place = crate::store::Place::sqlite();
                super::$name(place.open().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let place = crate::store::Place::postgres();
                super::$name(place.open().await).await;
            })+
        }
    };
}
pub(crate) use on_both;
pub(crate) use postgres::database;

/// An empty database of the test's own.
pub(crate) struct Place {
    pub(crate) settings: StoreSettings,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Sqlite(folder.path().join("store/broker.db"));
        Self { settings, _folder: Some(folder) }
    }

    pub(crate) fn postgres() -> Self {
        let settings = StoreSettings::Postgres(database().into());
        Self { settings, _folder: None }
    }

    pub(crate) async fn open(&self) -> Store {
        let clock = Arc::new(FixedClock::at(NOW));
        open(&self.settings, clock).await.unwrap()
    }
}

pub(crate) type Store = Arc<dyn Database>;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

pub(crate) const fn after(seconds: i64) -> Timestamp {
    NOW.plus_seconds(seconds)
}
