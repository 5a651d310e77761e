//! What stands between callers and the writer: one growing buffer, handed over whole.
//!
//! Callers append bytes under a short lock; the writer swaps the buffer for an empty one. No
//! allocation for an event, one `write` for a batch, and a wake-up only where the writer sleeps.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::error::AuditError;

/// How long the writer gathers lines that nobody waits for. Bounds what a crash of the process can
/// take from a log that is not durable, and spares a wake-up per event.
const GATHER: Duration = Duration::from_millis(1);

/// From here on the writer does not gather any longer.
const GATHER_BYTES: usize = 256 * 1024;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    Pending,
    /// A sink refused it; it is kept and tried again.
    Failing,
    Done,
}

/// Whose room a line takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    /// One of `queue_length`.
    Queue,
    /// The one that a [`super::TerminalGuard`] holds from the start of its request.
    Reserved,
}

/// Lines on their way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) queued: usize,
    pub(super) reserved: usize,
    pub(super) ack: Option<watch::Sender<Ack>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.ack.is_none()
    }

    pub(super) fn settle(&mut self, result: Option<Ack>) {
        if let (Some(ack), Some(result)) = (self.ack.take(), result) {
            ack.send_replace(result);
        }
        self.lines.clear();
        self.lines.shrink_to(4 * GATHER_BYTES);
        (self.queued, self.reserved) = (0, 0);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    Busy,
    Gathering,
    Asleep,
    Gone,
}

#[derive(Debug)]
struct Inbox {
    batch: Batch,
    writer: WriterState,
    closing: bool,
}

/// Shared by callers and the writer.
#[derive(Debug)]
pub(super) struct Queue {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    /// Room for ordinary lines, and for one terminal line of each guarded request.
    pub(super) slots: Semaphore,
    pub(super) reserve: Semaphore,
    /// Whether the sinks take events. The bool beside it is the same, without a lock.
    pub(super) health: watch::Sender<bool>,
    /// Turns true when the writer has ended.
    pub(super) ended: watch::Sender<bool>,
    failing: AtomicBool,
    not_written: AtomicUsize,
    durable: bool,
}

impl Queue {
    pub(super) fn new(length: usize, durable: bool) -> Self {
        let length = length.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            inbox: Mutex::new(Inbox {
                batch: Batch::default(),
                writer: WriterState::Busy,
                closing: false,
            }),
            wake: Condvar::new(),
            slots: Semaphore::new(length),
            reserve: Semaphore::new(length),
            health: watch::Sender::new(true),
            ended: watch::Sender::new(false),
            failing: AtomicBool::new(false),
            not_written: AtomicUsize::new(0),
            durable,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one line. The caller has taken the room for it.
    ///
    /// With a durable sink, the answer tells when the line is on disk.
    pub(super) fn push(
        &self,
        line: &[u8],
        slot: Slot,
    ) -> Result<Option<watch::Receiver<Ack>>, AuditError> {
        let mut inbox = self.lock();
        if inbox.writer == WriterState::Gone {
            self.not_written.fetch_add(1, Ordering::Relaxed);
            return Err(AuditError::Closed);
        }
        inbox.batch.lines.extend_from_slice(line);
        match slot {
            Slot::Queue => inbox.batch.queued += 1,
            Slot::Reserved => inbox.batch.reserved += 1,
        }
        let ack = self.durable.then(|| subscribe(&mut inbox.batch));
        let enough = self.durable || inbox.batch.lines.len() >= GATHER_BYTES;
        self.wake_writer(inbox, enough);
        Ok(ack)
    }

    /// Asks for an acknowledgement of everything pushed so far.
    pub(super) fn barrier(&self) -> Result<watch::Receiver<Ack>, AuditError> {
        let mut inbox = self.lock();
        if inbox.writer == WriterState::Gone {
            return Err(AuditError::Closed);
        }
        let ack = subscribe(&mut inbox.batch);
        self.wake_writer(inbox, true);
        Ok(ack)
    }

    fn wake_writer(&self, mut inbox: MutexGuard<'_, Inbox>, at_once: bool) {
        let asleep = inbox.writer == WriterState::Asleep;
        if asleep || (at_once && inbox.writer == WriterState::Gathering) {
            inbox.writer = WriterState::Busy;
            drop(inbox);
            self.wake.notify_one();
        }
    }

    /// For the writer: waits for lines and swaps them into the empty `batch`. False: closed and empty.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        let mut inbox = self.lock();
        while inbox.batch.is_empty() {
            if inbox.closing {
                inbox.writer = WriterState::Gone;
                return false;
            }
            inbox.writer = WriterState::Asleep;
            inbox = self.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        let awaited = inbox.closing || inbox.batch.ack.is_some();
        if !awaited && inbox.batch.lines.len() < GATHER_BYTES {
            inbox.writer = WriterState::Gathering;
            let woken = |inbox: &mut Inbox| inbox.writer == WriterState::Gathering;
            let waited = self.wake.wait_timeout_while(inbox, GATHER, woken);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inbox.writer = WriterState::Busy;
        std::mem::swap(&mut inbox.batch, batch);
        true
    }

    /// For the writer: gives the room of a settled batch back.
    pub(super) fn release(&self, batch: &Batch) {
        self.slots.add_permits(batch.queued);
        self.reserve.add_permits(batch.reserved);
    }

    /// For the writer: sleeps before the next try. True: the end was asked for meanwhile.
    pub(super) fn pause(&self, length: Duration) -> bool {
        let inbox = self.lock();
        let open = |inbox: &mut Inbox| !inbox.closing;
        let (inbox, _) = self
            .wake
            .wait_timeout_while(inbox, length, open)
            .unwrap_or_else(PoisonError::into_inner);
        inbox.closing
    }

    /// No new events; the writer empties the queue and ends.
    pub(super) fn close(&self) {
        self.slots.close();
        self.reserve.close();
        let mut inbox = self.lock();
        inbox.closing = true;
        if inbox.writer != WriterState::Gone {
            inbox.writer = WriterState::Busy;
        }
        drop(inbox);
        self.wake.notify_one();
    }

    /// The writer has ended, however it did. Whoever still waits is told by the dropped sender.
    pub(super) fn writer_gone(&self) {
        self.close();
        let mut inbox = self.lock();
        inbox.writer = WriterState::Gone;
        let lost = inbox.batch.queued + inbox.batch.reserved;
        inbox.batch.settle(None);
        drop(inbox);
        self.give_up(lost);
        // Whoever waits for health goes on, and finds the queue closed.
        self.set_failing(false);
        self.ended.send_replace(true);
    }

    pub(super) fn give_up(&self, lines: usize) {
        self.not_written.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn not_written(&self) -> usize {
        self.not_written.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(super) fn set_failing(&self, failing: bool) {
        if self.failing.swap(failing, Ordering::AcqRel) != failing {
            self.health.send_replace(!failing);
        }
    }

    /// Lines that wait, roughly: what the writer holds is not counted.
    pub(super) fn waiting(&self) -> usize {
        let inbox = self.lock();
        inbox.batch.queued + inbox.batch.reserved
    }
}

fn subscribe(batch: &mut Batch) -> watch::Receiver<Ack> {
    batch.ack.get_or_insert_with(|| watch::Sender::new(Ack::Pending)).subscribe()
}
