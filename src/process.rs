//! Programs that this process starts: no shell, nothing inherited, and a process group that ends with them.

mod orphans;
mod tree;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub use orphans::{reap_orphans, spawn};

/// Where programs are looked for, whatever the environment of this process says.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program with the whole of its environment, for [`spawn`]. It leads a process group of its own, has pipes for its output, and
/// dies when its handle is dropped.
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
/// The kernel keeps them, so there is no way around, but for what the program has done within the moment since its start: what it
/// started until then is limited by [`Census::limit`]. A limit is never wider than our own.
///
/// # Errors
///
/// Those of `prlimit`: for a program that runs as another user (`setuid`). Not where it is over already. Outside Linux there
/// are no limits.
pub fn limit(child: &Child, limits: &Limits) -> std::io::Result<()> {
    without_core_dumps(child);
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    id.map_or(Ok(()), |id| limit_one(id, limits))
}

fn limit_one(id: Pid, limits: &Limits) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

        // A second signal kills a program that passes over the first.
        let cpu = limits.cpu_seconds.map(|seconds| (Resource::Cpu, seconds, seconds + 5));
        let each = [
            (Resource::Data, limits.memory_bytes, limits.memory_bytes),
            (Resource::Nofile, limits.open_files, limits.open_files),
        ];
        let its_own = Held::read(id);
        for (resource, current, maximum) in each.into_iter().chain(cpu) {
            let ours = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            let (its_current, its_maximum) = its_own.of(resource);
            let current = Some(current.min(ours).min(its_current));
            let maximum = Some(maximum.min(ours).min(its_maximum));
            match prlimit(Some(id), resource, Rlimit { current, maximum }) {
                Ok(_) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (id, limits);
    Ok(())
}

/// The limits that a process has already: it may have chosen less for itself, and is never given more.
#[cfg(target_os = "linux")]
struct Held(String);

#[cfg(target_os = "linux")]
impl Held {
    fn read(id: Pid) -> Self {
        let path = format!("/proc/{}/limits", id.as_raw_nonzero());
        Self(std::fs::read_to_string(path).unwrap_or_default())
    }

    /// The soft and the hard one; without an end where the system does not say.
    fn of(&self, resource: rustix::process::Resource) -> (u64, u64) {
        use rustix::process::Resource;

        let name = match resource {
            Resource::Data => "Max data size",
            Resource::Nofile => "Max open files",
            Resource::Cpu => "Max cpu time",
            _ => return (u64::MAX, u64::MAX),
        };
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let mut each = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
        let mut next = || each.next().unwrap_or(u64::MAX);
        (next(), next())
    }
}

/// How many threads there are in all, as the system counts them. `None`: it does not say.
#[must_use]
pub fn threads_of_all() -> Option<u64> {
    let said = std::fs::read_to_string("/proc/loadavg").ok()?;
    said.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// Finds the processes of a group, and what they have started that has left it (`setsid`), as long as whoever started it runs.
/// Reads a file for each process of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Census(Option<Pid>);

/// How often it is looked for what was started meanwhile.
const ROUNDS: usize = 100;

impl Census {
    fn all(self) -> Vec<tree::Process> {
        self.0.map(|leader| tree::of(leader.as_raw_nonzero().get())).unwrap_or_default()
    }

    /// How many there are at this moment; 0 where the system does not say.
    #[must_use]
    pub fn count(self) -> usize {
        // Where nobody waits for orphans, as in a container, those that have ended stay in the list.
        self.all().iter().filter(|process| !process.has_ended).count()
    }

    /// Limits what the program started before it was limited itself: whatever a limited one starts is limited.
    ///
    /// # Errors
    ///
    /// As of [`limit`]; and where others are started faster than they can be limited.
    pub fn limit(self, limits: &Limits) -> std::io::Result<()> {
        // The leader was limited before.
        let mut known: HashSet<i32> =
            self.0.map(|leader| leader.as_raw_nonzero().get()).into_iter().collect();
        for _ in 0..ROUNDS {
            let mut new = self.all();
            new.retain(|process| known.insert(process.id));
            if new.is_empty() {
                return Ok(());
            }
            for id in new.iter().filter_map(|process| Pid::from_raw(process.id)) {
                limit_one(id, limits)?;
            }
        }
        Err(std::io::Error::other("it starts processes faster than they can be limited"))
    }

    /// Stops all of them where they are, so that nobody is left who could start another, and says who they are.
    ///
    /// In rounds, until nobody new is found. A line of descent that goes on meanwhile is followed to its end: whoever is stopped
    /// starts nobody more, and who it has started by then is next.
    #[must_use]
    pub fn halt(self) -> Strays {
        let (mut known, mut found) = (HashSet::new(), Vec::new());
        for _ in 0..ROUNDS {
            // The system does this at once, so that nobody of the group starts another in between.
            if let Some(group) = self.0 {
                let _nobody_left = kill_process_group(group, Signal::STOP);
            }
            let mut new = self.all();
            new.retain(|process| !process.has_ended && known.insert(process.key()));
            if new.is_empty() {
                break;
            }
            while let Some(process) = new.pop() {
                process.signal(Signal::STOP);
                let children = process.children().into_iter();
                new.extend(children.filter(|child| known.insert(child.key())));
                found.push(process);
            }
        }
        Strays(found)
    }

    /// Those that have left the group: as soon as whoever started them has ended, nobody can tell any more whose they are.
    #[must_use]
    pub fn strays(self) -> Strays {
        let mut all = self.all();
        all.retain(|process| Pid::from_raw(process.group) != self.0);
        Strays(all)
    }
}

/// Processes of a program, as they were found, to be ended without their group.
#[derive(Debug, Default)]
pub struct Strays(Vec<tree::Process>);

impl Strays {
    /// Kills those that are still there.
    pub fn kill(&self) {
        for process in &self.0 {
            process.signal(Signal::KILL);
        }
    }
}

/// The process group that a program leads. Killed on drop, so that nothing it started outlives it, but what has left the
/// group (`setsid`): that is found by [`Census::strays`].
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use rustix::process::{DumpableBehavior, Pid, Signal, dumpable_behavior, kill_process};

    /// A shell, with these arguments.
    fn started(arguments: &[&str]) -> tokio::process::Child {
        let environment = [("PATH", super::PATH.as_ref())];
        let arguments = arguments.iter().copied();
        let mut command = super::command("/bin/sh".as_ref(), arguments, environment, "/".as_ref());
        super::spawn(&mut command).unwrap()
    }

    #[test]
    fn a_hidden_process_is_not_dumpable() {
        super::hide().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    /// A program may hold itself to less than the settings do.
    #[tokio::test]
    async fn a_limit_of_its_own_that_is_narrower_stays() {
        let mut child = started(&["-c", "ulimit -n 64; exec sleep 1000"]);
        let path = format!("/proc/{}/limits", child.id().unwrap());
        let files = || {
            let said = std::fs::read_to_string(&path).unwrap();
            let line = said.lines().find(|line| line.starts_with("Max open files")).unwrap();
            line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ")
        };
        while files() != "64 64" {
            tokio::task::yield_now().await;
        }
        let limits = super::Limits { memory_bytes: 1 << 30, open_files: 77, cpu_seconds: None };
        super::limit(&child, &limits).unwrap();
        super::Group::of(&child).census().limit(&limits).unwrap();
        assert_eq!(files(), "64 64");
        child.kill().await.unwrap();
    }

    /// Started before anybody could limit them: one in the group, and one that has left it.
    #[tokio::test]
    async fn what_a_program_started_at_once_is_limited_counted_and_ended_with_it() {
        let mut child = started(&["-c", "sleep 1000 & setsid sleep 1000 & wait"]);
        let group = super::Group::of(&child);
        let census = group.census();
        while census.count() < 3 || census.strays().0.is_empty() {
            tokio::task::yield_now().await;
        }
        let limits = super::Limits { memory_bytes: 1 << 30, open_files: 77, cpu_seconds: None };
        super::limit(&child, &limits).unwrap();
        census.limit(&limits).unwrap();
        for process in census.all() {
            let said = std::fs::read_to_string(format!("/proc/{}/limits", process.id)).unwrap();
            let files = said.lines().find(|line| line.starts_with("Max open files")).unwrap();
            assert_eq!(files.split_whitespace().nth(3), Some("77"), "{files}");
        }
        let strays = census.strays();
        drop(group);
        child.wait().await.unwrap();
        assert!(strays.0[0].is_there(), "it is in no group that was killed");
        strays.kill();
        while strays.0[0].is_there() {
            tokio::task::yield_now().await;
        }
    }

    /// Those that run with this in their command line.
    fn running(marker: &str) -> Vec<Pid> {
        let has_it = |path: &std::path::Path| {
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = all.filter(|entry| has_it(&entry.path()));
        ids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// Each starts the next, which leaves its group, and stays: whoever was not there when it was looked is not killed by that.
    #[tokio::test]
    async fn of_a_line_that_goes_on_while_it_is_killed_nobody_is_left() {
        const LINE: &str =
            r#"[ "$1" -gt 0 ] && setsid sh -c "$0" "$0" $(($1 - 1)) "$2" & exec sleep 1000 "$2""#;
        let marker = format!("0.{}{}", std::process::id(), "0".repeat(9));
        let mut child = started(&["-c", LINE, LINE, "400", &marker]);
        let group = super::Group::of(&child);
        let census = group.census();
        while census.count() < 20 {
            tokio::task::yield_now().await;
        }
        let strays = census.halt();
        drop(group);
        strays.kill();
        child.wait().await.unwrap();
        // Who is killed is there for a moment still; the line takes longer than that to come to its end.
        let limit = std::time::Duration::from_secs(30);
        let gone = tokio::time::timeout(limit, async {
            while !running(&marker).is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        let is_gone = gone.await.is_ok();
        let left = running(&marker);
        for id in &left {
            kill_process(*id, Signal::KILL).ok();
        }
        assert!(is_gone, "{} of them are left", left.len());
    }
}
