//! How long the database takes, for those who watch it.

use std::time::Duration;

use crate::metrics::{Tally, Times};
use crate::steps::{self, Step, What};
use crate::time::Clock;

use super::backend::{Backend, Work};
use super::error::StoreError;

/// Reads and commands since the start. A command's time holds its wait for the one writer.
#[derive(Debug, Default)]
pub struct StoreLoad {
    pub reads: Times,
    pub writes: Times,
    pub failed_reads: Tally,
    pub failed_writes: Tally,
}

/// A backend whose answers are timed.
pub(super) struct Measured<'a> {
    pub(super) backend: &'a Backend,
    pub(super) load: &'a StoreLoad,
    pub(super) clock: &'a dyn Clock,
    /// An operation and a table, such as `find clients`.
    pub(super) name: &'static str,
}

impl Measured<'_> {
    /// As [`Backend::read`].
    pub(super) async fn read<A: Sync, T>(
        &self,
        arguments: &A,
        work: Work<A, T>,
    ) -> Result<T, StoreError> {
        let started = self.clock.monotonic();
        let done = self.backend.read(arguments, work).await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.load.reads.observe(took);
        if done.is_err() {
            self.load.failed_reads.add();
        }
        self.note(took, done.as_ref().err());
        done
    }

    /// As [`Backend::write`].
    pub(super) async fn write<A, T>(&self, arguments: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let started = self.clock.monotonic();
        let done = self.backend.write(arguments, work).await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.load.writes.observe(took);
        if done.is_err() {
            self.load.failed_writes.add();
        }
        self.note(took, done.as_ref().err());
        done
    }

    /// A step of the request that waited for it.
    fn note(&self, took: Duration, failed: Option<&StoreError>) {
        if steps::wanted() {
            let (operation, collection) = self.name.split_once(' ').unwrap_or((self.name, ""));
            let what = What::Database { system: self.backend.system(), operation, collection };
            let failed = failed.map(|error| error.kind().into());
            steps::note(Step { what, ended: self.clock.now(), took, failed });
        }
    }
}
