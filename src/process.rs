//! Programs that this process starts: no shell, nothing inherited, and a process group that ends with them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Where programs are looked for, whatever the environment of this process says.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program with the whole of its environment. It leads a process group of its own, has pipes for its output, and dies
/// when its handle is dropped.
///
/// Nothing is inherited but what `environment` says; file descriptors of ours close themselves (`O_CLOEXEC`). Not a
/// sandbox: the program runs as the same user, and can read what that user can read.
pub fn command<'a>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
    environment: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
    directory: &Path,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Keeps programs of the same user, those above among them, from reading our memory and our environment (`ptrace`,
/// `/proc/<pid>/environ`), and the system from writing either into a core dump. Not from root.
///
/// # Errors
///
/// Those of `prctl(PR_SET_DUMPABLE)`. Where there is no such thing (outside Linux), nothing happens.
pub fn hide() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Keeps the system from writing the memory of a program, with its secrets, into a file. Best effort: it may be over already.
pub fn without_core_dumps(child: &Child) {
    #[cfg(target_os = "linux")]
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        use rustix::process::{Resource, Rlimit, prlimit};

        let none = Rlimit { current: Some(0), maximum: Some(0) };
        let _it_has_ended = prlimit(Some(id), Resource::Core, none);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = child;
}

/// The process group that a program leads. Killed on drop, so that nothing it started outlives it, but what has left the
/// group (`setsid`).
///
/// The leader may have been reaped by then and its number be free again; Linux hands numbers out in a circle, so it cannot
/// belong to another group within the few instructions in between: drop this right after the leader was waited for.
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// Of a program that was started by [`command`] and was not waited for yet.
    #[must_use]
    pub fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks everybody in it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails when nobody is left, which is what we want.
            let _nobody_left = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_hidden_process_is_not_dumpable() {
        super::hide().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
