//! Orphans: what a program has left behind becomes a child of the first process of its container, which may be this one. Whoever
//! has ended there and is not waited for keeps its number for ever, until there are none left.
//!
//! Only what comes to this process is waited for, as its first process (`PID 1`) or as somebody has arranged before it was
//! started (`PR_SET_CHILD_SUBREAPER`). It does not arrange that itself: elsewhere others do it, and nothing would be gained, for an
//! orphan does not say whose it was.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, getpid, waitid, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::tree::{Process, everybody};

/// For others to end, too, before it is looked who has.
const GATHER: Duration = Duration::from_millis(100);
/// Until it is looked again where a program was being started.
const AGAIN: Duration = Duration::from_secs(1);

/// Held by each start until its program is noted below: one that ends at once would be taken for an orphan. Starts do not wait for
/// each other, nor for who looks for orphans: one whose folder or program is on a disk that hangs waits there for long.
static STARTING: RwLock<()> = RwLock::new(());

/// The programs that this process has started itself. Whoever has the handle of one waits for it, or tokio does.
static OURS: Mutex<Vec<Started>> = Mutex::new(Vec::new());

/// A program as it was started.
#[derive(Clone, Copy, Debug)]
struct Started {
    id: i32,
    /// What tells it from others with this number. `None`: the system did not say.
    key: Option<(i32, u64)>,
}

impl Started {
    fn is(self, process: &Process) -> bool {
        self.id == process.id && self.key.is_none_or(|key| key == process.key())
    }

    /// Whether its number may still be its own.
    fn may_be_there(self) -> bool {
        match Process::read(self.id) {
            Some(now) => self.is(&now),
            // Nothing could be read, which may be for want of a file.
            None => Path::new(&format!("/proc/{}", self.id)).exists(),
        }
    }
}

fn ours() -> MutexGuard<'static, Vec<Started>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program. No other way: nobody else is to wait for it.
///
/// # Errors
///
/// Those of [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    noted(|| command.spawn())
}

fn noted(start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    ours().retain(|known| known.may_be_there());
    let child = start()?;
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let key = Process::read(id).map(|now| now.key());
        ours().push(Started { id, key });
    }
    Ok(child)
}

/// Waits for orphans as long as this process runs, where they come to it. Never ends.
pub async fn reap_orphans() -> Infallible {
    if adopts()
        && let Ok(mut ended) = signal(SignalKind::child())
    {
        loop {
            let looked =
                !has_any_ended() || tokio::task::spawn_blocking(reap).await.is_ok_and(|all| all);
            // Of those that were left nobody tells again.
            let again = async {
                if looked { std::future::pending().await } else { tokio::time::sleep(AGAIN).await }
            };
            tokio::select! {
                told = ended.recv() => if told.is_none() { break },
                () = again => continue,
            }
            tokio::time::sleep(GATHER).await;
        }
    }
    std::future::pending().await
}

/// Whether orphans become children of this process.
fn adopts() -> bool {
    #[cfg(target_os = "linux")]
    let arranged = rustix::process::child_subreaper().is_ok_and(|arranged| arranged.is_some());
    #[cfg(not(target_os = "linux"))]
    let arranged = false;
    getpid().is_init() || arranged
}

/// Whether any child has ended, whoever waits for it. None is waited for by this.
fn has_any_ended() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::All, look).is_ok_and(|found| found.is_some())
}

/// Waits for the orphans that have ended. `false`: a program was being started, and some are left.
fn reap() -> bool {
    for process in left_behind() {
        // While this is held nobody is started, so the number is its own until it is waited for. It is not waited for: that would
        // keep programs from being started.
        let _nobody_starts = match STARTING.try_write() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let ours = ours();
        if !ours.iter().any(|known| known.is(&process))
            && Process::read(process.id) == Some(process)
            && let Some(id) = Pid::from_raw(process.id)
        {
            let _it_is_gone = waitpid(Some(id), WaitOptions::NOHANG);
        }
    }
    true
}

/// Children that have ended, those that others wait for among them.
fn left_behind() -> Vec<Process> {
    let us = getpid().as_raw_nonzero().get();
    everybody().filter(|process| process.has_ended && process.parent == us).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// As whoever ends is, until tokio has waited for it.
    #[tokio::test]
    async fn what_was_started_here_is_left_to_who_has_its_handle() {
        let mut command = Command::new("/bin/sh");
        let mut child = spawn(command.args(["-c", "exit 7"])).unwrap();
        let id = i32::try_from(child.id().unwrap()).unwrap();
        while !left_behind().iter().any(|process| process.id == id) {
            tokio::task::yield_now().await;
        }
        reap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
    }

    /// A folder on a disk that hangs, say.
    #[tokio::test]
    async fn a_program_that_is_long_in_starting_keeps_no_other_from_it() {
        let (starts, started) = std::sync::mpsc::channel();
        let (go_on, waits) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Handle::current();
        let hangs = std::thread::spawn(move || {
            let _entered = runtime.enter();
            noted(|| {
                starts.send(()).unwrap();
                waits.recv().unwrap();
                Command::new("/bin/true").spawn()
            })
        });
        started.recv().unwrap();
        let (done, others) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            let child = spawn(&mut Command::new("/bin/true")).unwrap();
            let id = i32::try_from(child.id().unwrap()).unwrap();
            while !left_behind().iter().any(|process| process.id == id) {
                std::thread::yield_now();
            }
            let _nobody_waits = done.send((child, reap()));
        });
        let other = others.recv_timeout(Duration::from_secs(20));
        go_on.send(()).unwrap();
        let (mut child, reaped) = other.expect("another is started meanwhile");
        assert!(!reaped, "the first may have ended, and is not noted yet");
        child.wait().await.unwrap();
        hangs.join().unwrap().unwrap().wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_number_is_noted_as_long_as_it_is_that_programs() {
        let noted = |id: i32| ours().iter().filter(|known| known.id == id).count();
        let mut child = spawn(&mut Command::new("/bin/true")).unwrap();
        let id = i32::try_from(child.id().unwrap()).unwrap();
        assert_eq!(noted(id), 1);
        child.wait().await.unwrap();
        spawn(&mut Command::new("/bin/true")).unwrap().wait().await.unwrap();
        assert_eq!(noted(id), 0);
        // Another with its number, and one of which the beginning is not known.
        let other = Process::read(1).unwrap();
        let ours = Process::read(getpid().as_raw_nonzero().get()).unwrap();
        for (key, is) in [(Some(ours.key()), true), (Some(other.key()), false), (None, true)] {
            assert_eq!(Started { id: ours.id, key }.is(&ours), is, "{key:?}");
        }
    }
}
