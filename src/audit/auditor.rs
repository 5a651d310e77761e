//! The door to the audit log: `record` answers once the event is kept, or says that it is not.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::id::EventId;
use crate::random::Random;
use crate::time::Clock;

use super::envelope::Context;
use super::error::{AuditError, OpenError};
use super::event::AuditEvent;
use super::lane::{Ack, Slot};
use super::line::LineFormat;
use super::queue::Queue;
use super::recent::Recent;
use super::sink::{Sink, SinkSettings};
use super::strangers::Strangers;
use super::writer;

thread_local! {
    /// Reused by every event that this thread serialises.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What `record` does when the queue is full or a sink fails. There is no third choice: nothing is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Wait, at most for [`AuditSettings::limit`].
    Block,
    /// Fail at once.
    Deny,
}

/// `[audit]`, and what is printed on every line.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// How many events may wait. As many requests may be under guard ([`Auditor::guard`]) at a time.
    pub queue_length: usize,
    pub on_failure: OnFailure,
    /// The longest that one `record` may take, waiting for room, a sink and a durable write included.
    pub limit: Duration,
    /// At least one: room is given back by whoever writes.
    pub sinks: Vec<SinkSettings>,
    pub service: Arc<str>,
    /// `dev`, `staging` or `prod`.
    pub environment: &'static str,
}

/// How the log is, for `/ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AuditStatus {
    /// False while a sink fails or does not come back from a write, and after the end: every request would be refused with
    /// `broker.unavailable`.
    pub healthy: bool,
    /// Events that wait to be written.
    pub waiting: usize,
    /// Events that could not be written before the end; zero while the log runs.
    pub not_written: usize,
}

/// The audit log. Clones share one queue, and a writer thread for each sink.
#[derive(Clone, Debug)]
pub struct Auditor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Arc<Queue>,
    format: LineFormat,
    on_failure: OnFailure,
    limit: Duration,
    strangers: Strangers,
    recent: Recent,
    /// Of the file sinks.
    files: Vec<PathBuf>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    observers: OnceLock<Vec<Arc<dyn Observer>>>,
}

/// An event that is queued, for [`Auditor::kept`].
#[derive(Debug)]
#[must_use]
pub struct Noted(Vec<watch::Receiver<Ack>>);

/// Sees every event that is recorded, as it is queued: what is counted cannot say something else than the log.
///
/// Called on the way of the request: it waits for nothing.
pub trait Observer: Send + Sync + std::fmt::Debug {
    fn see(&self, context: &Context, event: &AuditEvent);
}

impl Auditor {
    /// Opens every sink and starts its writer thread. Needs no runtime.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the log cannot be written, is in use, or is not what the settings say.
    pub fn open(
        settings: AuditSettings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let AuditSettings { queue_length, on_failure, limit, sinks, service, environment } =
            settings;
        let durable: Vec<_> = sinks.iter().map(SinkSettings::is_durable).collect();
        let format = LineFormat { service, environment, clock: Arc::clone(&clock), random };
        let files = sinks.iter().filter_map(SinkSettings::path).cloned().collect();
        let sinks = sinks.into_iter().map(|sink| sink.open(&format));
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
        let queue = Arc::new(Queue::new(queue_length, durable, clock));
        let writers = Mutex::new(start(&queue, sinks)?);
        let mut inner = Inner::new(queue, format, (on_failure, limit));
        (inner.files, inner.writers) = (files, writers);
        Ok(Self(Arc::new(inner)))
    }

    /// From now on `observers` see every event. The first ones stay.
    pub fn observe(&self, observers: Vec<Arc<dyn Observer>>) {
        self.0.observers.set(observers).ok();
    }

    /// Keeps one event, and gives its id. `Ok` means: it will be in every sink, and is on disk where a sink is durable.
    ///
    /// Without a durable sink a killed process loses what it acknowledged in its last milliseconds, and what waits for a sink
    /// that stalls.
    /// When the future is dropped, the event is either queued whole or not at all.
    ///
    /// # Errors
    ///
    /// [`AuditError`], always `broker.unavailable`: the caller must not go on. The event may still be written.
    pub async fn record(
        &self,
        context: &Context,
        event: AuditEvent,
    ) -> Result<EventId, AuditError> {
        let queue = &*self.0.queue;
        let deadline = tokio::time::Instant::now() + self.0.limit;
        if queue.is_failing() {
            self.healthy_again(deadline).await?;
        }
        self.take_slot(&queue.slots, deadline).await?;
        // No `.await` from the taken slot to the queued line.
        let (event_id, acks) = self.enqueue(context, &event, Slot::Queue)?;
        self.acknowledged(acks, deadline).await?;
        Ok(event_id)
    }

    /// Queues an event of what was done for a request that owes its terminal event, and waits for nothing: it is on record
    /// also where the request ends at once. It has no room of its own, so a request may have a few of them and no more.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: the log has ended.
    pub fn note(&self, context: &Context, event: &AuditEvent) -> Result<Noted, AuditError> {
        self.enqueue(context, event, Slot::Beside).map(|(_, acks)| Noted(acks))
    }

    /// Waits until a noted event is kept as [`Auditor::record`] keeps one.
    ///
    /// # Errors
    ///
    /// As for [`Auditor::record`].
    pub async fn kept(&self, Noted(acks): Noted) -> Result<(), AuditError> {
        let deadline = tokio::time::Instant::now() + self.0.limit;
        if self.0.queue.is_failing() {
            self.healthy_again(deadline).await?;
        }
        self.acknowledged(acks, deadline).await
    }

    /// Waits until everything recorded so far is written and synced.
    ///
    /// # Errors
    ///
    /// [`AuditError::SinkFailing`] or [`AuditError::Timeout`]: not within the limit.
    pub async fn flush(&self) -> Result<(), AuditError> {
        let acks = self.0.queue.barrier()?;
        self.acknowledged(acks, tokio::time::Instant::now() + self.0.limit).await
    }

    /// Refuses new events, writes what waits, syncs and joins the writer threads. Call it last: after
    /// it, a dropped [`super::TerminalGuard`] has nowhere to write to.
    ///
    /// # Errors
    ///
    /// [`AuditError::NotWritten`] when a sink still failed at the end, or a writer hangs in one and is left behind with
    /// events; [`AuditError::Timeout`] when it hangs and holds none.
    pub async fn close(&self, limit: Duration) -> Result<(), AuditError> {
        self.0.queue.close();
        let writers = self.0.take_writers();
        let queue = &self.0.queue;
        let mut ended = queue.ended.subscribe();
        let in_time = timeout(limit, ended.wait_for(|ended| *ended)).await.is_ok();
        if in_time {
            join(writers);
        }
        let hanging = if in_time { 0 } else { queue.waiting() };
        match queue.not_written().max(hanging) {
            0 if in_time => Ok(()),
            0 => Err(AuditError::Timeout),
            lines => Err(AuditError::NotWritten { lines }),
        }
    }

    #[must_use]
    pub fn status(&self) -> AuditStatus {
        let queue = &self.0.queue;
        AuditStatus {
            healthy: !queue.is_failing() && !queue.slots.is_closed(),
            waiting: queue.waiting(),
            not_written: queue.not_written(),
        }
    }

    /// The file sinks. Each has everything.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.0.files
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.0.recent
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.format.clock
    }

    pub(super) fn random(&self) -> &dyn Random {
        &*self.0.format.random
    }

    pub(super) fn strangers(&self) -> &Strangers {
        &self.0.strangers
    }

    /// Takes the room for one terminal line; [`Auditor::free_reserve`] or the queued line gives it back.
    pub(super) async fn take_reserve(&self) -> Result<(), AuditError> {
        let deadline = tokio::time::Instant::now() + self.0.limit;
        if self.0.queue.is_failing() {
            self.healthy_again(deadline).await?;
        }
        self.take_slot(&self.0.queue.reserve, deadline).await
    }

    pub(super) fn free_reserve(&self) {
        self.0.queue.reserve.add_permits(1);
    }

    /// Queues a line into room that was taken before. Waits for nothing.
    pub(super) fn enqueue(
        &self,
        context: &Context,
        event: &AuditEvent,
        slot: Slot,
    ) -> Result<(EventId, Vec<watch::Receiver<Ack>>), AuditError> {
        let queue = &self.0.queue;
        let mut line = LINE.try_with(RefCell::take).unwrap_or_default();
        let written = self.0.format.write(&mut line, context, event);
        let pushed = written.and_then(|event_id| Ok((event_id, queue.push(&line, slot)?)));
        if let (Ok((event_id, _)), true) = (&pushed, event.is_refusal()) {
            let proven = event.is_of_proven(context);
            self.0.recent.keep((context.request_id, *event_id), &line, proven);
        }
        LINE.try_with(|buffer| buffer.replace(line)).ok();
        if let (Ok(_), Some(observers)) = (&pushed, self.0.observers.get()) {
            for observer in observers {
                observer.see(context, event);
            }
        }
        pushed.inspect_err(|_| match slot {
            Slot::Queue => queue.slots.add_permits(1),
            Slot::Reserved => queue.reserve.add_permits(1),
            Slot::Beside => {}
        })
    }

    pub(super) async fn acknowledged_in_time(
        &self,
        acks: Vec<watch::Receiver<Ack>>,
    ) -> Result<(), AuditError> {
        if acks.is_empty() && self.0.queue.is_failing() {
            return Err(AuditError::SinkFailing);
        }
        self.acknowledged(acks, tokio::time::Instant::now() + self.0.limit).await
    }

    async fn healthy_again(&self, deadline: tokio::time::Instant) -> Result<(), AuditError> {
        if self.0.on_failure == OnFailure::Deny {
            return Err(AuditError::SinkFailing);
        }
        let mut health = self.0.queue.health.subscribe();
        while self.0.queue.is_failing() {
            let changed = tokio::time::timeout_at(deadline, health.changed()).await;
            changed.map_err(|_| AuditError::SinkFailing)?.map_err(|_| AuditError::SinkFailing)?;
        }
        Ok(())
    }

    /// The slot is forgotten here and given back by the writer.
    async fn take_slot(
        &self,
        slots: &Semaphore,
        deadline: tokio::time::Instant,
    ) -> Result<(), AuditError> {
        use tokio::sync::TryAcquireError::{Closed, NoPermits};
        let slot = match (slots.try_acquire(), self.0.on_failure) {
            (Ok(slot), _) => slot,
            (Err(Closed), _) => return Err(AuditError::Closed),
            (Err(NoPermits), OnFailure::Deny) => return Err(AuditError::QueueFull),
            (Err(NoPermits), OnFailure::Block) => {
                let slot = tokio::time::timeout_at(deadline, slots.acquire()).await;
                slot.map_err(|_| AuditError::QueueFull)?.map_err(|_| AuditError::Closed)?
            }
        };
        slot.forget();
        Ok(())
    }

    async fn acknowledged(
        &self,
        acks: Vec<watch::Receiver<Ack>>,
        deadline: tokio::time::Instant,
    ) -> Result<(), AuditError> {
        let settled = |ack: &Ack| match (ack, self.0.on_failure) {
            (Ack::Pending, _) | (Ack::Failing, OnFailure::Block) => false,
            (Ack::Done, _) | (Ack::Failing, OnFailure::Deny) => true,
        };
        for mut ack in acks {
            match tokio::time::timeout_at(deadline, ack.wait_for(settled)).await {
                Ok(Ok(ack)) if *ack == Ack::Done => {}
                Ok(Ok(_)) => return Err(AuditError::SinkFailing),
                Ok(Err(_)) => return Err(AuditError::Closed),
                Err(_) if self.0.queue.is_failing() => return Err(AuditError::SinkFailing),
                Err(_) => return Err(AuditError::Timeout),
            }
        }
        Ok(())
    }
}

/// One writer for each sink.
fn start(queue: &Arc<Queue>, sinks: Vec<Sink>) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let lanes = queue.lanes().iter().cloned();
    let writers = sinks.into_iter().zip(lanes).map(|(sink, lane)| {
        let queue = Arc::clone(queue);
        let thread = std::thread::Builder::new().name("audit".to_owned());
        thread.spawn(move || writer::run(queue, lane, sink))
    });
    // Those that run already end with the queue.
    writers.collect::<Result<_, _>>().map_err(|error| {
        queue.close();
        OpenError::Thread(error)
    })
}

fn join(writers: Vec<JoinHandle<()>>) {
    for writer in writers {
        writer.join().ok();
    }
}

impl Inner {
    /// Of a queue that nobody writes out yet.
    fn new(queue: Arc<Queue>, format: LineFormat, on: (OnFailure, Duration)) -> Self {
        Self {
            strangers: Strangers::new(&format.clock),
            queue,
            format,
            on_failure: on.0,
            limit: on.1,
            recent: Recent::default(),
            files: Vec::new(),
            writers: Mutex::default(),
            observers: OnceLock::new(),
        }
    }

    fn take_writers(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.writers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An auditor that nobody closed still writes what it acknowledged.
impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        join(self.take_writers());
    }
}

#[cfg(test)]
mod tests;
