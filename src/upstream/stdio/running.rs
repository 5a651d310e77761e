//! One run of a child process, as its callers see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, watch};

use super::desk::{Desk, Heard, Owner, Ticket};
use super::fault::ChildFault;
use super::greet::Greeting;
use super::wire::{self, Asked};

/// Lines that wait for the child to read them.
const QUEUE: usize = 64;

/// One run. It is over for good when its phase says so.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) desk: Desk,
    /// A caller heard nothing: does it still live?
    pub(super) doubted: Notify,
    queue: mpsc::Sender<Bytes>,
    phase: watch::Sender<Phase>,
    most_calls: usize,
}

/// How far a run is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Starting,
    Ready(Arc<Greeting>),
    Over(ChildFault),
}

impl Running {
    /// A run, and the lines that its child is to be sent.
    pub(super) fn new(most_calls: usize) -> (Self, mpsc::Receiver<Bytes>) {
        let (queue, lines) = mpsc::channel(QUEUE);
        let (desk, doubted, phase) =
            (Desk::default(), Notify::new(), watch::Sender::new(Phase::Starting));
        (Self { desk, doubted, queue, phase, most_calls }, lines)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Over(_))
    }

    /// What the child is, once it is ready.
    ///
    /// # Errors
    ///
    /// [`ChildFault`]: it will not be.
    pub(super) async fn ready(&self) -> Result<Arc<Greeting>, ChildFault> {
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
        match settled.as_deref() {
            Ok(Phase::Ready(greeting)) => Ok(Arc::clone(greeting)),
            Ok(Phase::Over(fault)) => Err(*fault),
            Ok(Phase::Starting) | Err(_) => Err(ChildFault::Ended),
        }
    }

    pub(super) fn is_ready(&self, greeting: Arc<Greeting>) {
        self.phase.send_replace(Phase::Ready(greeting));
    }

    /// Nobody gets an answer any more. The first reason stays.
    pub(super) fn end(&self, fault: ChildFault) {
        self.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Over(_));
            if first {
                *phase = Phase::Over(fault);
            }
            first
        });
        self.desk.close(fault);
    }

    /// Sends a line, as soon as there is room for it.
    pub(super) async fn tell(&self, line: Bytes) {
        let _nobody_reads = self.queue.send(line).await;
    }

    /// Sends a line if there is room for it.
    pub(super) fn mention(&self, line: Bytes) {
        let _no_room = self.queue.try_send(line);
    }

    /// A request of our own; gives the whole answer.
    ///
    /// # Errors
    ///
    /// [`ChildFault`]; waits for as long as the run lasts.
    pub(super) async fn ask(&self, method: &str, params: &Value) -> Result<Bytes, ChildFault> {
        let ticket = Ticket { owner: None, id: RawValue::NULL.to_owned(), listens: false };
        let (number, mut heard) = self.desk.open(ticket, self.most_calls)?;
        let line = wire::own_request(number, method, params).ok_or(ChildFault::Garbage)?;
        self.tell(line).await;
        loop {
            match heard.recv().await {
                Some(Heard::Answer(answer)) => return Ok(answer),
                Some(Heard::Failed(fault)) => return Err(fault),
                Some(Heard::Note(_)) => {}
                None => return Err(ChildFault::Ended),
            }
        }
    }

    /// A caller's request. `None` where its parameters are no object.
    ///
    /// # Errors
    ///
    /// [`ChildFault::Busy`], [`ChildFault::Ended`]; [`ChildFault::Silent`] where the child does not read for `limit`.
    pub(super) async fn call(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        owner: Owner,
        limit: Duration,
    ) -> Result<Option<Spoken>, ChildFault> {
        let Some(id) = asked.id else { return Ok(None) };
        let listens = asked.method == "subscriptions/listen";
        let ticket = Ticket { owner: Some(owner), id: id.to_owned(), listens };
        let (number, heard) = self.desk.open(ticket, self.most_calls)?;
        let spoken = Spoken { running: Arc::clone(self), number, heard, first: None, over: false };
        let Some((line, token)) = asked.request(number) else { return Ok(None) };
        if let Some(token) = token {
            self.desk.progresses(number, token);
        }
        match tokio::time::timeout(limit, self.queue.send(line)).await {
            Ok(Ok(())) => Ok(Some(spoken)),
            Ok(Err(_)) => Err(ChildFault::Ended),
            Err(_elapsed) => {
                self.doubted.notify_one();
                Err(ChildFault::Silent)
            }
        }
    }

    /// A caller's own cancellation of one of its calls.
    pub(super) fn cancel(&self, owner: &Owner, id: &RawValue) {
        if let Some(number) = self.desk.find(owner, id) {
            self.desk.cancelled(number);
            self.mention(wire::cancelled(number));
        }
    }
}

/// What is heard of one call. Dropped before its answer, the child is told that nobody waits any more.
#[derive(Debug)]
pub(in crate::upstream) struct Spoken {
    running: Arc<Running>,
    number: u64,
    heard: mpsc::Receiver<Heard>,
    /// Heard already, to know what is coming.
    first: Option<Bytes>,
    over: bool,
}

impl Spoken {
    /// Waits for the first message; whether it is the answer, or others come before it.
    ///
    /// # Errors
    ///
    /// [`ChildFault`]
    pub(super) async fn begin(&mut self, limit: Duration) -> Result<bool, ChildFault> {
        self.first = self.next(limit).await?;
        Ok(self.over)
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ChildFault`]: the call failed, or nothing was heard within `limit`.
    pub(in crate::upstream) async fn next(
        &mut self,
        limit: Duration,
    ) -> Result<Option<Bytes>, ChildFault> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.over {
            return Ok(None);
        }
        let Ok(heard) = tokio::time::timeout(limit, self.heard.recv()).await else {
            self.running.doubted.notify_one();
            return Err(ChildFault::Silent);
        };
        match heard {
            Some(Heard::Note(note)) => Ok(Some(note)),
            Some(Heard::Answer(answer)) => {
                self.over = true;
                Ok(Some(answer))
            }
            Some(Heard::Failed(fault)) => {
                self.over = true;
                Err(fault)
            }
            None => {
                self.over = true;
                Ok(None)
            }
        }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        if !self.over && self.running.desk.leave(self.number) {
            self.running.mention(wire::cancelled(self.number));
        }
    }
}
