//! The one thread that writes: takes batches, hands them to every sink, tries again until they took it.

use std::sync::Arc;
use std::time::Duration;

use super::queue::{Ack, Batch, Queue};
use super::sink::Sink;

/// What an operator can do about a sink that takes no events.
const HINT: &str = "make room on its disk, and look at owner and mount of audit.sink.path; calls wait or are refused meanwhile";
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Marks the queue as dead when the thread ends, also by a panic: nobody waits for ever.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.writer_gone();
    }
}

/// Runs until the queue is closed and empty.
pub(super) fn run(queue: Arc<Queue>, mut sinks: Vec<Sink>) {
    let ends = Ends(queue);
    let queue = &*ends.0;
    let mut batch = Batch::default();
    while queue.take(&mut batch) {
        let result = deliver(queue, &mut sinks, &batch);
        queue.release(&batch);
        batch.settle(result);
    }
    for sink in &mut sinks {
        if let Err(error) = sink.sync() {
            tracing::error!(sink = sink.name(), %error, hint = HINT, "audit log not synced at its end");
        }
    }
}

/// Gives `batch` to every sink. A sink that took it is not asked again while another one fails.
///
/// `None`: the end was asked for and a sink still refuses; the lines are counted as not written.
fn deliver(queue: &Queue, sinks: &mut [Sink], batch: &Batch) -> Option<Ack> {
    let mut offsets = vec![0; sinks.len()];
    let mut pause = FIRST_PAUSE;
    let mut last_try = false;
    loop {
        if attempt(sinks, batch, &mut offsets) {
            queue.set_failing(false);
            return Some(Ack::Done);
        }
        queue.set_failing(true);
        if let Some(ack) = &batch.ack {
            ack.send_replace(Ack::Failing);
        }
        if last_try {
            queue.give_up(batch.queued + batch.reserved);
            return None;
        }
        last_try = queue.pause(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn attempt(sinks: &mut [Sink], batch: &Batch, offsets: &mut [usize]) -> bool {
    let asked = batch.ack.is_some();
    let mut whole = true;
    for (sink, offset) in sinks.iter_mut().zip(offsets) {
        let written = sink.write(&batch.lines, offset);
        let result = written.and_then(|()| if asked { sink.sync() } else { Ok(()) });
        if let Err(error) = result {
            tracing::error!(sink = sink.name(), %error, hint = HINT, "audit sink refuses; trying again");
            whole = false;
        }
    }
    whole
}
