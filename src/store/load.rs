//! How long the database takes, for those who watch it.

use std::time::Duration;

use crate::metrics::{Tally, Times};
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
        self.load.reads.observe(self.since(started));
        if done.is_err() {
            self.load.failed_reads.add();
        }
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
        self.load.writes.observe(self.since(started));
        if done.is_err() {
            self.load.failed_writes.add();
        }
        done
    }

    fn since(&self, started: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(started)
    }
}
