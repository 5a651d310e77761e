//! Work that keeps a core busy for a while and is in no hurry: on a thread of its own that gives way to every other one.
//!
//! The blocking threads of tokio are as important as those that answer requests: 0.2 s on one of them is 0.2 s in which half of a
//! machine with two cores answers nobody. A low priority alone would not do: since Linux 6.6 whoever runs keeps its core for up to
//! 3 ms, however low. What is idle gives it back at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;

/// How long it gives way. On a machine that is never idle it would else never be done.
const GIVES_WAY: Duration = Duration::from_millis(500);

/// The work ended without an answer: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a background thread ended without an answer")]
pub struct Panicked;

/// Does `job` on a thread called `name` (15 bytes are shown) that runs where nothing else does. Nobody waits for it, and nothing
/// stops it but the end of the process.
///
/// # Errors
///
/// The system has no thread to give.
pub fn spawn(name: &str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let polite = move || {
        // Best effort: without it, it is as fast and less polite.
        let _ = set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Min,
            ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
        );
        job();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(polite).map(drop)
}

/// Does `job` as [`spawn`] does, and waits for what it answers. Where that is not there within half a second, it is done once more on a
/// thread as important as all others, and the first answer counts; while such a thread has yet to end, everything is done so at once. A
/// caller that goes away stops none.
///
/// # Errors
///
/// The system has no thread to give, or `job` panicked ([`Panicked`], as [`io::ErrorKind::Other`]).
pub async fn run<T: Send + 'static>(
    name: &str,
    job: impl Fn() -> T + Send + Sync + 'static,
) -> io::Result<T> {
    within((GIVES_WAY, &STARVED), name, job).await
}

async fn within<T: Send + 'static>(
    (gives_way, starved): (Duration, &'static AtomicUsize),
    name: &str,
    job: impl Fn() -> T + Send + Sync + 'static,
) -> io::Result<T> {
    let job = Arc::new(job);
    let (work, hurried) = answering(Arc::clone(&job));
    // Where one never has its turn the next would not either, and each keeps what it works with.
    if starved.load(Ordering::Relaxed) > 0 {
        hurry(name, work)?;
        return hurried.await.map_err(|_| io::Error::other(Panicked));
    }
    let turn = Arc::new(AtomicU8::new(RUNS));
    let (first, mut answer) = answering(job);
    let ends = Ends(Arc::clone(&turn), starved);
    spawn(name, move || {
        let _ends = ends;
        first();
    })?;
    if let Ok(done) = tokio::time::timeout(gives_way, &mut answer).await {
        return done.map_err(|_| io::Error::other(Panicked));
    }
    if turn.compare_exchange(RUNS, WAITS, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        starved.fetch_add(1, Ordering::Relaxed);
    }
    hurry(name, work)?;
    let done = tokio::select! {
        done = answer => done,
        done = hurried => done,
    };
    done.map_err(|_| io::Error::other(Panicked))
}

/// On a thread as important as all others.
fn hurry(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Threads that did not have their turn in time, and are not at their end yet.
static STARVED: AtomicUsize = AtomicUsize::new(0);
const RUNS: u8 = 0;
/// It is one of those.
const WAITS: u8 = 1;
const ENDED: u8 = 2;

/// The end of a thread, however it ends.
struct Ends(Arc<AtomicU8>, &'static AtomicUsize);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0.swap(ENDED, Ordering::Relaxed) == WAITS {
            self.1.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answering<T: Send + 'static>(
    job: Arc<impl Fn() -> T + Send + Sync + 'static>,
) -> (impl FnOnce() + Send + 'static, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let work = move || {
        // An error is a caller that is gone.
        let _ = reply.send(job());
    };
    (work, answer)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use thread_priority::thread_schedule_policy;

    use super::*;

    const IDLE: ThreadSchedulePolicy =
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

    fn nobody_starves() -> &'static AtomicUsize {
        Box::leak(Box::default())
    }

    #[tokio::test]
    async fn a_job_gives_way_and_the_others_do_not() {
        let patient = (Duration::from_mins(1), nobody_starves());
        let inside = within(patient, "test", || thread_schedule_policy().unwrap()).await.unwrap();
        assert_eq!(inside, IDLE);
        assert_ne!(thread_schedule_policy().unwrap(), IDLE);
    }

    #[tokio::test]
    async fn what_never_has_its_turn_is_done_with_everybody_elses_priority_and_so_is_what_follows()
    {
        let (end, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let job = move || {
            let policy = thread_schedule_policy().unwrap();
            if policy == IDLE {
                let _ended = held.lock().unwrap().recv();
            }
            policy
        };
        let starved = nobody_starves();
        assert_ne!(within((Duration::ZERO, starved), "test", job).await.unwrap(), IDLE);
        let policy = || thread_schedule_policy().unwrap();
        let patient = (Duration::from_mins(1), starved);
        assert_ne!(within(patient, "test", policy).await.unwrap(), IDLE);
        drop(end);
        while starved.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(within(patient, "test", policy).await.unwrap(), IDLE);
    }

    #[tokio::test]
    async fn a_job_that_panics_is_an_error() {
        let ended = run("test", || panic!("on purpose")).await;
        assert_eq!(ended.map_err(|error| error.to_string()), Err::<(), _>(Panicked.to_string()));
    }
}
