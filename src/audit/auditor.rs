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
use super::line::LineFormat;
use super::queue::{Ack, Queue, Slot};
use super::recent::Recent;
use super::sink::SinkSettings;
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
    pub sinks: Vec<SinkSettings>,
    pub service: Arc<str>,
    /// `dev`, `staging` or `prod`.
    pub environment: &'static str,
}

/// How the log is, for `/ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AuditStatus {
    /// False while a sink fails and after the end: every request would be refused with `broker.unavailable`.
    pub healthy: bool,
    /// Events that wait to be written, roughly.
    pub waiting: usize,
    /// Events that could not be written before the end; zero while the log runs.
    pub not_written: usize,
}

/// The audit log. Clones share one queue and one writer thread.
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
    writer: Mutex<Option<JoinHandle<()>>>,
    observers: OnceLock<Vec<Arc<dyn Observer>>>,
}

/// Sees every event that is recorded, as it is queued: what is counted cannot say something else than the log.
///
/// Called on the way of the request: it waits for nothing.
pub trait Observer: Send + Sync + std::fmt::Debug {
    fn see(&self, context: &Context, event: &AuditEvent);
}

impl Auditor {
    /// Opens every sink and starts the writer thread. Needs no runtime.
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
        let durable = sinks.iter().any(SinkSettings::is_durable);
        let strangers = Strangers::new(&clock);
        let format = LineFormat { service, environment, clock, random };
        let files = sinks.iter().filter_map(SinkSettings::path).cloned().collect();
        let sinks = sinks.into_iter().map(|sink| sink.open(&format));
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
        let queue = Arc::new(Queue::new(queue_length, durable));
        let for_writer = Arc::clone(&queue);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer::run(for_writer, sinks))
            .map_err(OpenError::Thread)?;
        let writer = Mutex::new(Some(writer));
        let observers = OnceLock::new();
        let recent = Recent::default();
        Ok(Self(Arc::new(Inner {
            queue,
            format,
            on_failure,
            limit,
            strangers,
            recent,
            files,
            writer,
            observers,
        })))
    }

    /// From now on `observers` see every event. The first ones stay.
    pub fn observe(&self, observers: Vec<Arc<dyn Observer>>) {
        self.0.observers.set(observers).ok();
    }

    /// Keeps one event, and gives its id. `Ok` means: it will be in every sink, and is on disk where a sink is durable.
    ///
    /// Without a durable sink a killed process loses what it acknowledged in its last milliseconds.
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
        let (event_id, ack) = self.enqueue(context, &event, Slot::Queue)?;
        if let Some(ack) = ack {
            self.acknowledged(ack, deadline).await?;
        }
        Ok(event_id)
    }

    /// Waits until everything recorded so far is written and synced.
    ///
    /// # Errors
    ///
    /// [`AuditError::SinkFailing`] or [`AuditError::Timeout`]: not within the limit.
    pub async fn flush(&self) -> Result<(), AuditError> {
        let ack = self.0.queue.barrier()?;
        self.acknowledged(ack, tokio::time::Instant::now() + self.0.limit).await
    }

    /// Refuses new events, writes what waits, syncs and joins the writer thread. Call it last: after
    /// it, a dropped [`super::TerminalGuard`] has nowhere to write to.
    ///
    /// # Errors
    ///
    /// [`AuditError::NotWritten`] when a sink still failed at the end; [`AuditError::Timeout`] when the
    /// writer hangs in a sink, and is left behind.
    pub async fn close(&self, limit: Duration) -> Result<(), AuditError> {
        self.0.queue.close();
        let writer = self.0.take_writer();
        let mut ended = self.0.queue.ended.subscribe();
        timeout(limit, ended.wait_for(|ended| *ended)).await.map_err(|_| AuditError::Timeout)?.ok();
        if let Some(writer) = writer {
            writer.join().ok();
        }
        match self.0.queue.not_written() {
            0 => Ok(()),
            lines => Err(AuditError::NotWritten { lines }),
        }
    }

    #[must_use]
    pub fn status(&self) -> AuditStatus {
        let queue = &self.0.queue;
        AuditStatus {
            healthy: !queue.is_failing() && !queue.has_ended(),
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
    ) -> Result<(EventId, Option<watch::Receiver<Ack>>), AuditError> {
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
        })
    }

    pub(super) async fn acknowledged_in_time(
        &self,
        ack: Option<watch::Receiver<Ack>>,
    ) -> Result<(), AuditError> {
        match ack {
            Some(ack) => self.acknowledged(ack, tokio::time::Instant::now() + self.0.limit).await,
            None if self.0.queue.is_failing() => Err(AuditError::SinkFailing),
            None => Ok(()),
        }
    }

    async fn healthy_again(&self, deadline: tokio::time::Instant) -> Result<(), AuditError> {
        if self.0.on_failure == OnFailure::Deny {
            return Err(AuditError::SinkFailing);
        }
        let mut health = self.0.queue.health.subscribe();
        let healthy = health.wait_for(|healthy| *healthy);
        match tokio::time::timeout_at(deadline, healthy).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(AuditError::SinkFailing),
        }
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
        mut ack: watch::Receiver<Ack>,
        deadline: tokio::time::Instant,
    ) -> Result<(), AuditError> {
        let settled = |ack: &Ack| match (ack, self.0.on_failure) {
            (Ack::Pending, _) | (Ack::Failing, OnFailure::Block) => false,
            (Ack::Done, _) | (Ack::Failing, OnFailure::Deny) => true,
        };
        match tokio::time::timeout_at(deadline, ack.wait_for(settled)).await {
            Ok(Ok(ack)) if *ack == Ack::Done => Ok(()),
            Ok(Ok(_)) => Err(AuditError::SinkFailing),
            Ok(Err(_)) => Err(AuditError::Closed),
            Err(_) if self.0.queue.is_failing() => Err(AuditError::SinkFailing),
            Err(_) => Err(AuditError::Timeout),
        }
    }
}

impl Inner {
    fn take_writer(&self) -> Option<JoinHandle<()>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An auditor that nobody closed still writes what it acknowledged.
impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.take_writer() {
            writer.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RequestId, TraceId};
    use crate::random::SystemRandom;
    use crate::time::SystemClock;

    /// An auditor for two events whose writer never comes.
    fn stuck(on_failure: OnFailure) -> Auditor {
        let format = LineFormat {
            service: "mcp-auth-broker".into(),
            environment: "dev",
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom::new()),
        };
        let queue = Arc::new(Queue::new(2, false));
        let limit = Duration::from_millis(20);
        let strangers = Strangers::new(&format.clock);
        let writer = Mutex::new(None);
        let observers = OnceLock::new();
        let (recent, files) = (Recent::default(), Vec::new());
        Auditor(Arc::new(Inner {
            queue,
            format,
            on_failure,
            limit,
            strangers,
            recent,
            files,
            writer,
            observers,
        }))
    }

    async fn record(auditor: &Auditor) -> Result<(), AuditError> {
        let random = SystemRandom::new();
        let context = Context {
            request_id: RequestId::generate(&SystemClock, &random),
            trace_id: TraceId::generate(&random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let event = AuditEvent::ConfigReload {
            policy_version: "1".into(),
            previous_version: "0".into(),
            shadow_policy_version: None,
        };
        auditor.record(&context, event).await.map(drop)
    }

    #[tokio::test]
    async fn a_full_queue_denies_at_once_or_after_the_limit_and_drops_nothing() {
        for on_failure in [OnFailure::Deny, OnFailure::Block] {
            let auditor = stuck(on_failure);
            assert_eq!((record(&auditor).await, record(&auditor).await), (Ok(()), Ok(())));
            assert_eq!(record(&auditor).await, Err(AuditError::QueueFull));
            assert_eq!(auditor.status().waiting, 2);
        }
    }

    #[tokio::test]
    async fn a_caller_blocked_by_a_full_queue_goes_on_when_there_is_room() {
        let mut auditor = stuck(OnFailure::Block);
        Arc::get_mut(&mut auditor.0).unwrap().limit = Duration::from_secs(30);
        record(&auditor).await.unwrap();
        record(&auditor).await.unwrap();
        let mut third = Box::pin(record(&auditor));
        assert!(futures_util::poll!(&mut third).is_pending());
        auditor.0.queue.slots.add_permits(1);
        assert_eq!(third.await, Ok(()));
    }
}
