//! A log whose writer does not come back.

use super::*;
use crate::audit::lane::{Batch, Lane};
use crate::id::{RequestId, TraceId};
use crate::random::SystemRandom;
use crate::time::{FixedClock, SystemClock, Timestamp};

/// An auditor for two events whose writer never comes.
fn stuck(on_failure: OnFailure) -> Auditor {
    stuck_by(on_failure, Arc::new(SystemClock), 2)
}

fn stuck_by(on_failure: OnFailure, clock: Arc<dyn Clock>, length: usize) -> Auditor {
    let queue = Arc::new(Queue::new(length, [false], Arc::clone(&clock)));
    let format = LineFormat {
        service: "mcp-auth-broker".into(),
        environment: "dev",
        clock,
        random: Arc::new(SystemRandom::new()),
    };
    let limit = Duration::from_millis(20);
    Auditor(Arc::new(Inner::new(queue, format, (on_failure, limit))))
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

/// A writer that took what waits, and does not come back from its sink.
fn taken(auditor: &Auditor) -> (Arc<Lane>, Batch) {
    let (queue, mut batch) = (&auditor.0.queue, Batch::default());
    let lane = Arc::clone(queue.lanes().first().unwrap());
    assert!(queue.take(&lane, &mut batch));
    (lane, batch)
}

#[tokio::test]
async fn a_writer_that_does_not_come_back_is_a_sink_that_fails_until_it_does() {
    let clock = Arc::new(FixedClock::at(Timestamp::default()));
    let auditor = stuck_by(OnFailure::Deny, clock.clone(), 100);
    record(&auditor).await.unwrap();
    let (lane, batch) = taken(&auditor);
    clock.advance(Duration::from_millis(4_900));
    assert_eq!((record(&auditor).await, auditor.status().healthy), (Ok(()), true));
    clock.advance(Duration::from_millis(200));
    assert_eq!(record(&auditor).await, Err(AuditError::SinkFailing));
    let AuditStatus { healthy, waiting, .. } = auditor.status();
    assert_eq!((healthy, waiting), (false, 2));
    auditor.0.queue.release(&lane, &batch);
    assert_eq!((record(&auditor).await, auditor.status().healthy), (Ok(()), true));
}

#[tokio::test]
async fn where_there_is_no_room_a_second_is_enough() {
    let clock = Arc::new(FixedClock::at(Timestamp::default()));
    let auditor = stuck_by(OnFailure::Deny, clock.clone(), 2);
    record(&auditor).await.unwrap();
    let _held = taken(&auditor);
    clock.advance(Duration::from_millis(1_100));
    assert!(auditor.status().healthy);
    record(&auditor).await.unwrap();
    assert!(!auditor.status().healthy);
}

#[tokio::test]
async fn a_caller_blocked_by_a_writer_goes_on_when_it_comes_back() {
    let clock = Arc::new(FixedClock::at(Timestamp::default()));
    let mut auditor = stuck_by(OnFailure::Block, clock.clone(), 100);
    Arc::get_mut(&mut auditor.0).unwrap().limit = Duration::from_secs(30);
    record(&auditor).await.unwrap();
    let (lane, batch) = taken(&auditor);
    clock.advance(Duration::from_secs(6));
    let mut second = Box::pin(record(&auditor));
    assert!(futures_util::poll!(&mut second).is_pending());
    auditor.0.queue.release(&lane, &batch);
    assert_eq!(second.await, Ok(()));
}

/// What one sink has is no room yet while another one lacks it.
#[tokio::test]
async fn room_is_given_back_when_every_sink_has_the_line() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let queue = Queue::new(2, [false, false], clock);
    queue.slots.try_acquire().unwrap().forget();
    queue.push(b"a line\n", Slot::Queue).unwrap();
    let mut lanes = queue.lanes().iter();
    for room in [1, 2] {
        let (lane, mut batch) = (lanes.next().unwrap(), Batch::default());
        assert!(queue.take(lane, &mut batch));
        assert_eq!(batch.lines, b"a line\n");
        queue.release(lane, &batch);
        assert_eq!(queue.slots.available_permits(), room);
    }
}
