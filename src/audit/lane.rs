//! What stands between callers and the writer of one sink: one growing buffer, handed over whole.
//!
//! Callers append bytes under a short lock; the writer swaps the buffer for an empty one. No
//! allocation for an event, one `write` for a batch, and a wake-up only where the writer sleeps.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

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
    /// The sink refused it; it is kept and tried again.
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
    /// None of its own: a request that holds the room for its end has a few lines before it, and no more.
    Beside,
}

/// Lines on their way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    queued: usize,
    reserved: usize,
    beside: usize,
    pub(super) ack: Option<watch::Sender<Ack>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.ack.is_none()
    }

    /// How many lines it has.
    pub(super) const fn count(&self) -> usize {
        self.queued + self.reserved + self.beside
    }

    pub(super) fn settle(&mut self, result: Option<Ack>) {
        if let (Some(ack), Some(result)) = (self.ack.take(), result) {
            ack.send_replace(result);
        }
        self.lines.clear();
        self.lines.shrink_to(4 * GATHER_BYTES);
        (self.queued, self.reserved, self.beside) = (0, 0, 0);
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
    /// Lines that the writer holds.
    in_hand: usize,
    closing: bool,
}

/// Shared by callers and the writer of one sink. Each sink has its own: one that stalls keeps no line from the others.
#[derive(Debug)]
pub(super) struct Lane {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    /// Whether callers wait until their lines are on disk.
    durable: bool,
    failing: AtomicBool,
    /// Since when the writer delivers what it holds: milliseconds of monotonic time, and one more. 0: it does not.
    began: AtomicU64,
    /// Lines of each kind that were delivered or given up, since the start.
    pub(super) queued: AtomicUsize,
    pub(super) reserved: AtomicUsize,
    not_written: AtomicUsize,
}

impl Lane {
    pub(super) fn new(durable: bool) -> Self {
        let (batch, writer) = (Batch::default(), WriterState::Busy);
        Self {
            inbox: Mutex::new(Inbox { batch, writer, in_hand: 0, closing: false }),
            wake: Condvar::new(),
            durable,
            failing: AtomicBool::new(false),
            began: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            not_written: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one line. With a durable sink, the answer tells when the line is on disk.
    pub(super) fn push(
        &self,
        line: &[u8],
        slot: Slot,
    ) -> Result<Option<watch::Receiver<Ack>>, AuditError> {
        let mut inbox = self.lock();
        if inbox.writer == WriterState::Gone {
            self.give_up(1);
            return Err(AuditError::Closed);
        }
        inbox.batch.lines.extend_from_slice(line);
        match slot {
            Slot::Queue => inbox.batch.queued += 1,
            Slot::Reserved => inbox.batch.reserved += 1,
            Slot::Beside => inbox.batch.beside += 1,
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
        inbox.in_hand = batch.count();
        true
    }

    /// For the writer: from `now` on it delivers what it took.
    pub(super) fn begins(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.began.store(millis.saturating_add(1), Ordering::Release);
    }

    /// Since when the writer delivers what it holds.
    pub(super) fn began(&self) -> Option<Duration> {
        self.began.load(Ordering::Acquire).checked_sub(1).map(Duration::from_millis)
    }

    /// For the writer: `batch` is delivered or given up.
    pub(super) fn delivered(&self, batch: &Batch) {
        self.lock().in_hand = 0;
        self.queued.fetch_add(batch.queued, Ordering::AcqRel);
        self.reserved.fetch_add(batch.reserved, Ordering::AcqRel);
        self.began.store(0, Ordering::Release);
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

    /// No new events; the writer empties the buffer and ends.
    pub(super) fn close(&self) {
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
        let mut inbox = self.lock();
        (inbox.closing, inbox.writer) = (true, WriterState::Gone);
        let lost = inbox.in_hand + inbox.batch.count();
        inbox.in_hand = 0;
        inbox.batch.settle(None);
        drop(inbox);
        self.give_up(lost);
        self.failing.store(false, Ordering::Release);
        self.began.store(0, Ordering::Release);
    }

    pub(super) fn give_up(&self, lines: usize) {
        self.not_written.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn not_written(&self) -> usize {
        self.not_written.load(Ordering::Relaxed)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// True: it was otherwise before.
    pub(super) fn set_failing(&self, failing: bool) -> bool {
        self.failing.swap(failing, Ordering::AcqRel) != failing
    }

    /// Lines that this sink has not taken yet.
    pub(super) fn waiting(&self) -> usize {
        let inbox = self.lock();
        inbox.batch.count() + inbox.in_hand
    }
}

fn subscribe(batch: &mut Batch) -> watch::Receiver<Ack> {
    batch.ack.get_or_insert_with(|| watch::Sender::new(Ack::Pending)).subscribe()
}
