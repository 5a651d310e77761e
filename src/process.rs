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

/// The signal that ends a program which has used [`Limits::cpu_seconds`].
pub const CPU_USED_UP: i32 = Signal::XCPU.as_raw();

/// What each process of a program may take. Not what all of them together do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// That it can write to: heap, stacks and private mappings (`RLIMIT_DATA`).
    pub memory_bytes: u64,
    pub open_files: u64,
    /// Over its whole life. `None`: no limit.
    pub cpu_seconds: Option<u64>,
}

/// Limits a program that has just been started, and all that it starts from now on; and keeps it from core dumps.
///
/// The kernel keeps them, so there is no way around, but for what the program has done within the moment since its start. A limit is
/// never wider than our own.
///
/// # Errors
///
/// Those of `prlimit`: for a program that runs as another user (`setuid`). Not where it is over already. Outside Linux there
/// are no limits.
pub fn limit(child: &Child, limits: &Limits) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

        without_core_dumps(child);
        let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
        else {
            return Ok(());
        };
        // A second signal kills a program that passes over the first.
        let cpu = limits.cpu_seconds.map(|seconds| (Resource::Cpu, seconds, seconds + 5));
        let each = [
            (Resource::Data, limits.memory_bytes, limits.memory_bytes),
            (Resource::Nofile, limits.open_files, limits.open_files),
        ];
        for (resource, current, maximum) in each.into_iter().chain(cpu) {
            let ours = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            let (current, maximum) = (Some(current.min(ours)), Some(maximum.min(ours)));
            match prlimit(Some(id), resource, Rlimit { current, maximum }) {
                Ok(_) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (child, limits);
    Ok(())
}

/// How many threads there are in all, as the system counts them. `None`: it does not say.
#[must_use]
pub fn threads_of_all() -> Option<u64> {
    let said = std::fs::read_to_string("/proc/loadavg").ok()?;
    said.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// Counts the processes of a group.
#[derive(Clone, Copy, Debug)]
pub struct Census(Option<Pid>);

impl Census {
    /// Those that are in it at this moment; 0 where the system does not say. Reads a file for each process of the machine.
    #[must_use]
    pub fn count(self) -> usize {
        let Some(group) = self.0.map(|group| group.as_raw_nonzero().to_string()) else { return 0 };
        let Ok(all) = std::fs::read_dir("/proc") else { return 0 };
        let is_in_it = |entry: &std::fs::DirEntry| {
            let number = entry.file_name();
            if !number.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                return false;
            }
            let said = std::fs::read(entry.path().join("stat")).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            // After its name, which may hold anything: state, parent, group (proc_pid_stat(5)).
            let fields = said.rsplit_once(") ").map(|(_, fields)| fields);
            fields.and_then(|fields| fields.split(' ').nth(2)) == Some(group.as_str())
        };
        all.flatten().filter(is_in_it).count()
    }
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

    /// Who counts those in it.
    #[must_use]
    pub const fn census(&self) -> Census {
        Census(self.0)
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
