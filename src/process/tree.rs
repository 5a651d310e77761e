//! All that a program has started, as the system tells it: in its process group, and out of it as long as whoever started it runs.

use std::collections::HashMap;

use rustix::process::{Pid, Signal, kill_process};

/// A process. A number is used again once its process is gone, so when it began is a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i32,
    pub(super) group: i32,
    pub(super) parent: i32,
    began: u64,
    /// It has ended, and nobody has waited for it yet.
    pub(super) has_ended: bool,
}

impl Process {
    pub(super) fn read(id: i32) -> Option<Self> {
        let said = std::fs::read(format!("/proc/{id}/stat")).ok()?;
        let said = String::from_utf8_lossy(&said);
        // After its name, which may hold anything: state, parent, group, … (proc_pid_stat(5)).
        let (_, fields) = said.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let has_ended = matches!(fields.next()?, "Z" | "X");
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let began = fields.nth(16)?.parse().ok()?;
        Some(Self { id, group, parent, began, has_ended })
    }

    /// What no other process has, whatever has become of this one since it was read.
    pub(super) const fn key(&self) -> (i32, u64) {
        (self.id, self.began)
    }

    /// Whether it still runs.
    pub(super) fn is_there(&self) -> bool {
        Self::read(self.id).is_some_and(|now| now.key() == self.key() && !now.has_ended)
    }

    /// Sends it a signal, if it still runs.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_there()
            && let Some(id) = Pid::from_raw(self.id)
        {
            let _it_has_ended = kill_process(id, signal);
        }
    }

    /// Whom it has started. Without a look at everybody, but not every system has such a list.
    pub(super) fn children(&self) -> Vec<Self> {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.id)) else {
            return Vec::new();
        };
        let lists = threads.flatten().filter_map(|thread| {
            let list = std::fs::read_to_string(thread.path().join("children")).ok()?;
            Some(list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        });
        lists.flatten().filter_map(Self::read).collect()
    }
}

/// Reads a file for each process of the machine; none where there are no such files.
pub(super) fn everybody() -> impl Iterator<Item = Process> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Process::read)
}

/// The group that `leader` leads, and all who descend from those in it.
pub(super) fn of(leader: i32) -> Vec<Process> {
    let (mut found, others): (Vec<_>, Vec<_>) =
        everybody().partition(|process| process.group == leader);
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for other in others {
        children.entry(other.parent).or_default().push(other);
    }
    // Each is looked at once, however long a line of descent is.
    let mut at = 0;
    while let Some(parent) = found.get(at).map(|process| process.id) {
        found.extend(children.remove(&parent).unwrap_or_default());
        at += 1;
    }
    found
}
