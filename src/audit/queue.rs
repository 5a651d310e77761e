//! All sinks together: the room for lines that wait, whether every sink takes them, and how it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::time::Clock;

use super::error::AuditError;
use super::lane::{Ack, Batch, Lane, Slot};

/// A sink that does not come back from one delivery for so long is taken for one that fails.
const STALLED: Duration = Duration::from_secs(5);
/// The same where no line has room any more: requests wait for nothing else by then.
const STALLED_AND_FULL: Duration = Duration::from_secs(1);

/// Shared by callers and the writers.
#[derive(Debug)]
pub(super) struct Queue {
    /// One for each sink.
    lanes: Box<[Arc<Lane>]>,
    /// Room for ordinary lines, and for one terminal line of each guarded request. A line takes it until every sink has it.
    pub(super) slots: Semaphore,
    pub(super) reserve: Semaphore,
    /// How much of each was given back since the start.
    given_back: Mutex<(usize, usize)>,
    /// Told when a sink begins to fail, and when one took what it was given: [`Queue::is_failing`] may be otherwise then.
    pub(super) health: watch::Sender<()>,
    /// Turns true when all writers have ended.
    pub(super) ended: watch::Sender<bool>,
    writers: AtomicUsize,
    clock: Arc<dyn Clock>,
}

impl Queue {
    /// `durable`: of each sink, whether callers wait until their lines are on disk.
    pub(super) fn new(
        length: usize,
        durable: impl IntoIterator<Item = bool>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let length = length.clamp(1, Semaphore::MAX_PERMITS);
        let lanes: Box<[_]> =
            durable.into_iter().map(|durable| Arc::new(Lane::new(durable))).collect();
        let writers = AtomicUsize::new(lanes.len());
        Self {
            lanes,
            slots: Semaphore::new(length),
            reserve: Semaphore::new(length),
            given_back: Mutex::default(),
            health: watch::Sender::new(()),
            ended: watch::Sender::new(false),
            writers,
            clock,
        }
    }

    pub(super) fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    /// Appends one line for every sink. The caller has taken the room for it.
    ///
    /// The answers tell when the line is on disk, one for each durable sink.
    pub(super) fn push(
        &self,
        line: &[u8],
        slot: Slot,
    ) -> Result<Vec<watch::Receiver<Ack>>, AuditError> {
        let acks = self.lanes.iter().filter_map(|lane| lane.push(line, slot).transpose());
        acks.collect()
    }

    /// Asks for acknowledgements of everything pushed so far.
    pub(super) fn barrier(&self) -> Result<Vec<watch::Receiver<Ack>>, AuditError> {
        self.lanes.iter().map(|lane| lane.barrier()).collect()
    }

    /// For a writer: waits for lines and swaps them into the empty `batch`. False: closed and empty.
    pub(super) fn take(&self, lane: &Lane, batch: &mut Batch) -> bool {
        let taken = lane.take(batch);
        if taken {
            lane.begins(self.clock.monotonic());
        }
        taken
    }

    /// For a writer: gives the room of a settled batch back, as far as the other sinks have it, too.
    pub(super) fn release(&self, lane: &Lane, batch: &Batch) {
        lane.delivered(batch);
        let least = |of: fn(&Lane) -> &AtomicUsize| {
            let counts = self.lanes.iter().map(|lane| of(lane).load(Ordering::Acquire));
            counts.min().unwrap_or(0)
        };
        let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
        let all = (least(|lane| &lane.queued), least(|lane| &lane.reserved));
        self.slots.add_permits(all.0.saturating_sub(given_back.0));
        self.reserve.add_permits(all.1.saturating_sub(given_back.1));
        *given_back = all;
        drop(given_back);
        self.health.send_replace(());
    }

    /// No new events; the writers empty their lanes and end.
    pub(super) fn close(&self) {
        self.slots.close();
        self.reserve.close();
        for lane in &self.lanes {
            lane.close();
        }
    }

    /// A writer has ended, however it did.
    pub(super) fn writer_gone(&self, lane: &Lane) {
        self.close();
        lane.writer_gone();
        // Whoever waits for health goes on, and finds the queue closed.
        self.health.send_replace(());
        if self.writers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.send_replace(true);
        }
    }

    /// Lines that a sink did not get before the end; of several sinks, the one that lacks most.
    pub(super) fn not_written(&self) -> usize {
        self.lanes.iter().map(|lane| lane.not_written()).max().unwrap_or(0)
    }

    /// Whether a sink refuses, or does not come back from a write.
    pub(super) fn is_failing(&self) -> bool {
        self.lanes.iter().any(|lane| lane.is_failing() || self.is_stalled(lane))
    }

    fn is_stalled(&self, lane: &Lane) -> bool {
        let Some(began) = lane.began() else { return false };
        let since = self.clock.monotonic().saturating_sub(began);
        since >= STALLED || (since >= STALLED_AND_FULL && self.is_full())
    }

    fn is_full(&self) -> bool {
        self.slots.available_permits() == 0 || self.reserve.available_permits() == 0
    }

    pub(super) fn set_failing(&self, lane: &Lane, failing: bool) {
        if lane.set_failing(failing) {
            self.health.send_replace(());
        }
    }

    /// Lines that wait for a sink; of several sinks, for the slowest.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting()).max().unwrap_or(0)
    }
}
