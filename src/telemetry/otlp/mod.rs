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
pub struct Outbox(Arc<Outgoing>);

/// Behind one count of references: each request has a clone of it, on whatever processor it is answered.
#[derive(Debug)]
struct Outgoing {
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
    queue_of(QUEUE)
}

fn queue_of(length: usize) -> (Outbox, Inbox) {
    let (queue, inbox) = mpsc::channel(length);
    let full = Arc::new(Notify::new());
    let outgoing = Outgoing { queue, full: Arc::clone(&full), forgotten: Arc::default() };
    (Outbox(Arc::new(outgoing)), Inbox { queue: inbox, full })
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
        let Outgoing { queue, full, forgotten } = &*self.0;
        if queue.try_send(item).is_err() {
            forgotten.add();
        } else if queue.max_capacity() - queue.capacity() >= BATCH {
            full.notify_one();
        }
    }

    /// How many found no room, or a collector that did not take them, since the start.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten.get()
    }

    pub(super) fn forgotten_tally(&self) -> Arc<Tally> {
        Arc::clone(&self.0.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use crate::outbound::{Outbound, OutboundSettings};
    use crate::time::Timestamp;

    use super::*;

    fn line() -> Log {
        Log {
            at: Timestamp::default(),
            severity: "INFO",
            number: 9,
            body: String::new(),
            target: String::new(),
            attributes: Vec::new(),
            of: None,
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_waited_for_by_nobody() {
        let (outbox, _inbox) = queue();
        (0..QUEUE).for_each(|_| outbox.log(line()));
        assert_eq!(outbox.forgotten(), 0);
        // Nothing takes anything out: whoever waited for room would wait for ever.
        outbox.log(line());
        assert_eq!(outbox.forgotten(), 1);
    }

    /// It takes connections and never answers; what comes meanwhile fills the queue behind what it has been sent.
    #[tokio::test]
    async fn a_collector_that_hangs_with_the_queue_full_holds_nobody_up() {
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", collector.local_addr().unwrap()).parse().unwrap();
        let settings = OutboundSettings {
            allow_private: vec!["127.0.0.1".parse().unwrap()],
            ..OutboundSettings::default()
        };
        let resource =
            Resource { service: "s".into(), instance: "i".to_owned(), environment: "dev" };
        let (outbox, inbox) = queue_of(BATCH);
        let exporter =
            Exporter::new(Outbound::new(&settings).unwrap(), &endpoint, resource, (&outbox, inbox));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(exporter.run(stop.clone()));
        (0..BATCH).for_each(|_| outbox.log(line()));
        collector.set_nonblocking(true).unwrap();
        let collector = tokio::net::TcpListener::from_std(collector).unwrap();
        let (_open, _) = collector.accept().await.unwrap();
        // The exporter waits for an answer; the queue is empty, is filled, and is full.
        let begun = tokio::time::Instant::now();
        (0..BATCH).for_each(|_| outbox.log(line()));
        assert_eq!(outbox.forgotten(), 0);
        (0..1000).for_each(|_| outbox.log(line()));
        assert_eq!(outbox.forgotten(), 1000);
        assert!(begun.elapsed() < Duration::from_secs(5), "less than what it gives the collector");
        stop.cancel();
        tasks.join_all().await;
    }
}
