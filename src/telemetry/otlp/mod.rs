//! Traces and logs for a collector: OTLP over HTTP in its JSON encoding (OTLP 1.5), batched by one task.
//!
//! A request never waits for any of it: what is sent goes into a queue of fixed length, and what finds no room in it is
//! counted and forgotten. A collector that is away, slow or full costs the task its time and nobody else.

mod encode;
mod export;
mod logs;
mod record;

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::metrics::Tally;

pub use export::{Exporter, Resource};
pub(super) use logs::Logs;
pub use logs::send_logs_to;
pub use record::{Attribute, Kind, Log, Span, Value};

/// What waits to be sent: some seconds of a busy broker, in a few MiB.
const QUEUE: usize = 4096;
/// At most so many go in one message.
const BATCH: usize = 512;

/// A span or a line of the log.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Span(Span),
    Log(Log),
}

/// Where what is to be sent is put. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Item>,
    full: Arc<Notify>,
    forgotten: Arc<Tally>,
}

/// Where the exporter takes it from.
#[derive(Debug)]
pub struct Inbox {
    queue: mpsc::Receiver<Item>,
    /// A whole batch waits. So the exporter sleeps until then, and is not woken for each span.
    full: Arc<Notify>,
}

/// Both ends of one queue.
#[must_use]
pub fn queue() -> (Outbox, Inbox) {
    let (queue, inbox) = mpsc::channel(QUEUE);
    let full = Arc::new(Notify::new());
    let outbox = Outbox { queue, full: Arc::clone(&full), forgotten: Arc::default() };
    (outbox, Inbox { queue: inbox, full })
}

impl Outbox {
    /// Waits for nothing.
    pub fn span(&self, span: Span) {
        self.put(Item::Span(span));
    }

    /// Waits for nothing.
    pub fn log(&self, log: Log) {
        self.put(Item::Log(log));
    }

    fn put(&self, item: Item) {
        if self.queue.try_send(item).is_err() {
            self.forgotten.add();
        } else if QUEUE - self.queue.capacity() >= BATCH {
            self.full.notify_one();
        }
    }

    /// How many found no room, or a collector that did not take them, since the start.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.get()
    }

    pub(super) fn forgotten_tally(&self) -> Arc<Tally> {
        Arc::clone(&self.forgotten)
    }
}
