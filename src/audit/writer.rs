//! The thread that writes to one sink: takes batches, hands them to the sink, tries again until it took them.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Ack, Batch, Lane};
use super::queue::Queue;
use super::sink::Sink;

/// What an operator can do about a sink that takes no events.
const HINT: &str = "make room on its disk, and look at owner and mount of audit.sink.path; calls wait or are refused meanwhile";
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Marks the queue as dead when the thread ends, also by a panic: nobody waits for ever.
struct Ends(Arc<Queue>, Arc<Lane>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.writer_gone(&self.1);
    }
}

/// Runs until the queue is closed and the lane of this sink is empty.
pub(super) fn run(queue: Arc<Queue>, lane: Arc<Lane>, mut sink: Sink) {
    let ends = Ends(queue, lane);
    let (queue, lane) = (&*ends.0, &*ends.1);
    let mut batch = Batch::default();
    while queue.take(lane, &mut batch) {
        let result = deliver(queue, lane, &mut sink, &batch);
        queue.release(lane, &batch);
        batch.settle(result);
    }
    if let Err(error) = sink.sync() {
        tracing::error!(sink = sink.name(), %error, hint = HINT, "audit log not synced at its end");
    }
}

/// Gives `batch` to the sink.
///
/// `None`: the end was asked for and the sink still refuses; the lines are counted as not written.
fn deliver(queue: &Queue, lane: &Lane, sink: &mut Sink, batch: &Batch) -> Option<Ack> {
    let mut offset = 0;
    let mut pause = FIRST_PAUSE;
    let mut last_try = false;
    loop {
        if attempt(sink, batch, &mut offset) {
            queue.set_failing(lane, false);
            return Some(Ack::Done);
        }
        queue.set_failing(lane, true);
        if let Some(ack) = &batch.ack {
            ack.send_replace(Ack::Failing);
        }
        if last_try {
            lane.give_up(batch.count());
            return None;
        }
        last_try = lane.pause(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn attempt(sink: &mut Sink, batch: &Batch, offset: &mut usize) -> bool {
    let written = sink.write(&batch.lines, offset);
    let result = written.and_then(|()| if batch.ack.is_some() { sink.sync() } else { Ok(()) });
    if let Err(error) = &result {
        tracing::error!(sink = sink.name(), %error, hint = HINT, "audit sink refuses; trying again");
    }
    result.is_ok()
}
