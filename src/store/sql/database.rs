//! The store over SQL: a backend, what is kept in memory, and the task that keeps both in step.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::store::Database;
use crate::store::backend::Backend;
use crate::store::error::StoreError;
use crate::store::load::{Measured, StoreLoad};
use crate::store::revoked::Revoked;
use crate::store::used::Used;
use crate::time::Clock;

use super::revocation;
use super::tend;

/// What the trait methods and the tending task share.
pub(super) struct Shared {
    pub(super) backend: Backend,
    pub(super) load: StoreLoad,
    pub(super) revoked: Revoked,
    pub(super) clients_used: Used,
    pub(super) api_keys_used: Used,
    /// Whether the last look of the tending task succeeded.
    pub(super) answers: AtomicBool,
    pub(super) clock: Arc<dyn Clock>,
}

/// [`Database`] on `SQLite` or PostgreSQL.
pub(in crate::store) struct SqlDatabase {
    pub(super) shared: Arc<Shared>,
    _tending: JoinSet<()>,
}

impl SqlDatabase {
    /// Loads what is revoked before anybody can ask.
    pub(in crate::store) async fn start(
        backend: Backend,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            backend,
            load: StoreLoad::default(),
            revoked: Revoked::default(),
            clients_used: Used::default(),
            api_keys_used: Used::default(),
            answers: AtomicBool::new(true),
            clock,
        });
        while revocation::read_on(&shared).await? {}
        let mut tending = JoinSet::new();
        tending.spawn(tend::tend(Arc::clone(&shared)));
        Ok(Self { shared, _tending: tending })
    }

    /// Of what no request waits for.
    pub(super) fn backend(&self) -> Measured<'_> {
        self.named("tend all")
    }

    /// What is timed, under the name that traces have for it: an operation, and the table that it is about.
    pub(super) fn named(&self, name: &'static str) -> Measured<'_> {
        let Shared { backend, load, clock, .. } = &*self.shared;
        Measured { backend, load, clock: &**clock, name }
    }
}

impl Database for SqlDatabase {
    fn answers(&self) -> bool {
        self.shared.answers.load(Ordering::Relaxed)
    }

    fn load(&self) -> &StoreLoad {
        &self.shared.load
    }
}

impl fmt::Debug for SqlDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlDatabase").field(&self.shared.backend.system()).finish()
    }
}
